"""The text being edited: prompt-toolkit's Buffer with our undo and a dirty flag.

Knows no file, no keys and no suggestions.
"""

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.clipboard import ClipboardData
from prompt_toolkit.document import Document
from prompt_toolkit.history import History as InputHistory

from autocoder.clients.editor.undo import History, difference


class EditBuffer(Buffer):
    """A Buffer whose undo holds changes instead of whole texts."""

    def __init__(self, text: str = "", history: InputHistory | None = None) -> None:
        self.changes = History()
        super().__init__(document=Document(text, 0), history=history, multiline=True)
        self._saved = text
        self._known, self._cursor = text, 0
        self._replaying = False
        self.on_text_changed += self._record
        self.on_cursor_position_changed += self._remember_cursor

    @property
    def is_dirty(self) -> bool:
        """Whether the text differs from what was last opened or saved."""
        return self.text != self._saved

    def mark_saved(self, text: str) -> None:
        """`text` is what the file holds now."""
        self._saved = text

    def _record(self, _: Buffer) -> None:
        if not self._replaying:
            self.changes.record(difference(self._known, self.text, self._cursor))
        self._known, self._cursor = self.text, self.cursor_position

    def _remember_cursor(self, _: Buffer) -> None:
        if self.text is self._known:
            self._cursor = self.cursor_position

    def save_to_undo_stack(self, clear_redo_stack: bool = True) -> None:
        """Nothing: changes are recorded as they happen."""

    def undo(self) -> None:
        """Take the last step back."""
        self._replay(self.changes.undo(self.text))

    def redo(self) -> None:
        """Make the step that was undone last once more."""
        self._replay(self.changes.redo(self.text))

    def _replay(self, result: tuple[str, int] | None) -> None:
        if result is None:
            return
        self._replaying = True
        try:
            self.document = Document(*result)
        finally:
            self._replaying = False

    def insert_text(
        self,
        data: str,
        overwrite: bool = False,
        move_cursor: bool = True,
        fire_event: bool = True,
    ) -> None:
        """Insert at the cursor; a selection gives way to what is inserted."""
        if self.selection_state:
            self.cut_selection()
        super().insert_text(data, overwrite, move_cursor, fire_event)

    def insert_step(self, text: str) -> None:
        """Insert as one step of undo."""
        self.changes.close_step()
        self.insert_text(text)
        self.changes.close_step()

    def replace(self, start: int, end: int, text: str, cursor: int) -> None:
        """Put `text` in place of [start, end) as one step, and the cursor at `cursor`."""
        self.changes.close_step()
        self.document = Document(self.text[:start] + text + self.text[end:], cursor)
        self.changes.close_step()

    def cut_line(self) -> ClipboardData:
        """Remove the cursor's line with its end."""
        start = self.cursor_position + self.document.get_start_of_line_position()
        stop = self.text.find("\n", start)
        stop = len(self.text) if stop == -1 else stop + 1
        cut = self.text[start:stop]
        self.replace(start, stop, "", start)
        return ClipboardData(cut)
