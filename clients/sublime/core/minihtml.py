"""Text as Sublime's minihtml: no space, tab or wide character gets lost. Knows no views."""

from __future__ import annotations

import html
import unicodedata
from typing import Sequence

BODY = (
    '<body id="autocoder"><style>'
    "html, body {{ margin: 0; padding: 0; background-color: transparent; }}"
    ".ghost {{ color: {color}; }}"
    "</style>{content}</body>"
)


def inline(line: str, color: str) -> str:
    """One line that stands within a line of the text."""
    return BODY.format(color=color, content=f'<span class="ghost">{line}</span>')


def block(lines: Sequence[str], color: str) -> str:
    """Lines below each other."""
    rows = "".join("<div>{}</div>".format(line or "&nbsp;") for line in lines)
    return BODY.format(color=color, content=f'<div class="ghost">{rows}</div>')


def lines(text: str, column: int, tab_size: int) -> list[str]:
    """Each line of `text` escaped; the first begins at `column`, the others at 0."""
    columns = [column] + [0] * text.count("\n")
    return [
        _escaped(expanded(line, start, tab_size)) for line, start in zip(text.split("\n"), columns)
    ]


def expanded(line: str, column: int, tab_size: int) -> str:
    """A line with each tab as the spaces it takes when the line begins at `column`."""
    shown = ""
    for character in line:
        piece = " " * (tab_size - column % tab_size) if character == "\t" else character
        shown += piece
        column += sum(map(_width, piece))
    return shown


def width(line: str, tab_size: int) -> int:
    """How many columns a line takes."""
    return sum(map(_width, expanded(line, 0, tab_size)))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _escaped(line: str) -> str:
    visible = "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in line)
    return html.escape(visible).replace(" ", "&nbsp;").replace("\xa0", "&nbsp;")
