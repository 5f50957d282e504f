"""Draws what a terminal program really shows as an SVG picture.

    python docs/picture.py edit docs/tour.py --keys ctrl-end --type "for i in" -o docs/editor.svg

Starts `autocoder WORDS…` in a pseudo-terminal, presses the keys, types the text, waits until the
screen is still, and writes each cell with its colours. Nothing in the picture is made up. The file
named is copied first, so that it stays as it is.
"""

import argparse
import fcntl
import html
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pyte
from prompt_toolkit.utils import get_cwidth
from pyte.screens import Char

KEYS = {
    "ctrl-end": "\x1b[1;5F",
    "ctrl-home": "\x1b[1;5H",
    "down": "\x1b[B",
    "up": "\x1b[A",
    "end": "\x1b[F",
    "tab": "\t",
    "enter": "\r",
    "esc": "\x1b",
    "f1": "\x1bOP",
}
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.43, 18, 12
BACKGROUND, FOREGROUND = "#1b1d23", "#d8dae0"
NAMED = {
    "black": "#1b1d23",
    "red": "#d05050",
    "green": "#4c9a3f",
    "brown": "#b08520",
    "blue": "#3f86d8",
    "magenta": "#a860d0",
    "cyan": "#2f98a8",
    "white": "#d8dae0",
}
STILL_S, TYPING_S = 1.0, 0.06


def main(arguments: Sequence[str]) -> int:
    """Take one picture."""
    options, words = _parser().parse_known_args(arguments)
    screen = pyte.Screen(options.columns, options.rows)
    with tempfile.TemporaryDirectory(prefix="ac-") as folder:
        words = [_copied(word, Path(folder)) for word in words]
        _show(screen, words, options, Path(folder))
    Path(options.output).write_text(svg(screen), encoding="utf-8")
    print(*(line.rstrip() for line in screen.display), sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Take a picture of `autocoder WORDS…`.")
    parser.add_argument("-o", "--output", required=True, help="the SVG to write")
    parser.add_argument("--keys", default="", help=f"pressed first, of: {', '.join(KEYS)}")
    parser.add_argument("--type", default="", help="typed then, key by key")
    parser.add_argument("--then", default="", help="keys pressed at last")
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--columns", type=int, default=96)
    parser.add_argument("--wait", type=float, default=15.0, help="seconds to wait for the start")
    return parser


def _copied(word: str, folder: Path) -> str:
    """A file's name, once it has been copied to `folder`; any other word as it is."""
    if not Path(word).is_file():
        return word
    shutil.copy(word, folder)
    return Path(word).name


def _show(
    screen: pyte.Screen, words: Sequence[str], options: argparse.Namespace, cwd: Path
) -> None:
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    size = struct.pack("HHHH", options.rows, options.columns, 0, 0)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    environment = {
        **os.environ,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "PROMPT_TOOLKIT_COLOR_DEPTH": "DEPTH_24_BIT",
        "XDG_STATE_HOME": str(cwd / "state"),
    }
    command = [sys.executable, "-m", "autocoder", *words]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, cwd=cwd, env=environment, start_new_session=True
    )
    try:
        _read(ours, stream, options.wait, until_still=True)
        for key in options.keys.split():
            _press(ours, stream, KEYS[key])
        for character in options.type:
            _press(ours, stream, "\r" if character == "\n" else character)
        _read(ours, stream, options.wait, until_still=True)
        for key in options.then.split():
            _press(ours, stream, KEYS[key])
        _read(ours, stream, options.wait, until_still=True)
    finally:
        process.kill()
        process.wait()


def _press(fd: int, stream: pyte.ByteStream, data: str) -> None:
    os.write(fd, data.encode())
    _read(fd, stream, TYPING_S)


def _read(fd: int, stream: pyte.ByteStream, seconds: float, until_still: bool = False) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if not select.select([fd], [], [], min(left, STILL_S) if until_still else left)[0]:
            return
        data = os.read(fd, 65536)
        if b"\x1b[6n" in data:
            os.write(fd, b"\x1b[1;1R")
        stream.feed(data)


def svg(screen: pyte.Screen) -> str:
    """The screen as an SVG document."""
    width = screen.columns * CELL_WIDTH + 2 * MARGIN
    height = screen.lines * CELL_HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" '
        f'font-size="14" xml:space="preserve">',
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
    ]
    for row in range(screen.lines):
        parts += _row(screen, row)
    if not screen.cursor.hidden:
        x, y = _corner(screen.cursor.x, screen.cursor.y)
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="2" height="{CELL_HEIGHT}" fill="#f0f0f0"/>')
    return "\n".join([*parts, "</svg>", ""])


def _corner(column: int, row: int) -> tuple[float, int]:
    return MARGIN + column * CELL_WIDTH, MARGIN + row * CELL_HEIGHT


def _row(screen: pyte.Screen, row: int) -> list[str]:
    cells = [screen.buffer[row][column] for column in range(screen.columns)]
    parts, column = [], 0
    for look, run in groupby(cells, _look):
        text = [cell.data for cell in run]
        parts += _run(look, "".join(text), column, row, len(text))
        column += len(text)
    return parts


def _look(cell: Char) -> tuple[str, str, bool, bool]:
    front, back = _colour(cell.fg, FOREGROUND), _colour(cell.bg, BACKGROUND)
    if cell.reverse:
        front, back = back, front
    return front, back, cell.bold, cell.italics


def _colour(name: str, default: str) -> str:
    if name == "default":
        return default
    return NAMED.get(name.removeprefix("bright"), f"#{name}")


def _run(
    look: tuple[str, str, bool, bool], text: str, column: int, row: int, cells: int
) -> list[str]:
    front, back, bold, italic = look
    x, y = _corner(column, row)
    width = cells * CELL_WIDTH
    parts = []
    if back != BACKGROUND:
        box = f'x="{x:.1f}" y="{y}" width="{width:.1f}" height="{CELL_HEIGHT}"'
        parts.append(f'<rect {box} fill="{back}"/>')
    if text.strip():
        start = len(text) - len(text.lstrip())
        text = text.strip()
        x, width = x + start * CELL_WIDTH, get_cwidth(text) * CELL_WIDTH
        text = text.replace(" ", "\u00a0")  # not every renderer keeps a run of spaces
        style = (' font-weight="bold"' if bold else "") + (' font-style="italic"' if italic else "")
        place = f'x="{x:.1f}" y="{y + 14}" textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"'
        parts.append(f'<text {place} fill="{front}"{style}>{html.escape(text)}</text>')
    return parts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
