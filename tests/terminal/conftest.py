"""A real terminal for tests: a pseudo-terminal with the real program behind it, drawn by pyte."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyte
import pytest

from autocoder.daemon.endpoint import Endpoint

SCRIPTED_DAEMON = Path(__file__).parent / "scripted_daemon.py"
ROWS, COLUMNS = 24, 100
PATIENCE_S = 20.0

KEYS = {
    "tab": "\t",
    "enter": "\r",
    "esc": "\x1b",
    "backspace": "\x7f",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "delete": "\x1b[3~",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    "ctrl-home": "\x1b[1;5H",
    "ctrl-end": "\x1b[1;5F",
    "ctrl-left": "\x1b[1;5D",
    "ctrl-right": "\x1b[1;5C",
    "ctrl-delete": "\x1b[3;5~",
    "ctrl-space": "\x00",
    "ctrl-/": "\x1f",
    "alt-right": "\x1b[1;3C",
    "alt-left": "\x1b[1;3D",
    "alt-up": "\x1b[1;3A",
    "alt-down": "\x1b[1;3B",
    "alt-enter": "\x1b\r",
    "alt-n": "\x1bn",
    "alt-p": "\x1bp",
    "alt-\\": "\x1b\\",
    "shift-tab": "\x1b[Z",
    "shift-right": "\x1b[1;2C",
    "shift-left": "\x1b[1;2D",
    "shift-down": "\x1b[1;2B",
    "shift-up": "\x1b[1;2A",
    "shift-end": "\x1b[1;2F",
    "f1": "\x1bOP",
    "f2": "\x1bOQ",
    "f3": "\x1bOR",
    "f4": "\x1bOS",
    **{f"ctrl-{c}": chr(ord(c) - 96) for c in "abcdefghijklmnopqrstuvwxyz"},
}


class Terminal:
    """A program behind a pseudo-terminal, and what its screen shows."""

    def __init__(
        self,
        words: Sequence[str],
        cwd: Path,
        environment: dict[str, str] | None = None,
        rows: int = ROWS,
        columns: int = COLUMNS,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._status: int | None = None
        ours, theirs = pty.openpty()
        self._fd = ours
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "autocoder", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env={**os.environ, "TERM": "xterm-256color", **(environment or {})},
            preexec_fn=_own_terminal,
        )
        os.close(theirs)

    # --- what goes in

    def press(self, *keys: str, pause: float = 0.0) -> None:
        """Send keys by the names in KEYS."""
        for key in keys:
            self.send(KEYS[key])
            # A key right after Escape would make an Alt chord.
            self.read(max(pause, 0.3 if key == "esc" else 0.02))

    def type(self, text: str, pause: float = 0.01) -> None:
        """Type a text key by key."""
        for character in text:
            self.send("\r" if character == "\n" else character)
            self.read(pause)

    def answer(self, key: str) -> None:
        """Answer a question after the moment that it takes to read it."""
        self.read(0.6)
        self.send("\r" if key == "enter" else key)
        self.read(0.1)

    def send(self, data: str) -> None:
        os.write(self._fd, data.encode())

    def click(self, row: int, column: int) -> None:
        """Press and release the left button at a cell (from 0)."""
        self.send(f"\x1b[<0;{column + 1};{row + 1}M")
        self.read(0.15)
        self.send(f"\x1b[<0;{column + 1};{row + 1}m")
        self.read(0.05)

    def resize(self, rows: int, columns: int) -> None:
        self.screen.resize(rows, columns)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def hang_up(self) -> None:
        """Close the terminal, as a closed window does."""
        os.close(self._fd)
        self._fd = -1

    # --- what comes out

    def read(self, seconds: float) -> bool:
        """Feed what arrives within `seconds` to the screen; whether anything came."""
        end, came = time.monotonic() + seconds, False
        while (left := end - time.monotonic()) > 0 and select.select([self._fd], [], [], left)[0]:
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                return came
            if not data:
                return came
            came = True
            self.raw += data
            if b"\x1b[6n" in data:
                os.write(self._fd, b"\x1b[1;1R")
            self._stream.feed(data)
        return came

    def answers(self, seconds: float = 5.0) -> bool:
        """Whether anything comes out within `seconds`; returns as soon as it does."""
        return bool(select.select([self._fd], [], [], seconds)[0])

    def wait(self, seen: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
        """Read until `seen()` is true, and return it; fails with the screen printed."""
        end = time.monotonic() + seconds
        while not (found := seen()):
            assert time.monotonic() < end, "\n".join(["never seen; the screen:", *self.lines])
            self.read(0.05)
        return found

    def wait_for(self, text: str) -> None:
        self.wait(lambda: self.shows(text))

    def settle(self, seconds: float = 0.25) -> None:
        """Read until nothing has come for `seconds`."""
        while self.read(seconds):
            pass

    @property
    def lines(self) -> list[str]:
        """The screen's lines, right-stripped."""
        return [line.rstrip() for line in self.screen.display]

    def shows(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def grey(self, row: int) -> str:
        """The text of a screen row's cells that have the ghost's colour."""
        width = self.screen.columns
        cells = [self.screen.buffer[row][x] for x in range(width)]
        return "".join(c.data for c in cells if is_grey(c)).strip()

    def ghost(self) -> list[str]:
        """Ghost text on the screen, line by line; right of the gutter."""
        found = []
        for row in range(self.screen.lines - 2):
            cells = [self.screen.buffer[row][x] for x in range(5, self.screen.columns)]
            if any(is_grey(cell) for cell in cells):
                found.append("".join(cell.data for cell in cells if is_grey(cell)).rstrip())
        return found

    def end(self) -> int:
        """The exit status, once the program ended."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < end, "\n".join(["it does not end:", *self.lines])
            self.read(0.05) if self._fd >= 0 else time.sleep(0.05)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        with suppress(OSError):
            os.close(self._fd)


def _own_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def is_grey(cell: Any) -> bool:
    """Whether a cell has the ghost's colour: #808080 as the 256 colours have it."""
    return bool(cell.fg in ("808080", "7f7f7f", "8a8a8a"))


class Script:
    """A scripted daemon and its answers."""

    def __init__(self, folder: Path, place: Endpoint) -> None:
        self._file, self._place = folder / "answers.json", place
        self.process: subprocess.Popen[bytes] | None = None

    def answer(self, answers: dict[str, Any]) -> None:
        """Answer a prefix that ends in a key with its value; start the daemon if need be."""
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(answers))
        beside.replace(self._file)
        if self.process is None:
            self.start()

    def start(self) -> None:
        command = [sys.executable, str(SCRIPTED_DAEMON), str(self._file)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE_S
        while not self._place.socket.exists():
            assert time.monotonic() < end and self.process.poll() is None
            time.sleep(0.01)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    @property
    def requests(self) -> list[dict[str, Any]]:
        log = self._file.with_suffix(".log")
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's state folder, for the test alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "autocoder"


@pytest.fixture
def script(tmp_path: Path, place: Endpoint) -> Iterator[Script]:
    """A daemon that answers what the test says."""
    made = Script(tmp_path, place)
    yield made
    made.kill()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder that programs are started in."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def open_terminal(work: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts `autocoder WORDS…` in a terminal of its own."""
    opened: list[Terminal] = []

    def start(*words: str, **options: Any) -> Terminal:
        opened.append(Terminal(words, work, **options))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.kill()


@pytest.fixture
def edit(open_terminal: Callable[..., Terminal], work: Path) -> Callable[..., Terminal]:
    """Opens the editor on a file with the given text or bytes (None: no file yet)."""

    def start(
        content: str | bytes | None = "", name: str = "a.py", *words: str, **options: Any
    ) -> Terminal:
        if content is not None:
            data = content.encode() if isinstance(content, str) else content
            (work / name).write_bytes(data)
        terminal = open_terminal("edit", name, *words, **options)
        terminal.wait_for(name)
        terminal.settle(0.1)
        return terminal

    return start
