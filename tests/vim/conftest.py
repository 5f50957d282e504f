"""Real Vim and real Neovim in tmux: keys go in, the screen and the buffer come out."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "clients" / "vim"
PATIENCE_S = float(os.environ.get("PATIENCE_S", "20"))
START = {
    "vim": ["vim", "-i", "NONE", "-n", "-N", "-u"],
    "nvim": ["nvim", "-i", "NONE", "-n", "-u"],
}
RC = """
set runtimepath+={plugin}
set encoding=utf-8 backspace=indent,eol,start noswapfile nomore shortmess+=I laststatus=0
set ttimeout ttimeoutlen=10
let g:loaded_python3_provider = 0
let g:autocoder_command = {command}
{before}
filetype plugin indent on
syntax on
function! Dump() abort
  let state = {{'lines': getline(1, 2000), 'cursor': [line('.'), col('.')], 'mode': mode(1),
    \\ 'top': line('w0'), 'messages': execute('messages'), 'value': get(g:, 'value', 0)}}
  if exists('g:loaded_autocoder')
    call extend(state, {{'visible': autocoder#visible(), 'bridge': autocoder#bridge#state()}})
  endif
  call writefile([json_encode(state)], '{dump}.part')
  call rename('{dump}.part', '{dump}')
endfunction
noremap <F9> <Cmd>call Dump()<CR>
noremap! <F9> <Cmd>call Dump()<CR>
{after}
"""


def wait_for(what: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """What `what()` returns as soon as that is true; the last of it after `seconds`."""
    end, pause = time.monotonic() + seconds, 0.005
    while not (found := what()) and time.monotonic() < end:
        time.sleep(pause)
        pause = min(pause * 1.4, 0.05)
    return found


class Editor:
    """One editor in one tmux server of its own."""

    def __init__(self, kind: str, folder: Path, bridge: Any) -> None:
        self.kind, self.folder, self.bridge = kind, folder, bridge
        self.socket, self.dump = folder / "tmux", folder / "dump.json"
        self.file = folder / "code.py"

    def open(
        self,
        text: str = "",
        *arguments: str,
        before: str = "",
        after: str = "",
        command: list[str] | None = None,
        size: tuple[int, int] = (60, 16),
        name: str = "code.py",
    ) -> "Editor":
        """Start the editor on a file holding `text`, with lines of vimrc before and after."""
        self.file = self.folder / name
        self.file.write_text(text)
        words = json.dumps(command or self.bridge.command)
        rc = self.folder / "rc.vim"
        rc.write_text(
            RC.format(plugin=PLUGIN, command=words, dump=self.dump, before=before, after=after)
        )
        self._tmux(
            "-f",
            os.devnull,
            *("set-option", "-g", "escape-time", "0", ";"),
            "new-session",
            "-d",
            "-s",
            "t",
            "-x",
            str(size[0]),
            "-y",
            str(size[1]),
            *START[self.kind],
            str(rc),
            *arguments,
            str(self.file),
        )
        assert wait_for(lambda: self.screen().strip()), "the editor shows nothing"
        self.state()
        return self

    def _tmux(self, *words: str) -> str:
        environment = os.environ | {
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            **self.bridge.environment,
        }
        done = subprocess.run(
            ["tmux", "-u", "-S", str(self.socket), *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def type(self, text: str) -> "Editor":
        """Type `text` as it is."""
        self._tmux("send-keys", "-t", "t", "-l", "--", text)
        return self

    def keys(self, *names: str) -> "Editor":
        """Press keys by tmux's names, one after the other: Tab, Escape, M-Right, C-x …"""
        self._tmux("send-keys", "-t", "t", *names)
        return self

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-t", "t", "-x", str(columns), "-y", str(rows))

    def pipe(self, command: str) -> None:
        """Send all that the editor writes to its terminal to a shell command as well."""
        self._tmux("pipe-pane", "-t", "t", "-o", command)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", "t")

    def coloured(self) -> str:
        """The screen with its escape sequences."""
        return self._tmux("capture-pane", "-p", "-e", "-t", "t")

    def shows(self, *lines: str) -> bool:
        """Do these lines stand one below the other on the screen (within PATIENCE_S)?"""
        wanted = "\n".join(lines)
        found = wait_for(lambda: wanted in self.screen())
        return bool(found) or self._tell()

    def _tell(self) -> bool:
        print(self.screen())  # pytest shows it where a test fails
        return False

    def hides(self, text: str) -> bool:
        return bool(wait_for(lambda: text not in self.screen()))

    wait = staticmethod(wait_for)

    def cursor(self) -> tuple[int, int]:
        """Column and row on the screen, from 0."""
        found = self._tmux("display-message", "-p", "-t", "t", "#{cursor_x} #{cursor_y}").split()
        return int(found[0]), int(found[1])

    def state(self) -> dict[str, Any]:
        """The buffer and the mode, after all keys so far."""
        self.dump.unlink(missing_ok=True)
        self.keys("F9")
        assert wait_for(self.dump.exists), self.screen()
        return dict(json.loads(self.dump.read_text()))

    def lines(self) -> list[str]:
        return list(self.state()["lines"])

    def run(self, command: str) -> "Editor":
        """An Ex command, from Insert or Normal mode; leaves the editor in Normal mode."""
        return self.keys("C-\\", "C-n").type(":" + command).keys("Enter")

    def alive(self) -> bool:
        return bool(self._tmux("list-sessions"))

    def close(self) -> None:
        self._tmux("kill-server")


@pytest.fixture(params=sorted(START))
def editor(request: pytest.FixtureRequest, tmp_path: Path, bridge: Any) -> Iterator[Editor]:
    found = Editor(request.param, tmp_path, bridge)
    yield found
    found.close()


@pytest.fixture
def start_editor(tmp_path: Path, bridge: Any) -> Iterator[Callable[[str], Editor]]:
    """Makes an editor of one kind, for what only that one has."""
    made: list[Editor] = []

    def make(kind: str) -> Editor:
        made.append(Editor(kind, tmp_path, bridge))
        return made[-1]

    yield make
    for found in made:
        found.close()
