"""Scrolling sideways: cuts each line to what the window shows before anything else is done to it.

All lines begin at the same column, which follows the cursor. Knows columns and fragments of text.
"""

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput

from autocoder.clients.editor.columns import column_of, index_at

ROOM_AFTER_CURSOR = 4


class Sideways(Processor):
    """Drops what stands before column `left` and what cannot be seen after it."""

    def __init__(self) -> None:
        self.left = 0
        self._limit: int | None = None

    def follow(self, document: Document, width: int) -> None:
        """Scroll so that the cursor stands in a window of `width` cells."""
        # Zero-width characters, and a tail pushed to the left by ghost text, need more than width.
        self._limit = 4 * width + 64
        column = column_of(document.current_line, document.cursor_position_col)
        room = min(ROOM_AFTER_CURSOR, max(0, width - 1) // 2)
        if column < self.left:
            self.left = max(0, column - width // 2)
        self.left = max(self.left, column + 1 + room - width)

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        fragments, limit = transformation_input.fragments, self._limit
        length = sum(len(fragment[1]) for fragment in fragments)
        if limit is None or (not self.left and length <= limit):
            return Transformation(fragments)
        line = transformation_input.document.lines[transformation_input.lineno]
        start, begins = index_at(line, self.left)
        stop = min(start + limit, length)
        padding = max(0, begins - self.left) if start < length else 0
        drawn: StyleAndTextTuples = [("", " " * padding)] if padding else []
        drawn += _between(fragments, start, stop)
        return Transformation(
            drawn,
            lambda source: padding + min(max(source, start), stop) - start,
            lambda display: start + max(0, display - padding),
        )


def _between(fragments: StyleAndTextTuples, start: int, stop: int) -> StyleAndTextTuples:
    """The characters [start, stop) of a line's fragments."""
    kept: StyleAndTextTuples = []
    for style, text, *_ in fragments:
        if stop <= 0:
            break
        if start < len(text):
            kept.append((style, text[max(0, start) : stop]))
        start, stop = start - len(text), stop - len(text)
    return kept
