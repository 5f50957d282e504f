"""How characters look: tabs reach the next stop, and what has no shape of its own is spelt out.

Every column on the screen then is what the terminal makes of it, so that nothing drawn later
stands in the wrong place. Knows no buffer.
"""

import re
from collections.abc import Callable

from prompt_toolkit.formatted_text import StyleAndTextTuples, fragment_list_to_text
from prompt_toolkit.formatted_text.utils import fragment_list_width
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments
from prompt_toolkit.utils import get_cwidth

TAB_WIDTH = 4
# Controls, soft hyphen, zero-width and direction marks, line separators, undecodable bytes.
_ODD = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def is_odd(character: str) -> bool:
    """Whether it has no shape of its own, or one that depends on its place."""
    return bool(_ODD.match(character))


def spelt(character: str, column: int) -> str:
    """What stands on the screen for an odd character that comes at `column` (in cells)."""
    code = ord(character)
    if character == "\t":
        return " " * (TAB_WIDTH - column % TAB_WIDTH)
    if code < 0x20:
        return f"^{chr(code + 64)}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"<{code - 0xDC00:02x}>"
    return "^?" if code == 0x7F else f"<{code:02x}>"


def shown(text: str, column: int = 0) -> str:
    """A line of text as it looks from `column` on."""
    if not _ODD.search(text):
        return text
    parts: list[str] = []
    for character in text:
        part = spelt(character, column) if _ODD.match(character) else character
        parts.append(part)
        column += get_cwidth(part)
    return "".join(parts)


class OddCharacters(Processor):
    """Draws a line's tabs and odd characters, and tells which column is which character.

    `first_column()` is where, in the whole line, the first cell to be drawn stands.
    """

    def __init__(self, first_column: Callable[[], int] = lambda: 0) -> None:
        self._first_column = first_column

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        fragments = transformation_input.fragments
        if not _ODD.search(fragment_list_to_text(fragments)):
            return Transformation(fragments)
        drawn: StyleAndTextTuples = []
        starts, column, position = [], self._first_column(), 0
        for style, character, *_ in explode_text_fragments(fragments):
            odd = bool(_ODD.match(character))
            part = spelt(character, column) if odd else character
            drawn.append((f"{style} class:odd" if odd and character != "\t" else style, part))
            starts.append(position)
            column += get_cwidth(part)
            position += len(part)
        return Transformation(drawn, *_mappings([*starts, position]))


def _mappings(starts: list[int]) -> tuple[Callable[[int], int], Callable[[int], int]]:
    """Source index to display index and back; `starts` ends with the end of the line."""
    from bisect import bisect_right

    def to_display(source: int) -> int:
        return starts[source] if source < len(starts) else starts[-1] + source - len(starts) + 1

    def to_source(display: int) -> int:
        return max(0, bisect_right(starts, display) - 1)

    return to_display, to_source


def split_at(
    line: StyleAndTextTuples, position: int
) -> tuple[StyleAndTextTuples, StyleAndTextTuples]:
    """A drawn line as what comes before `position` (in characters) and what comes after."""
    head: StyleAndTextTuples = []
    tail: StyleAndTextTuples = []
    for style, text, *_ in line:
        head.append((style, text[: max(0, position)]))
        tail.append((style, text[max(0, position) :]))
        position -= len(text)
    return [part for part in head if part[1]], [part for part in tail if part[1]]


def width_of(line: StyleAndTextTuples) -> int:
    """Cells that a drawn line takes."""
    return fragment_list_width(line)
