"""Which character of a line stands in which column, fast for lines of any length.

A line of a megabyte cannot be walked for each key. It is measured in chunks: those of plain ASCII
take as many columns as characters, the others are walked once and remembered by their text.
Knows no buffer.
"""

from functools import lru_cache

from prompt_toolkit.utils import get_cwidth

from autocoder.clients.editor.display import TAB_WIDTH, is_odd, spelt

CHUNK = 512
REMEMBERED = 4096


def column_of(line: str, index: int) -> int:
    """The column (in cells) where the character at `index` begins."""
    column = 0
    for start in range(0, index, CHUNK):
        column += _width(line[start : min(start + CHUNK, index)], column % TAB_WIDTH)
    return column


def index_at(line: str, column: int) -> tuple[int, int]:
    """The first character that begins at `column` or later, and its column."""
    start, begins = 0, 0
    while start < len(line):
        chunk = line[start : start + CHUNK]
        width = _width(chunk, begins % TAB_WIDTH)
        if begins + width >= column:
            return _walk(chunk, start, begins, column)
        start, begins = start + CHUNK, begins + width
    return len(line), begins


def _walk(chunk: str, start: int, begins: int, column: int) -> tuple[int, int]:
    if _is_plain(chunk):
        past = min(max(0, column - begins), len(chunk))
        return start + past, begins + past
    for character in chunk:
        if begins >= column:
            return start, begins
        start, begins = start + 1, begins + _cells(character, begins)
    return start, begins


def _width(chunk: str, phase: int) -> int:
    return len(chunk) if _is_plain(chunk) else _walked_width(chunk, phase)


def _is_plain(chunk: str) -> bool:
    return chunk.isascii() and chunk.isprintable()


@lru_cache(maxsize=REMEMBERED)
def _walked_width(chunk: str, phase: int) -> int:
    """Cells that a chunk takes which begins `phase` cells after a tab stop."""
    column = phase
    for character in chunk:
        column += _cells(character, column)
    return column - phase


def _cells(character: str, column: int) -> int:
    return get_cwidth(spelt(character, column) if is_odd(character) else character)
