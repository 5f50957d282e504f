"""The plugin in a fake Sublime Text: installed as a user would, with a bridge behind it."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autocoder.clients import sublime_command

HERE = Path(__file__).resolve().parent
PLUGIN = sublime_command.PLUGIN
REAL = [sys.executable, "-P", "-m", "autocoder"]

sys.path.insert(0, str(HERE / "fake"))  # there `sublime` and `sublime_plugin` lie

from fake_editor import Editor  # noqa: E402


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
def bridge(bridge: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The fake bridge, whose rules the plugin's child finds in the environment."""
    for name, value in bridge.environment.items():
        monkeypatch.setenv(name, value)
    return bridge


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
def editor(start: Start, bridge: Any) -> Editor:
    """Sublime with the plugin and the fake bridge, and an empty Python text open in it."""
    editor = start(bridge.command)
    editor.open()
    return editor
