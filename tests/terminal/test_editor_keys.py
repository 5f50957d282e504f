"""Every key of the table that F1 shows, pressed in the real editor."""

from pathlib import Path

import pytest

from autocoder.clients.editor.keys import KEYS

TWO = "one two\nthree\n"


@pytest.mark.parametrize(
    ("content", "keys", "result"),
    [
        (TWO, ["tab"], "    one two\nthree\n"),
        ("    x\n", ["shift-tab"], "x\n"),
        (TWO, ["ctrl-e", "tab"], "one two \nthree\n"),
        (TWO, ["alt-right", "delete"], "onetwo\nthree\n"),
        (TWO, ["ctrl-right", "ctrl-right", "delete"], "one twothree\n"),
        (TWO, ["end", "ctrl-left", "delete"], "one wo\nthree\n"),
        (TWO, ["end", "alt-left", "delete"], "one wo\nthree\n"),
        (TWO, ["delete", "ctrl-z"], TWO),
        (TWO, ["delete", "ctrl-z", "ctrl-y"], "ne two\nthree\n"),
        (TWO, ["shift-right", "shift-right", "delete"], "e two\nthree\n"),
        (TWO, ["shift-down", "backspace"], "three\n"),
        (TWO, ["shift-end", "tab"], "    one two\nthree\n"),
        (TWO, ["shift-right", "esc", "delete"], "oe two\nthree\n"),
        (TWO, ["ctrl-a", "delete"], ""),
        (TWO, ["ctrl-x", "ctrl-v", "ctrl-v"], "one two\none two\nthree\n"),
        (TWO, ["ctrl-k"], "three\n"),
        (TWO, ["ctrl-c", "down", "ctrl-v"], "one two\none two\nthree\n"),
        (TWO, ["alt-down"], "three\none two\n"),
        (TWO, ["down", "alt-up"], "three\none two\n"),
        (TWO, ["ctrl-/"], "# one two\nthree\n"),
        (TWO, ["ctrl-/", "ctrl-/"], TWO),
        (TWO, ["end", "ctrl-w"], "one \nthree\n"),
        (TWO, ["ctrl-delete"], " two\nthree\n"),
        (TWO, ["ctrl-end", "backspace"], "one two\nthree"),
        (TWO, ["ctrl-end", "ctrl-home", "delete"], "ne two\nthree\n"),
        ("    x\n", ["home", "delete"], "    \n"),
        ("    x\n", ["home", "home", "delete"], "   x\n"),
        (TWO, ["pagedown", "backspace"], "one two\nthree"),
        (TWO, ["pagedown", "pageup", "delete"], "ne two\nthree\n"),
        (TWO, ["down", "up", "right", "left", "delete"], "ne two\nthree\n"),
        (TWO, ["end", "enter"], "one two\n\nthree\n"),
        ("if x:\n", ["end", "enter", "delete"], "if x:\n    "),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_a_key_edits(edit, script, work: Path, content: str, keys, result: str) -> None:
    script.answer({})
    terminal = edit(content)
    terminal.press(*keys, pause=0.08)
    terminal.press("ctrl-s")
    terminal.wait_for("Saved")
    assert (work / "a.py").read_text() == result


def test_finding_forwards_and_backwards(edit, script) -> None:
    script.answer({})
    terminal = edit("aa\nbX\ncx\ndx\n")

    def at(line: int, column: int) -> None:
        terminal.wait_for(f"Ln {line}, Col {column} ")

    terminal.press("ctrl-f")
    terminal.type("x")
    terminal.wait_for("3 found")
    terminal.press("enter")
    at(2, 2)
    terminal.press("f3")
    at(3, 2)
    terminal.press("f3")
    at(4, 2)
    terminal.press("ctrl-p")
    at(3, 2)
    terminal.press("ctrl-n")
    at(4, 2)
    terminal.press("ctrl-p")
    at(3, 2)
    terminal.press("ctrl-f")
    terminal.type("nowhere")
    terminal.wait_for("0 found")
    terminal.press("esc")
    at(3, 2)


def test_going_to_a_line_and_replacing(edit, script, work: Path) -> None:
    script.answer({})
    terminal = edit("a1\na2\na3\n")
    terminal.press("ctrl-g")
    terminal.wait_for("Go to line:")
    terminal.type("3\n")
    terminal.wait_for("Ln 3, Col 1 ")
    terminal.press("ctrl-r")
    terminal.wait_for("Replace all:")
    terminal.type("a\nbb\n")
    terminal.wait_for("3 replaced")
    terminal.press("ctrl-s")
    terminal.wait_for("Saved")
    assert (work / "a.py").read_text() == "bb1\nbb2\nbb3\n"


def test_f1_shows_every_key_and_scrolls(edit, script) -> None:
    script.answer({})
    terminal = edit("text\n")
    terminal.press("f1")
    terminal.wait_for("accept all of it")
    terminal.press("pagedown", "pagedown", "pagedown", pause=0.1)
    terminal.wait_for("any other key closes this")
    terminal.press("esc")
    terminal.wait(lambda: not terminal.shows("any other key closes this"))
    terminal.type("x")
    terminal.wait_for("xtext")


def test_a_big_terminal_shows_the_whole_table(edit, script) -> None:
    script.answer({})
    terminal = edit("", rows=50)
    terminal.press("f1")
    for _, keys in KEYS:
        for key, meaning in keys:
            terminal.wait(
                lambda key=key, text=meaning: any(
                    key in line and text in line for line in terminal.lines
                )
            )


def test_leaving_with_unsaved_changes_asks(edit, script, work: Path) -> None:
    script.answer({})
    terminal = edit("old\n")
    terminal.type("x")
    terminal.wait_for("●")
    terminal.press("ctrl-q")
    terminal.wait_for("unsaved changes")
    terminal.press("esc", pause=0.2)
    terminal.type("y")
    terminal.wait_for("xyold")
    terminal.press("ctrl-q")
    terminal.type("s")
    assert terminal.end() == 0
    assert (work / "a.py").read_text() == "xyold\n"


def test_saving_under_another_name(edit, script, work: Path) -> None:
    script.answer({})
    terminal = edit("old\n")
    terminal.type("x")
    terminal.press("f2")
    terminal.wait_for("Save as:")
    terminal.press(*["backspace"] * 4)
    terminal.type("b.py\n")
    terminal.wait_for("Saved b.py")
    assert (work / "a.py").read_text() == "old\n"
    assert (work / "b.py").read_text() == "xold\n"


def test_a_name_brings_its_language(edit, script, work: Path) -> None:
    script.answer({})
    terminal = edit("class A {}\n", name="untitled")
    terminal.wait_for("│ text │")
    terminal.press("f2")
    terminal.wait_for("Save as:")
    terminal.press(*["backspace"] * 8)
    terminal.type("A.java\n")
    terminal.wait_for("│ java │")
    terminal.wait(lambda: terminal.screen.buffer[0][5].fg != "default")
    terminal.press("end", "left")
    terminal.type("int x")
    terminal.wait(lambda: script.requests)
    assert script.requests[-1]["path"] == "A.java" and script.requests[-1]["language"] == "java"


def test_resizing_keeps_text_and_cursor(edit, script) -> None:
    script.answer({"for i in ran": "ge(10):"})
    terminal = edit("".join(f"line_{n}\n" for n in range(100)))
    terminal.press("ctrl-end")
    terminal.type("for i in ran")
    terminal.wait(terminal.ghost)
    for rows, columns in ((10, 40), (40, 130), (5, 20), (24, 100)):
        terminal.resize(rows, columns)
        terminal.settle(0.3)
        assert "in ran" in terminal.lines[terminal.screen.cursor.y]
    assert terminal.ghost() == ["ge(10):"]


def test_the_wheel_scrolls(edit, script) -> None:
    script.answer({})
    terminal = edit("".join(f"line_{n}\n" for n in range(100)))
    for button, top in ((65, 3), (65, 6), (65, 9), (64, 6), (64, 3), (64, 0), (64, 0)):
        terminal.send(f"\x1b[<{button};10;5M")
        terminal.wait(lambda: terminal.lines[0].endswith(f"line_{top}"))  # noqa: B023


def test_dragging_selects(edit, script, work: Path) -> None:
    script.answer({})
    terminal = edit("one two\n")
    terminal.send("\x1b[<0;6;1M")
    terminal.read(0.1)
    terminal.send("\x1b[<32;9;1M")
    terminal.read(0.1)
    terminal.send("\x1b[<0;9;1m")
    terminal.read(0.1)
    terminal.type("X")
    terminal.press("ctrl-s")
    terminal.wait_for("Saved")
    assert (work / "a.py").read_text() == "X two\n"


def test_a_window_scrolled_sideways_maps_keys_clicks_and_selections(edit, script, work) -> None:
    script.answer({})
    terminal = edit("0123456789" * 30 + "\n" + "日本\t語" * 60 + "\nshort\n")
    terminal.press("end", pause=0.2)
    row, cursor = terminal.lines[0], terminal.screen.cursor
    assert row.endswith("6789") and cursor.x == len(row)
    terminal.click(0, len(row) - 3)
    terminal.type("X")
    terminal.wait(lambda: terminal.lines[0].endswith("6X789"))
    terminal.press("down", "end", pause=0.2)
    wide = next(x for x in range(40, 60) if terminal.screen.buffer[1][x].data == "本")
    terminal.click(1, wide)
    terminal.type("Y")
    terminal.wait(lambda: "日 Y本" in terminal.screen.display[1] or "日Y本" in terminal.lines[1])
    terminal.press("down", "home", pause=0.2)
    terminal.wait_for("   3 short")
    terminal.press("ctrl-s")
    terminal.wait_for("Saved")
    first, second, third, _ = (work / "a.py").read_text().split("\n")
    assert first == "0123456789" * 29 + "0123456X789" and third == "short"
    assert second.replace("Y", "") == "日本\t語" * 60 and "日Y本" in second
