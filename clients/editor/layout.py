"""What stands where on the screen: text, status bar, one line for messages and questions, help.

Asks the editor what to show; changes nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from prompt_toolkit.data_structures import Point
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings.search import (
    abort_search,
    forward_incremental_search,
    reverse_incremental_search,
)
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import (
    ConditionalContainer,
    Dimension,
    Float,
    FloatContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    ScrollOffsets,
    VSplit,
    Window,
    WindowAlign,
)
from prompt_toolkit.search import accept_search
from prompt_toolkit.widgets import Frame, SearchToolbar

from autocoder.clients.editor.ghost_control import GhostBufferControl
from autocoder.clients.editor.gutter import LineNumbers
from autocoder.clients.editor.keys import help_text
from autocoder.clients.editor.prompts import Prompts

if TYPE_CHECKING:
    from autocoder.clients.editor.editor import Editor

ROWS_ABOVE_CURSOR, ROWS_BELOW_CURSOR = 2, 5
WHEEL_ROWS = 3
MESSAGE_ROWS = 4
HINTS = (("Tab", "accept"), ("Alt-→", "word"), ("Ctrl-E", "line"), ("Esc", "dismiss"))
IDLE = (("Ctrl-S", "save"), ("Ctrl-Q", "leave"), ("Ctrl-F", "find"), ("F1", "all keys"))


class Screen:
    """The windows of one editor."""

    def __init__(self, editor: "Editor") -> None:
        self._editor = editor
        self.search = SearchToolbar(
            forward_search_prompt=" Find: ",
            backward_search_prompt=" Find backward: ",
            ignore_case=Condition(lambda: self.search.search_buffer.text.islower()),
        )
        self.search.control.key_bindings = search_keys(self._accept_search)
        self.control = GhostBufferControl(
            editor.buffer, editor.suggester.ghost, editor.lexer, self.search.control, self._wheel
        )
        self.window = Window(
            self.control,
            left_margins=[LineNumbers()],
            scroll_offsets=ScrollOffsets(top=ROWS_ABOVE_CURSOR, bottom=ROWS_BELOW_CURSOR),
            get_horizontal_scroll=lambda window: 0,
        )
        self.prompts: Prompts = Prompts(lambda: self.layout.focus(self.window))
        self._help_row = 0
        self._help = FormattedTextControl(
            help_text(),
            focusable=True,
            show_cursor=False,
            key_bindings=self._help_keys(),
            get_cursor_position=lambda: Point(x=0, y=self._help_row),
        )
        self._help_window = Window(self._help)
        self.layout = Layout(self._containers(), focused_element=self.window)

    def _containers(self) -> FloatContainer:
        helping = has_focus(self._help)
        searching = has_focus(self.search.control)
        message = ConditionalContainer(self._message_window(), ~self.prompts.active & ~searching)
        found = Window(FormattedTextControl(self._matches), align=WindowAlign.RIGHT, height=1)
        body = HSplit(
            [
                self.window,
                self._status_bar(),
                ConditionalContainer(VSplit([self.search, found]), searching),
                message,
                self.prompts.container,
            ]
        )
        frame = ConditionalContainer(Frame(self._help_window, style="class:help"), helping)
        return FloatContainer(body, [Float(frame)])

    def _message_window(self) -> Window:
        """One row, or as many as it takes to read a message to its end."""
        rows = Dimension(min=1, max=MESSAGE_ROWS)
        control = FormattedTextControl(self._message)
        return Window(control, height=rows, wrap_lines=True, dont_extend_height=True)

    def _status_bar(self) -> VSplit:
        left = Window(FormattedTextControl(self._status_left), style="class:status")
        right = Window(
            FormattedTextControl(self._status_right),
            style="class:status",
            align=WindowAlign.RIGHT,
            dont_extend_width=True,
        )
        return VSplit([left, right], height=1)

    def _status_left(self) -> StyleAndTextTuples:
        editor = self._editor
        marks = "".join(
            mark
            for mark, holds in (
                (" ●", editor.buffer.is_dirty),
                (" [new]", editor.is_new),
                (" [read-only]", editor.read_only),
                (" [no recovery copy]", bool(editor.copy_trouble)),
            )
            if holds
        )
        return [("class:status.dirty", f" {editor.path}{marks} ")]

    def _status_right(self) -> StyleAndTextTuples:
        editor, document = self._editor, self._editor.buffer.document
        place = f"Ln {document.cursor_position_row + 1}, Col {document.cursor_position_col + 1}"
        parts = [place, editor.language or "text", editor.form.label, self._daemon()]
        return [("", " │ ".join(parts) + " ")]

    def _daemon(self) -> str:
        state = self._editor.suggester.state
        if not state.enabled:
            return "suggestions off (F4)"
        if state.trouble:
            return "no suggestions"
        if state.latency_ms is None:
            return state.model or "starting …"
        return f"{state.model} {state.latency_ms:.0f} ms".strip()

    def _message(self) -> StyleAndTextTuples:
        editor = self._editor
        if editor.message:
            style = "class:message.error" if editor.message_is_error else "class:message"
            return [(style, f" {editor.message}")]
        state = editor.suggester.state
        if state.trouble and state.enabled:
            return [("class:message.error", f" no suggestions: {state.trouble}")]
        hints = HINTS if editor.suggester.ghost(editor.buffer.document) else IDLE
        drawn: StyleAndTextTuples = []
        for key, word in hints:
            drawn += [("class:message.key", f" {key} "), ("", f"{word}  ")]
        return drawn

    def _matches(self) -> StyleAndTextTuples:
        wanted = self.search.search_buffer.text
        if not wanted:
            return []
        count = self._editor.count(wanted)
        return [("class:message" if count else "class:message.error", f"{count} found ")]

    def _accept_search(self, event: KeyPressEvent) -> None:
        wanted = self.search.search_buffer.text
        accept_search()
        self._editor.tell_missing(wanted or self.control.search_state.text)

    def _wheel(self, direction: int) -> None:
        """Scroll, and take the cursor along only where it would leave the window."""
        info = self.window.render_info
        if info is None:
            return
        last_top = max(0, info.content_height - info.window_height)
        top = min(max(self.window.vertical_scroll + direction * WHEEL_ROWS, 0), last_top)
        self.window.vertical_scroll = top
        document = self._editor.buffer.document
        lowest = top + info.window_height - 1 - ROWS_BELOW_CURSOR
        first = top + ROWS_ABOVE_CURSOR if top else 0
        row = max(min(document.cursor_position_row, lowest), first)
        if row != document.cursor_position_row:
            column = document.cursor_position_col
            at = document.translate_row_col_to_index(row, column)
            self._editor.buffer.cursor_position = at

    def show_help(self) -> None:
        """Show the key table until a key other than up and down is pressed."""
        self._help_row = 0
        self.layout.focus(self._help)

    def _help_keys(self) -> KeyBindings:
        keys = KeyBindings()

        last = help_text().count("\n")

        def close(event: KeyPressEvent) -> None:
            event.app.layout.focus(self.window)

        def scroll(rows: int) -> Callable[[KeyPressEvent], None]:
            def handler(event: KeyPressEvent) -> None:
                shown = self._help_window.render_info
                bottom = shown.last_visible_line() if shown else 0
                start = bottom if rows > 0 else self._help_window.vertical_scroll
                self._help_row = min(max(start + rows, 0), last)

            return handler

        for key in (Keys.Any, "escape", "enter", "f1", "c-q", "c-c", "tab"):
            keys.add(key, eager=True)(close)
        for key, rows in (("up", -1), ("down", 1), ("pageup", -10), ("pagedown", 10)):
            keys.add(key, eager=True)(scroll(rows))
        return keys


def search_keys(accept: Callable[[KeyPressEvent], None]) -> KeyBindings:
    """Keys while the search line has the focus."""
    keys = KeyBindings()
    keys.add("enter")(accept)
    for key in ("escape", "c-c", "c-g"):
        keys.add(key, eager=True)(abort_search)
    for key in ("down", "f3", "c-n", "c-f"):
        keys.add(key)(forward_incremental_search)
    for key in ("up", "c-p"):
        keys.add(key)(reverse_incremental_search)
    return keys
