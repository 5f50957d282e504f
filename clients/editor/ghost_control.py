"""Draws the buffer with ghost text at the cursor: between a line's head and tail, over many lines.

prompt-toolkit's processors map a line to a line, so they cannot push lines down. This wraps the
finished content instead. Blank rows after the end keep room below the cursor, so that ghost text
appearing never scrolls the window. Sideways it scrolls by itself, as the toolkit walks all of a
line that is scrolled. Knows no suggestions: it is told the ghost by a function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prompt_toolkit.application.current import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Point
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples, fragment_list_to_text
from prompt_toolkit.layout.controls import (
    BufferControl,
    SearchBufferControl,
    UIContent,
    _ProcessedLine,
)
from prompt_toolkit.layout.processors import (
    HighlightIncrementalSearchProcessor,
    HighlightSearchProcessor,
    HighlightSelectionProcessor,
)
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.mouse_events import MouseEvent, MouseEventType

from autocoder.clients.editor.display import OddCharacters, shown, split_at, width_of
from autocoder.clients.editor.sideways import Sideways

if TYPE_CHECKING:
    from prompt_toolkit.key_binding.key_bindings import NotImplementedOrNone

BLANK_ROWS = 8
GHOST = "class:ghost"
_WHEEL = {MouseEventType.SCROLL_UP: -1, MouseEventType.SCROLL_DOWN: 1}


@dataclass(frozen=True)
class Rows:
    """Which row of the content is which row of the buffer. Positions count characters."""

    cursor: Point
    ghost: tuple[str, ...]
    buffer_rows: int

    @property
    def extra(self) -> int:
        return max(0, len(self.ghost) - 1)

    def number(self, row: int) -> int | None:
        """The buffer's row that begins at this row of the content, or None."""
        if row <= self.cursor.y:
            return row
        found = row - self.extra
        return found if self.cursor.y < found < self.buffer_rows else None

    def to_buffer(self, point: Point) -> Point:
        """The same place without the ghost; on the ghost: the cursor."""
        x, y = point
        last = self.cursor.y + self.extra
        if y > last:
            return _within(x, y - self.extra, self.buffer_rows)
        if y < self.cursor.y or not self.ghost or (y == self.cursor.y and x <= self.cursor.x):
            return _within(x, y, self.buffer_rows)
        ghost_end = len(self.ghost[-1]) + (self.cursor.x if not self.extra else 0)
        past = x - ghost_end if y == last else 0
        return Point(x=self.cursor.x + max(0, past), y=self.cursor.y)


def _within(x: int, y: int, rows: int) -> Point:
    return Point(x=x, y=y) if y < rows else Point(x=10**6, y=rows - 1)


class GhostContent(UIContent):
    """A buffer's content with ghost lines in it and blank rows after it."""

    def __init__(self, base: UIContent, ghost: tuple[str, ...], blank_rows: int) -> None:
        self.rows = Rows(base.cursor_position, ghost, base.line_count)
        self._base = base
        self._drawn = _ghost_lines(base, ghost) if ghost else []
        super().__init__(
            self._line,
            base.line_count + self.rows.extra + blank_rows,
            base.cursor_position,
            base.menu_position,
        )

    def _line(self, row: int) -> StyleAndTextTuples:
        at = row - self.rows.cursor.y
        if 0 <= at < len(self._drawn):
            return self._drawn[at]
        number = self.rows.number(row)
        return self._base.get_line(number) if number is not None else []


def _ghost_lines(base: UIContent, ghost: tuple[str, ...]) -> list[StyleAndTextTuples]:
    head, tail = split_at(base.get_line(base.cursor_position.y), base.cursor_position.x)
    # Scrolled sideways, the lines that are all ghost begin at the left: else none would be seen.
    drawn: list[StyleAndTextTuples] = [[(GHOST, line)] for line in ghost]
    drawn[0] = [*head, *drawn[0], *([] if len(drawn) > 1 else tail)]
    if len(drawn) > 1:
        drawn[0].append(("", " "))
        drawn[-1] = [*drawn[-1], *tail]
    return drawn


class GhostBufferControl(BufferControl):
    """A BufferControl that shows `ghost(document)` at the cursor while it has the focus."""

    def __init__(
        self,
        buffer: Buffer,
        ghost: Callable[[Document], str],
        lexer: Lexer | None = None,
        search: SearchBufferControl | None = None,
        wheel: Callable[[int], None] | None = None,
        blank_rows: int = BLANK_ROWS,
        wraps: bool = False,
    ) -> None:
        """A window that `wraps` lines gets them whole; any other must not scroll sideways."""
        self._sideways = Sideways()
        super().__init__(
            buffer,
            input_processors=[
                self._sideways,
                HighlightSearchProcessor(),
                HighlightIncrementalSearchProcessor(),
                HighlightSelectionProcessor(),
                OddCharacters(lambda: self._sideways.left),
            ],
            include_default_input_processors=False,
            lexer=lexer,
            search_buffer_control=search,
            preview_search=True,
            focus_on_click=True,
        )
        self._ghost, self._wheel = ghost, wheel
        self._blank_rows, self._wraps = blank_rows, wraps
        self._rows: Rows | None = None
        self._dragged = False

    def _create_get_processed_line_func(
        self, document: Document, width: int, height: int
    ) -> Callable[[int], _ProcessedLine]:
        if not self._wraps:
            self._sideways.follow(document, width)
        return super()._create_get_processed_line_func(document, width, height)

    def create_content(self, width: int, height: int, preview_search: bool = False) -> GhostContent:
        """The content for the screen; the ghost only where one types."""
        base = super().create_content(width, height, preview_search)
        focused = get_app().layout.current_control is self
        text = self._ghost(self.buffer.document) if focused else ""
        content = GhostContent(base, self._lines(base, text) if text else (), self._blank_rows)
        self._rows = content.rows
        return content

    def _lines(self, base: UIContent, text: str) -> tuple[str, ...]:
        head, _ = split_at(base.get_line(base.cursor_position.y), base.cursor_position.x)
        first, *others = text.split("\n")
        column = self._sideways.left + width_of(head)
        return (shown(first, column), *map(shown, others))

    def mouse_handler(self, mouse_event: MouseEvent) -> "NotImplementedOrNone":
        """Clicks land where the text is without the ghost.

        Pressing the button clears the ghost, so releasing it, unmoved, comes with the position in
        another layout: it counts as released where it was pressed.
        """
        kind = mouse_event.event_type
        if kind in _WHEEL and self._wheel:
            self._wheel(_WHEEL[kind])
            return None
        position = (
            self._rows.to_buffer(mouse_event.position) if self._rows else mouse_event.position
        )
        if kind == MouseEventType.MOUSE_UP and not self._dragged:
            position = self._cursor_point()
        self._dragged = kind == MouseEventType.MOUSE_MOVE
        moved = MouseEvent(position, kind, mouse_event.button, mouse_event.modifiers)
        result = super().mouse_handler(moved)
        if self.buffer.selection_state:
            self.buffer.selection_state.enter_shift_mode()
        return result

    def _cursor_point(self) -> Point:
        document = self.buffer.document
        row, column = document.cursor_position_row, document.cursor_position_col
        if self._last_get_processed_line:
            column = self._last_get_processed_line(row).source_to_display(column)
        return Point(x=column, y=row)


def drawn_text(content: UIContent) -> list[str]:
    """The content's lines without their colours."""
    return [fragment_list_to_text(content.get_line(row)) for row in range(content.line_count)]
