"""Draws what the plugin gives Sublime Text to show, with the real bridge and the bundled model.

python tests/sublime/picture.py docs/sublime.svg

No screenshot: the text, the phantoms and the status are those that the fake of Sublime's API was
handed; the look is this script's.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyte

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))

from conftest import PLUGIN, REAL, Editor
from picture import svg

COLUMNS = 76
GREY, BAR, PLAIN = "\x1b[38;5;244m", "\x1b[7m", "\x1b[0m"
SOURCE = '''"""What a shop sells."""


class Item:
    """So many pieces of one thing."""

    def __init__(self, name, price, quantity):
        self.name = name
        self.price = price
        self.quan'''


def rows(text: str, status: str) -> Iterator[str]:
    """The lines of the screen, ghost text grey, with their numbers; the status bar below."""
    lines = text.replace("⟨", GREY).replace("⟩", PLAIN).split("\n")
    for number, line in enumerate(lines, 1):
        yield f"{GREY}{number:>3}{PLAIN}  {line}"
    yield ""
    yield f"{BAR} item.py{status:>{COLUMNS - 10}} {PLAIN}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "Autocoder.sublime-settings"
        settings.write_text(json.dumps({"command": REAL}))
        editor = Editor(Path(folder), "4200", "linux")
        editor.load(PLUGIN)
        editor.open(auto_match_enabled=False, auto_indent=False)
        editor.type(SOURCE)
        assert editor.wait(lambda: "⟨" in editor.screen(), 30), "nothing was suggested"
        shown = list(rows(editor.screen(), editor.status()))
        editor.close()
    screen = pyte.Screen(COLUMNS, len(shown))
    pyte.Stream(screen).feed("\r\n".join(shown))
    screen.cursor.hidden = True
    options.output.write_text(svg(screen), encoding="utf-8")


if __name__ == "__main__":
    main()
