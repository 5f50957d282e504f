"""Ghost text, read cell by cell from the screen of the real editor with a real daemon behind it."""

from pathlib import Path

import pytest

LOOP = "ge(10):\n    print(i)"
RANGE = {"for i in ran": LOOP}


def test_it_stands_grey_at_the_cursor(edit, script) -> None:
    script.answer({"for i in ran": "ge(10):"})
    terminal = edit("")
    terminal.type("for i in ran")
    assert terminal.wait(terminal.ghost) == ["ge(10):"]
    assert terminal.lines[0].endswith("for i in range(10):")
    assert terminal.screen.cursor.x == terminal.lines[0].index("ge(10)")
    row = terminal.screen.buffer[0]
    typed = [row[x].fg for x in range(5, terminal.screen.cursor.x)]
    assert "808080" not in typed


def test_several_lines_in_the_middle_of_a_file_push_the_rest_down_and_back(edit, script) -> None:
    script.answer(RANGE)
    terminal = edit("a = 1\n\nb = 2\nc = 3\n")
    terminal.press("down")
    terminal.type("for i in ran")
    assert terminal.wait(terminal.ghost) == LOOP.split("\n")
    assert [line[5:] for line in terminal.lines[:5]] == [
        "a = 1",
        "for i in range(10):",
        "    print(i)",
        "b = 2",
        "c = 3",
    ]
    assert [line[:5].strip() for line in terminal.lines[:5]] == ["1", "2", "", "3", "4"]
    terminal.press("esc")
    terminal.wait(lambda: not terminal.ghost())
    assert [line[5:] for line in terminal.lines[:4]] == ["a = 1", "for i in ran", "b = 2", "c = 3"]


def test_in_the_middle_of_a_line_the_tail_stays_and_is_not_grey(edit, script) -> None:
    script.answer({"f(ran": "ge(10)"})
    terminal = edit("f()  # 日本 tail\n")
    terminal.press("right", "right")
    terminal.type("ran")
    assert terminal.wait(terminal.ghost) == ["ge(10)"]
    terminal.settle(0.1)
    assert "".join(terminal.lines[0][5:].split()) == "f(range(10))#日本tail"
    assert script.requests[-1]["max_lines"] == 1


def test_a_letter_that_the_suggestion_does_not_have_is_answered_at_once(edit, script) -> None:
    script.answer({"self.": "items", "self.na": "me", "self.nb": "ytes"})
    terminal = edit("")
    terminal.type("self.")
    assert terminal.wait(terminal.ghost) == ["items"]
    terminal.type("n")
    assert terminal.wait(lambda: script.requests[-1]["prefix"] == "self.n")
    terminal.type("a")
    assert terminal.wait(terminal.ghost) == ["me"]
    terminal.press("backspace")
    terminal.type("b")
    assert terminal.wait(lambda: terminal.ghost() == ["ytes"])
    terminal.press("backspace", "backspace")
    assert terminal.wait(lambda: terminal.ghost() == ["items"])


def test_typing_through_shrinks_it_without_a_request(edit, script) -> None:
    script.answer(RANGE)
    terminal = edit("")
    terminal.type("for i in ran")
    terminal.wait(terminal.ghost)
    before = len(script.requests)
    terminal.type("ge(")
    terminal.wait(lambda: terminal.ghost() == ["10):", "    print(i)"])
    terminal.press("backspace")
    terminal.wait(lambda: terminal.ghost() == ["(10):", "    print(i)"])
    assert len(script.requests) == before
    terminal.type("x")
    terminal.wait(lambda: not terminal.ghost())


@pytest.mark.parametrize(
    ("keys", "text", "left"),
    [
        (["tab"], "for i in range(10):\n    print(i)", []),
        (["alt-right"], "for i in range", ["(10):", "    print(i)"]),
        (["ctrl-right", "ctrl-right"], "for i in range(", ["10):", "    print(i)"]),
        (["ctrl-e"], "for i in range(10):", ["", "    print(i)"]),
        (["alt-enter", "ctrl-e"], "for i in range(10):\n    print(i)", []),
        (["esc"], "for i in ran", []),
        (["left"], "for i in ran", []),
    ],
)
def test_each_key_takes_its_part(edit, script, work: Path, keys, text, left) -> None:
    script.answer(RANGE)
    terminal = edit("")
    terminal.type("for i in ran")
    terminal.wait(terminal.ghost)
    terminal.press(*keys, pause=0.2)
    terminal.settle(0.15)
    assert [line for line in terminal.ghost() if line] == [line for line in left if line]
    terminal.press("ctrl-s")
    terminal.wait_for("Saved")
    assert (work / "a.py").read_text() == text


def test_undo_takes_back_exactly_the_accepted_text(edit, script, work: Path) -> None:
    script.answer(RANGE)
    terminal = edit("")
    terminal.type("for i in ran")
    terminal.wait(terminal.ghost)
    terminal.press("tab", "ctrl-z", "ctrl-s")
    terminal.wait_for("Saved")
    assert (work / "a.py").read_text() == "for i in ran"


def test_other_candidates_come_by_key(edit, script) -> None:
    script.answer({"for i in ran": ["ge(10):", "dom():", "ks:"]})
    terminal = edit("")
    terminal.type("for i in ran")
    terminal.wait(lambda: terminal.ghost() == ["ge(10):"])
    terminal.press("alt-n")
    terminal.wait(lambda: terminal.ghost() == ["dom():"])
    terminal.press("alt-n")
    terminal.wait(lambda: terminal.ghost() == ["ks:"])
    terminal.press("alt-p", "alt-p")
    terminal.wait(lambda: terminal.ghost() == ["ge(10):"])


def test_it_is_asked_for_by_key_and_switched_off_and_on(edit, script) -> None:
    script.answer({"x = ": "value"})
    terminal = edit("x = ")
    terminal.press("end", "ctrl-space")
    terminal.wait(terminal.ghost)
    terminal.press("f4")
    terminal.wait_for("suggestions off")
    assert not terminal.ghost()
    terminal.press("f4", "alt-\\")
    assert terminal.wait(terminal.ghost) == ["value"]


def test_tabs_and_wide_characters_stand_in_their_columns(edit, script) -> None:
    script.answer({"日 = ": "'本'\n\tx\n    y"})
    terminal = edit("\n\tz = 1\n")
    terminal.type("日 = ")
    terminal.wait(terminal.ghost)
    terminal.settle(0.1)
    shown = [line.replace(" ", ".") for line in terminal.lines[:4]]
    assert [line[5:] for line in shown] == ["日.=.'本'", "....x", "....y", "....z.=.1"]
    assert terminal.screen.cursor.x == 5 + 5


def test_a_ghost_at_the_bottom_never_scrolls_the_window(edit, script) -> None:
    script.answer(RANGE)
    terminal = edit("".join(f"x{n} = {n}\n" for n in range(60)))
    terminal.press("ctrl-end")
    terminal.settle(0.1)
    top = terminal.lines[0]
    terminal.type("for i in ran")
    assert terminal.wait(terminal.ghost) == LOOP.split("\n")
    assert terminal.lines[0] == top


def test_a_click_lands_on_the_text_below_the_ghost(edit, script, work: Path) -> None:
    script.answer(RANGE)
    terminal = edit("\nabc\ndef\n")
    terminal.type("for i in ran")
    terminal.wait(terminal.ghost)
    assert terminal.lines[3].endswith("def")
    terminal.click(3, 6)
    terminal.wait(lambda: not terminal.ghost())
    terminal.type("X")
    terminal.press("ctrl-s")
    terminal.wait_for("Saved")
    assert (work / "a.py").read_text() == "for i in ran\nabc\ndXef\n"


def test_without_colours_it_is_dim_and_italic(edit, script) -> None:
    script.answer({"for i in ran": "ge(10):"})
    terminal = edit("", environment={"NO_COLOR": "1"})
    terminal.type("for i in ran")
    terminal.wait_for("range(10):")
    cell = terminal.screen.buffer[0][terminal.screen.cursor.x]
    assert cell.italics and cell.fg == "default"
    assert not terminal.screen.buffer[0][terminal.screen.cursor.x - 1].italics


def test_a_stale_answer_is_dropped(edit, script) -> None:
    script.answer({"*slow": 0.3, "for i in ran": "ge(10):", "x": "YYY"})
    terminal = edit("")
    terminal.type("x")
    terminal.read(0.1)
    terminal.press("enter")
    terminal.settle(0.6)
    assert not terminal.ghost()


def test_the_daemon_dies_while_one_types(edit, script, work: Path) -> None:
    script.answer(RANGE)
    terminal = edit("")
    terminal.type("for i in ran")
    terminal.wait(terminal.ghost)
    terminal.press("tab")
    script.kill()
    terminal.type("\nx = 1\ny = 2")
    terminal.settle(0.2)
    terminal.type("\nz = 3")
    terminal.press("ctrl-s")
    terminal.wait_for("Saved")
    assert (work / "a.py").read_text().endswith("x = 1\n    y = 2\n    z = 3")


def test_a_failing_and_a_slow_daemon_are_told_and_typing_goes_on(edit, script, work: Path) -> None:
    script.answer({"*fail": "the model is broken; export it again"})
    terminal = edit("")
    terminal.type("x = 1")
    terminal.wait_for("no suggestions: the model is broken")
    script.answer({"*slow": 30.0})
    terminal.press("alt-\\")
    terminal.type("\ny = 2")
    terminal.press("ctrl-s")
    terminal.wait_for("Saved")
    assert (work / "a.py").read_text() == "x = 1\ny = 2"
    terminal.press("ctrl-q")
    assert terminal.end() == 0
