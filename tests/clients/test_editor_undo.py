"""Undo by changes: steps as people mean them, and memory that is bounded."""

import random

from autocoder.clients.editor.edit_buffer import EditBuffer
from autocoder.clients.editor.undo import History, difference


def typed(buffer: EditBuffer, text: str) -> None:
    for character in text:
        buffer.insert_text(character)


def test_a_word_is_one_step() -> None:
    buffer = EditBuffer("")
    typed(buffer, "hello brave world")
    buffer.undo()
    assert buffer.text == "hello brave "
    buffer.undo()
    assert buffer.text == "hello "
    buffer.redo()
    assert buffer.text == "hello brave " and buffer.cursor_position == 12


def test_an_accepted_suggestion_is_one_step_of_its_own() -> None:
    buffer = EditBuffer("")
    typed(buffer, "ran")
    buffer.insert_step("ge(10):\n    print(i)")
    typed(buffer, "x")
    buffer.undo()
    buffer.undo()
    assert (buffer.text, buffer.cursor_position) == ("ran", 3)


def test_the_cursor_comes_back_to_where_it_was() -> None:
    buffer = EditBuffer("one two three")
    buffer.cursor_position = 7
    buffer.delete_before_cursor(3)
    buffer.cursor_position = 0
    buffer.undo()
    assert (buffer.text, buffer.cursor_position) == ("one two three", 7)


def test_a_new_edit_forgets_what_was_undone() -> None:
    buffer = EditBuffer("")
    typed(buffer, "a b")
    buffer.undo()
    typed(buffer, "c")
    buffer.redo()
    assert buffer.text == "a c"


def test_undo_and_redo_retrace_any_edits_exactly() -> None:
    choice = random.Random(5)
    history, text, texts = History(), "", [""]
    for _ in range(300):
        start = choice.randint(0, len(text))
        stop = min(len(text), start + choice.choice([0, 0, 1, 5]))
        new = text[:start] + choice.choice(["", "a", "xy\n", "日本", "aa"]) + text[stop:]
        if new != text:
            history.close_step()
            history.record(difference(text, new, start))
            text = new
            texts.append(text)
    for expected in reversed(texts[:-1]):
        found = history.undo(text)
        assert found is not None
        text = found[0]
        assert text == expected
    assert history.undo(text) is None
    for expected in texts[1:]:
        found = history.redo(text)
        assert found is not None
        text = found[0]
        assert text == expected


def test_what_is_kept_stays_within_its_bound() -> None:
    history = History(max_characters=10_000)
    text = "x" * 350_000
    for number in range(500):
        new = text[:1000] + str(number) * 100 + text[1000:]
        history.close_step()
        history.record(difference(text, new, 1000))
        text = new
    steps = 0
    while (found := history.undo(text)) is not None:
        text, steps = found[0], steps + 1
    assert 10 < steps < 500


def test_dirty_is_told_by_the_text() -> None:
    buffer = EditBuffer("x")
    typed(buffer, "a")
    assert buffer.is_dirty
    buffer.undo()
    assert not buffer.is_dirty


def test_typing_replaces_the_selection() -> None:
    buffer = EditBuffer("one two")
    buffer.start_selection()
    buffer.cursor_position = 3
    buffer.insert_text("1")
    assert buffer.text == "1 two"
