"""What keys do to the text: pure editing on a buffer. Knows no screen, file or suggestion."""

import re
from collections.abc import Callable

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.selection import SelectionType

from autocoder.clients.editor import indentation
from autocoder.clients.editor.edit_buffer import EditBuffer

_WORDS = re.compile(r"\w+|[^\w\s]+|\n")


def newline(buffer: EditBuffer, unit: str, language: str | None) -> None:
    """Break the line and indent the new one; the cursor's blank line keeps no stray space."""
    document = buffer.document
    line = document.current_line_before_cursor
    space = indentation.after_newline(line, unit, language)
    after = document.current_line_after_cursor
    if not line.strip() and not after and line:
        start = buffer.cursor_position - len(line)
        return buffer.replace(start, buffer.cursor_position, "\n" + line, start + 1 + len(line))
    if after[:1] in tuple(")]}") and line.rstrip()[-1:] in tuple("([{") and line:
        tail = "\n" + indentation.leading(line)
        at = buffer.cursor_position
        return buffer.replace(at, at, f"\n{space}{tail}", at + 1 + len(space))
    buffer.insert_text("\n" + space)
    return None


def indent(buffer: EditBuffer, unit: str) -> None:
    """Indent the selected lines, or go to the next stop at the cursor."""
    if buffer.selection_state:
        return _change_lines(buffer, lambda line: unit + line if line else line)
    column = len(buffer.document.current_line_before_cursor.expandtabs(4))
    buffer.insert_text(unit if unit == "\t" else " " * (len(unit) - column % len(unit)))
    return None


def unindent(buffer: EditBuffer, unit: str) -> None:
    """Take one level off the line or the selected lines."""

    def less(line: str) -> str:
        space = indentation.leading(line)
        return indentation.dedented(space, unit) + line[len(space) :]

    _change_lines(buffer, less)


def toggle_comment(buffer: EditBuffer, mark: str) -> None:
    """Comment the line or the selected lines out, or in again."""
    start, stop = _line_span(buffer)
    lines = indentation.toggled_comment(buffer.text[start:stop].split("\n"), mark)
    _put_lines(buffer, start, stop, lines)


def _change_lines(buffer: EditBuffer, change: Callable[[str], str]) -> None:
    start, stop = _line_span(buffer)
    _put_lines(buffer, start, stop, [change(line) for line in buffer.text[start:stop].split("\n")])


def _put_lines(buffer: EditBuffer, start: int, stop: int, lines: list[str]) -> None:
    selected = buffer.selection_state is not None
    text = "\n".join(lines)
    from_end = len(buffer.text) - buffer.cursor_position
    after = len(buffer.text) - stop
    cursor = max(start, start + len(text) + after - from_end)
    buffer.replace(start, stop, text, start if selected else cursor)
    if selected:
        buffer.start_selection(selection_type=SelectionType.CHARACTERS)
        if buffer.selection_state:
            buffer.selection_state.enter_shift_mode()
        buffer.cursor_position = start + len(text)


def _line_span(buffer: Buffer) -> tuple[int, int]:
    """Start of the first and end of the last selected line (or of the cursor's)."""
    first, last = buffer.cursor_position, buffer.cursor_position
    if buffer.selection_state:
        first, last = sorted((first, buffer.selection_state.original_cursor_position))
        if last > first and buffer.text[last - 1] == "\n":
            last -= 1
    stop = buffer.text.find("\n", last)
    return buffer.text.rfind("\n", 0, first) + 1, stop if stop != -1 else len(buffer.text)


def backspace(buffer: EditBuffer, unit: str) -> None:
    """Delete the selection, a level of indentation, or a character."""
    if buffer.selection_state:
        buffer.cut_selection()
        return
    line = buffer.document.current_line_before_cursor
    if line and not line.strip(" ") and unit != "\t":
        buffer.delete_before_cursor(len(line) - len(indentation.dedented(line, unit)))
    else:
        buffer.delete_before_cursor(1)


def close_bracket(buffer: EditBuffer, character: str, unit: str) -> None:
    """Insert a closing bracket; one that closes a block goes a level to the left."""
    document = buffer.document
    line = document.current_line_before_cursor
    alone = indentation.closes_block(character, line) and not document.current_line_after_cursor
    if alone and not buffer.selection_state:
        at = buffer.cursor_position
        less = indentation.dedented(line, unit)
        start = at - len(line)
        return buffer.replace(start, at, less + character, start + len(less) + 1)
    buffer.insert_text(character)
    return None


def paste(buffer: EditBuffer, text: str) -> None:
    """Insert what the terminal pasted, as it is, in one step of undo."""
    buffer.insert_step(text.replace("\r\n", "\n").replace("\r", "\n"))


def select_all(buffer: EditBuffer) -> None:
    """Select the whole text."""
    buffer.cursor_position = 0
    buffer.start_selection(selection_type=SelectionType.CHARACTERS)
    if buffer.selection_state:
        buffer.selection_state.enter_shift_mode()
    buffer.cursor_position = len(buffer.text)


def move_lines(buffer: EditBuffer, step: int) -> None:
    """Move the cursor's line up (-1) or down (1)."""
    lines = buffer.document.lines
    row = buffer.document.cursor_position_row
    other = row + step
    if not 0 <= other < len(lines):
        return
    first = min(row, other)
    start = buffer.document.translate_row_col_to_index(first, 0)
    text = f"{lines[first + 1]}\n{lines[first]}"
    shift = step * (len(lines[other]) + 1)
    buffer.replace(start, start + len(text), text, buffer.cursor_position + shift)


def delete_word(buffer: EditBuffer, direction: int) -> None:
    """Delete to the beginning (-1) or the end (1) of a word, or the selection."""
    if buffer.selection_state:
        buffer.cut_selection()
        return
    at, other = buffer.cursor_position, word_edge(buffer.text, buffer.cursor_position, direction)
    start, stop = sorted((at, other))
    buffer.replace(start, stop, "", start)


def word_edge(text: str, at: int, direction: int) -> int:
    """Where the next word ends (1), or the one before begins (-1); line breaks are words."""
    if direction > 0:
        found = _WORDS.search(text, at)
        return found.end() if found else len(text)
    low = max(0, at - 1000)
    begins = [found.start() for found in _WORDS.finditer(text, low, at)]
    return begins[-1] if begins else low


def move_word(buffer: Buffer, direction: int) -> None:
    """The cursor to the next word's end or the last word's beginning."""
    buffer.cursor_position = word_edge(buffer.text, buffer.cursor_position, direction)


def move_by(buffer: Buffer, characters: int) -> None:
    """The cursor left or right, over line ends too."""
    buffer.cursor_position += characters


def move_to(buffer: Buffer, position: int) -> None:
    """The cursor to an index of the text."""
    buffer.cursor_position = position


def home(buffer: Buffer) -> None:
    """The cursor to the line's first character, or, from there, to its beginning."""
    line = buffer.document.current_line
    column = buffer.document.cursor_position_col
    space = len(indentation.leading(line))
    buffer.cursor_position += (space if column != space else 0) - column


def line_end(buffer: Buffer) -> None:
    """The cursor to the end of its line."""
    buffer.cursor_position += buffer.document.get_end_of_line_position()
