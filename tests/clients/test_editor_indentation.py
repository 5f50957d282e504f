"""Indentation as the file has it, and what Enter, Tab, Backspace and brackets do to it."""

import pytest

from autocoder.clients.editor import actions
from autocoder.clients.editor.edit_buffer import EditBuffer
from autocoder.clients.editor.indentation import after_newline, dedented, toggled_comment, unit_of


def buffer_at(text: str) -> EditBuffer:
    """A buffer with the cursor where the text has a |."""
    before, _, after = text.partition("|")
    buffer = EditBuffer(before + after)
    buffer.cursor_position = len(before)
    return buffer


def state(buffer: EditBuffer) -> str:
    return f"{buffer.text[: buffer.cursor_position]}|{buffer.text[buffer.cursor_position :]}"


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("", "    "),
        ("x = 1\n", "    "),
        ("a:\n  b\n  c:\n    d\n", "  "),
        ("a:\n    b:\n        c\n", "    "),
        ("a:\n\tb\n\t\tc\n", "\t"),
        ("int f() {\n        x;\n}\n", "        "),
    ],
)
def test_the_unit_is_read_off_the_file(text: str, unit: str) -> None:
    assert unit_of(text) == unit


@pytest.mark.parametrize(
    ("line", "language", "space"),
    [
        ("def f():", "python", "    "),
        ("    if x:  # why", "python", "        "),
        ("    return 1", "python", ""),
        ("        pass", "python", "    "),
        ("    return f(", "python", "        "),
        ("    x = 1", "python", "    "),
        ("    case 1:", "java", "    "),
        ("void f() {", "java", "    "),
        ("    return 1;", "java", "    "),
    ],
)
def test_the_next_line_is_indented_sensibly(line: str, language: str, space: str) -> None:
    assert after_newline(line, "    ", language) == space


def test_enter_between_braces_makes_room() -> None:
    buffer = buffer_at("void f() {|}")
    actions.newline(buffer, "    ", "java")
    assert state(buffer) == "void f() {\n    |\n}"


def test_enter_leaves_no_stray_space_on_blank_lines() -> None:
    buffer = buffer_at("def f():\n    |")
    actions.newline(buffer, "    ", "python")
    assert state(buffer) == "def f():\n\n    |"


def test_a_closing_brace_goes_a_level_to_the_left() -> None:
    buffer = buffer_at("{\n    x;\n    |")
    actions.close_bracket(buffer, "}", "    ")
    assert state(buffer) == "{\n    x;\n}|"
    buffer = buffer_at("f(x|")
    actions.close_bracket(buffer, ")", "    ")
    assert state(buffer) == "f(x)|"


def test_backspace_takes_a_level_of_indentation_or_a_character() -> None:
    buffer = buffer_at("        |x")
    actions.backspace(buffer, "    ")
    assert state(buffer) == "    |x"
    buffer = buffer_at("ab|c")
    actions.backspace(buffer, "    ")
    assert state(buffer) == "a|c"


def test_tab_goes_to_the_next_stop_and_shift_tab_back() -> None:
    buffer = buffer_at("ab|")
    actions.indent(buffer, "    ")
    assert state(buffer) == "ab  |"
    buffer = buffer_at("      x|y")
    actions.unindent(buffer, "    ")
    assert state(buffer) == "    x|y"


def test_a_selection_is_indented_as_lines_and_stays_selected() -> None:
    buffer = EditBuffer("a\n\nb\nc")
    buffer.start_selection()
    buffer.cursor_position = 4
    actions.indent(buffer, "    ")
    assert buffer.text == "    a\n\n    b\nc"
    actions.unindent(buffer, "    ")
    assert buffer.text == "a\n\nb\nc"


def test_comments_go_in_and_out() -> None:
    lines = ["    a", "", "        b"]
    out = toggled_comment(lines, "#")
    assert out == ["    # a", "", "    #     b"]
    assert toggled_comment(out, "#") == lines


def test_lines_move_with_the_cursor() -> None:
    buffer = buffer_at("a\nb|b\nc")
    actions.move_lines(buffer, -1)
    assert state(buffer) == "b|b\na\nc"
    actions.move_lines(buffer, -1)
    assert state(buffer) == "b|b\na\nc"
    actions.move_lines(buffer, 1)
    actions.move_lines(buffer, 1)
    assert state(buffer) == "a\nc\nb|b"


def test_words_are_found_in_both_directions() -> None:
    text = "one  two.three\nfour"
    assert [actions.word_edge(text, 3, 1), actions.word_edge(text, 8, 1)] == [8, 9]
    assert actions.word_edge(text, 14, 1) == 15
    assert actions.word_edge(text, 8, -1) == 5
    assert actions.word_edge(text, 0, -1) == 0


@pytest.mark.parametrize(("space", "less"), [("        ", "    "), ("      ", "    "), ("", "")])
def test_dedenting_goes_to_a_stop(space: str, less: str) -> None:
    assert dedented(space, "    ") == less
