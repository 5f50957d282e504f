"""The REPL in a real terminal, with a real daemon behind it."""

from pathlib import Path

ANSWERS = {
    "def factorial": ["(n):\n    if n == 0:\n        return 1", "(m):\n    pass"],
    "int x": " = 0;",
}


def test_a_conversation(open_terminal, script, state_folder: Path) -> None:
    script.answer(ANSWERS)
    terminal = open_terminal("repl")
    terminal.wait_for("python>")
    terminal.type("def factorial")
    terminal.wait(lambda: terminal.shows("if n == 0:"))
    terminal.press("enter")
    terminal.wait_for("joint probability 0.5")
    assert not terminal.shows("autocoder repl: ")
    terminal.type(":candidates 2\n")
    terminal.wait_for("candidates 2")
    terminal.wait(lambda: terminal.lines[terminal.screen.cursor.y] == "python>")
    terminal.type(":again\n")
    terminal.wait_for("── 2 · joint probability")
    terminal.wait(lambda: terminal.lines[terminal.screen.cursor.y] == "python>")
    terminal.type(":language java\n")
    terminal.wait_for("java>")
    terminal.settle()
    terminal.type("int x")
    terminal.wait(lambda: terminal.lines[terminal.screen.cursor.y] == "java> int x = 0;")
    terminal.press("right", pause=0.1)
    assert terminal.screen.cursor.x == len("java> int x = 0;")
    terminal.press("ctrl-c", "ctrl-d", pause=0.2)
    assert terminal.end() == 0
    assert "def factorial" in (state_folder / "repl_history").read_text()


def test_several_lines_and_the_history(open_terminal, script) -> None:
    script.answer({"retur": "n n"})
    terminal = open_terminal("repl")
    terminal.wait_for("python>")
    terminal.type("def f(n):\nretur")
    terminal.wait_for("return n")
    terminal.press("tab")
    terminal.type("\n\n")
    terminal.wait_for("nothing to add")
    terminal.wait(lambda: terminal.lines[terminal.screen.cursor.y] == "python>")
    assert script.requests[-1]["prefix"] == "def f(n):\n    return n"
    terminal.press("up", pause=0.2)
    terminal.wait(lambda: sum("def f(n):" in line for line in terminal.lines) == 2)


def test_without_a_daemon_it_says_so_and_goes_on(open_terminal) -> None:
    terminal = open_terminal("repl", environment={"AUTOCODER_MODEL": "/nowhere"})
    terminal.wait_for("python>")
    terminal.type("x = 1\n")
    terminal.wait_for("No continuation:")
    terminal.wait(lambda: terminal.lines[terminal.screen.cursor.y] == "python>")
    terminal.press("ctrl-d")
    assert terminal.end() == 0
