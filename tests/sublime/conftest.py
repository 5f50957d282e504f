"""The plugin in a fake Sublime Text: installed as a user would, with a bridge behind it."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autocoder.clients import sublime_command

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLUGIN = sublime_command.PLUGIN
FAKE_BRIDGE = ROOT / "tests" / "vim" / "fake_bridge.py"
REAL = [sys.executable, "-P", "-m", "autocoder"]

sys.path.insert(0, str(HERE / "fake"))  # there `sublime` and `sublime_plugin` lie

from fake_editor import Editor  # noqa: E402


class Bridge:
    """The fake bridge's rules, and what it was asked. It can be asked before it is started."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.command = [sys.executable, "-S", str(FAKE_BRIDGE)]
        self.rules_file, self.log_file = folder / "rules.json", folder / "bridge.log"
        monkeypatch.setenv("FAKE_BRIDGE_RULES", str(self.rules_file))
        monkeypatch.setenv("FAKE_BRIDGE_LOG", str(self.log_file))
        self.now: dict[str, Any] = {"rules": [], "mode": "ok", "delay_ms": 0}
        self.says()

    def says(self, *rules: tuple[str, str | list[str]], **settings: Any) -> None:
        """From now on: after a prefix that ends so, suggest this; and `mode`, `delay_ms`."""
        rows = [[ending, [texts] if isinstance(texts, str) else texts] for ending, texts in rules]
        self.now |= {"rules": rows or self.now["rules"]} | settings
        part = self.rules_file.with_suffix(".part")
        part.write_text(json.dumps(self.now))
        part.rename(self.rules_file)

    def heard(self, kind: str = "complete") -> list[dict[str, Any]]:
        """The messages of one type, in order."""
        if not self.log_file.exists():
            return []
        lines = self.log_file.read_text().split("\n")[:-1]
        return [message for line in lines if (message := json.loads(line))["type"] == kind]

    def feedback(self) -> list[tuple[str, int]]:
        return [(m["event"], m["characters"]) for m in self.heard("feedback")]


def note_requests() -> list[dict[str, Any]]:
    """The requests that the loaded plugin sends from now on, whether they are heard or not."""
    asked: list[dict[str, Any]] = []
    session = sys.modules["Autocoder.plugin"]._session
    if session:
        send = session.bridge.send
        session.bridge.send = lambda request, on_reply: (
            asked.append(request) or send(request, on_reply)
        )
    return asked


@pytest.fixture
def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bridge:
    return Bridge(tmp_path, monkeypatch)


Start = Callable[..., Editor]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts Sublime with the plugin in it: `start(command, setting=value, …)`."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    started: list[Editor] = []

    def run(
        command: list[str] | str,
        package: Path = PLUGIN,
        build: str = "4200",
        platform: str = "linux",
        **settings: Any,
    ) -> Editor:
        user = tmp_path / "User"
        user.mkdir(exist_ok=True)
        chosen = json.dumps({"command": command} | settings)
        (user / "Autocoder.sublime-settings").write_text(chosen)
        editor = Editor(user, build, platform)
        started.append(editor)
        editor.load(package)
        editor.asked = note_requests()
        return editor

    yield run
    for editor in started:
        editor.close()
    for name in [n for n in sys.modules if n == "Autocoder" or n.startswith("Autocoder.")]:
        del sys.modules[name]


@pytest.fixture
def editor(start: Start, bridge: Bridge) -> Editor:
    """Sublime with the plugin and the fake bridge, and an empty Python text open in it."""
    editor = start(bridge.command)
    editor.open()
    return editor
