"""Ghost text, read from the screen of the real editor with a real daemon behind it."""

from pathlib import Path


def test_ghost_text_stands_grey_at_the_cursor(edit, script) -> None:
    script.answer({"for i in ran": "ge(10):"})
    terminal = edit("")
    terminal.type("for i in ran")
    assert terminal.wait(terminal.ghost) == ["ge(10):"]
    assert terminal.lines[0].endswith("for i in range(10):")
    assert terminal.screen.cursor.x == terminal.lines[0].index("ge(10)")


def test_tab_accepts_all(edit, script, work: Path) -> None:
    script.answer({"for i in ran": "ge(10):\n    print(i)"})
    terminal = edit("\nx = 1\n")
    terminal.type("for i in ran")
    terminal.wait(terminal.ghost)
    terminal.press("tab", "ctrl-s")
    terminal.wait_for("Saved")
    assert terminal.ghost() == []
    assert (work / "a.py").read_text() == "for i in range(10):\n    print(i)\nx = 1\n"
