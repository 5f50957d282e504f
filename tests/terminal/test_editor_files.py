"""Not a byte is lost: files through the real editor, and editors that end badly."""

import codecs
import json
import os
import signal
import time
from pathlib import Path

import pytest

NASTY = {
    "crlf": b"a = 1\r\nb = 2\r\n",
    "crlf without a final newline": b"a = 1\r\nb = 2",
    "mixed": b"a\r\nb\nc\r\n",
    "old mac": b"a\rb\r",
    "no final newline": b"x",
    "bom": codecs.BOM_UTF8 + "é\r\n".encode(),
    "latin-1": "café\n".encode("latin-1"),
    "utf-8 with damage": "é".encode() + b" \xff\xfe\n",
    "utf-16": codecs.BOM_UTF16_LE + "ü\n".encode("utf-16-le"),
    "nul and controls": b"a\0b\x1b[31m\x07\n",
    "every byte": bytes(range(256)),
    "separators": "a\u2028b\u200b\u202ec\x85d\n".encode(),
    "tabs and wide": "\tdef f():\n\t\treturn '日本'\n".encode(),
    "a long line": b"x" * 20_000 + b"\n",
}


def copies(state_folder: Path) -> list[Path]:
    """The recovery copies that are written to their end."""
    files = (state_folder / "recovery").iterdir()
    return [file for file in files if file.is_file() and file.suffix != ".new"]


def logged(state_folder: Path) -> str:
    log = state_folder / "edit.log"
    return log.read_text() if log.exists() else ""


def left_behind(edit, state_folder: Path, content: str, typed: str) -> None:
    """An editor on a.py is killed with unsaved text."""
    terminal = edit(content)
    terminal.type(typed)
    terminal.wait(lambda: (state_folder / "recovery").exists())
    terminal.wait(lambda: any(typed.encode() in f.read_bytes() for f in copies(state_folder)))
    terminal.process.kill()
    terminal.end()


@pytest.mark.parametrize("data", NASTY.values(), ids=NASTY.keys())
def test_editing_one_character_changes_nothing_else(edit, script, work: Path, data: bytes) -> None:
    script.answer({})
    terminal = edit(data)
    terminal.type("Z")
    terminal.press("ctrl-s")
    terminal.wait_for("Saved")
    terminal.press("backspace", "ctrl-s", pause=0.2)
    terminal.press("ctrl-q")
    assert terminal.end() == 0
    assert (work / "a.py").read_bytes() == data


def test_no_byte_of_a_file_commands_the_terminal(edit, script) -> None:
    script.answer({})
    terminal = edit(b"a\x1b[31mred\x1b]0;title\x07 \x9b1m\xc2\x9b2J b\n")
    terminal.wait_for("a^[[31mred")
    assert terminal.screen.buffer[0][9].fg != "red"
    assert "title" not in terminal.screen.title


def test_new_lines_get_the_ends_of_the_file(edit, script, work: Path) -> None:
    script.answer({"x": "y\n    z"})
    terminal = edit(b"\r\na\r\n")
    terminal.type("x")
    terminal.wait(terminal.ghost)
    terminal.press("tab", "enter", "ctrl-s")
    terminal.wait_for("Saved")
    assert (work / "a.py").read_bytes() == b"xy\r\n    z\r\n    \r\na\r\n"


def test_a_missing_file_is_begun(edit, script, work: Path) -> None:
    script.answer({})
    terminal = edit(None, name="new.py")
    terminal.wait_for("[new]")
    terminal.type("x = 1\n")
    terminal.press("ctrl-s")
    terminal.wait_for("Saved")
    assert (work / "new.py").read_text() == "x = 1\n"


def test_read_only_and_binary_files_are_told(edit, script, work: Path) -> None:
    script.answer({})
    (work / "r.py").write_text("x")
    (work / "r.py").chmod(0o444)
    terminal = edit(None, name="r.py")
    terminal.wait_for("[read-only]")
    terminal.type("y")
    terminal.press("ctrl-s")
    terminal.wait_for("read-only; save under another name")
    assert (work / "r.py").read_text() == "x"
    edit(b"\x7fELF\0\0", name="b.bin").wait_for("looks binary")


@pytest.mark.parametrize("name", [".", "no/such/folder.py"])
def test_what_cannot_be_opened_is_said_in_one_line(open_terminal, name: str) -> None:
    terminal = open_terminal("edit", name)
    assert terminal.end() == 2
    terminal.read(0.3)
    assert terminal.lines[0].startswith("autocoder edit:") and not terminal.shows("Traceback")


def test_a_change_on_disk_is_noticed_before_overwriting(edit, script, work: Path) -> None:
    script.answer({})
    terminal = edit("old\n")
    terminal.type("x")
    (work / "a.py").write_text("theirs\n")
    terminal.press("ctrl-s")
    terminal.wait_for("changed by another program")
    assert (work / "a.py").read_text() == "theirs\n"
    terminal.answer("o")
    terminal.wait_for("Saved")
    assert (work / "a.py").read_text() == "xold\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_unsaved_text_is_offered_after_a_bad_end(edit, script, work: Path, number: int) -> None:
    script.answer({})
    terminal = edit("old\n")
    terminal.type("precious ")
    terminal.wait_for("precious old")
    terminal.read(1.5 if number == signal.SIGKILL else 0.0)
    terminal.process.send_signal(number)
    terminal.end()
    assert (work / "a.py").read_text() == "old\n"
    again = edit(None)
    again.wait_for("were left behind")
    again.answer("r")
    again.wait_for("precious old")
    again.press("ctrl-s")
    again.wait_for("Saved")
    assert (work / "a.py").read_text() == "precious old\n"
    again.press("ctrl-q")
    assert again.end() == 0
    third = edit(None)
    third.settle()
    assert not third.shows("left behind")


def test_a_closed_terminal_ends_it_and_keeps_the_text(
    edit, script, work: Path, state_folder: Path
) -> None:
    script.answer({})
    terminal = edit("old\n")
    terminal.type("precious ")
    terminal.wait_for("precious old")
    terminal.hang_up()
    terminal.end()
    assert any(b"precious old" in file.read_bytes() for file in copies(state_folder))
    assert "Traceback" not in logged(state_folder)


def test_the_log_has_no_traceback_of_a_terminal_that_went(edit, script, state_folder: Path) -> None:
    script.answer({})
    for _ in range(3):
        terminal = edit("old\n")
        terminal.type("ab")
        terminal.send("c")
        terminal.process.send_signal(signal.SIGHUP)
        terminal.hang_up()
        assert terminal.end() == 128 + signal.SIGHUP
    log = logged(state_folder)
    assert "Traceback" not in log and "Error" not in log


def test_the_recovered_text_can_be_deleted(edit, script, state_folder: Path) -> None:
    script.answer({})
    terminal = edit("old\n")
    terminal.type("unwanted ")
    terminal.wait_for("unwanted old")
    terminal.process.terminate()
    terminal.end()
    again = edit(None)
    again.wait_for("were left behind")
    again.answer("d")
    again.wait_for("Enter")
    again.press("enter")
    again.wait_for("for some days it is in")
    assert copies(state_folder) == []
    (kept,) = (state_folder / "recovery" / "deleted").iterdir()
    assert kept.read_bytes().endswith(b"\nunwanted old\n")
    again.press("ctrl-q")
    assert again.end() == 0


def test_typing_ahead_deletes_no_copy(edit, script, state_folder: Path) -> None:
    script.answer({})
    left_behind(edit, state_folder, "old\n", "precious ")
    again = edit(None)
    again.wait_for("were left behind")
    again.type("def d(d):\nd")
    again.settle()
    again.answer("d")
    again.wait_for("Delete the unsaved")
    again.type("def d(d):")
    again.wait_for("were left behind")
    assert len(copies(state_folder)) == 1
    again.answer("r")
    again.wait_for("precious old")


def test_a_copy_is_offered_though_its_process_id_lives_again(
    edit, script, state_folder: Path
) -> None:
    script.answer({})
    left_behind(edit, state_folder, "old\n", "precious ")
    (copy,) = copies(state_folder)
    dead = json.loads(copy.read_bytes().partition(b"\n")[0])["pid"]
    living = str(os.getpid())
    copy.write_bytes(copy.read_bytes().replace(f": {dead}".encode(), f": {living}".encode()))
    copy.rename(copy.with_name(copy.name.replace(f"-{dead}", f"-{living}")))
    again = edit(None)
    again.wait_for("were left behind")
    assert not again.shows("Another editor")


def test_what_came_on_disk_after_a_crash_is_not_overwritten_unasked(
    edit, script, work: Path, state_folder: Path
) -> None:
    script.answer({})
    left_behind(edit, state_folder, "old\n", "precious ")
    (work / "a.py").write_text("old\ntheirs\n")
    again = edit(None)
    again.wait_for("The file was changed since")
    again.answer("r")
    again.wait_for("precious old")
    again.press("ctrl-s")
    again.wait_for("was changed by another program")
    assert (work / "a.py").read_text() == "old\ntheirs\n"
    again.press("esc")
    again.type("x")
    again.process.kill()
    again.end()
    third = edit(None)  # the recovered text is still known to be the older one
    third.wait_for("The file was changed since")


def test_a_failed_save_as_keeps_the_recovery_copy(edit, script, state_folder: Path) -> None:
    script.answer({})
    terminal = edit("old\n")
    terminal.type("precious ")
    terminal.wait(lambda: (state_folder / "recovery").exists() and copies(state_folder))
    terminal.press("f2", "ctrl-u")
    terminal.type("/nonexistent/x.py\n")
    terminal.wait_for("cannot be saved")
    terminal.process.kill()
    terminal.end()
    edit(None).wait_for("were left behind")


def test_discarding_leaves_nothing_behind(edit, script, state_folder: Path) -> None:
    script.answer({})
    terminal = edit("old\n")
    terminal.type("x")
    terminal.read(1.5)
    assert len(copies(state_folder)) == 1
    terminal.press("ctrl-q")
    terminal.type("d")
    assert terminal.end() == 0
    assert copies(state_folder) == []


def test_leaving_is_instant_even_while_a_daemon_will_not_start(edit, script, place) -> None:
    script.answer({"*slow": 30.0})
    assert script.process is not None
    os.kill(script.process.pid, signal.SIGSTOP)
    try:
        terminal = edit("")
        terminal.type("x = 1")
        terminal.wait_for("x = 1")
        began = time.monotonic()
        terminal.press("ctrl-q")
        terminal.type("d")
        assert terminal.end() == 0
        assert time.monotonic() - began < 3
    finally:
        os.kill(script.process.pid, signal.SIGCONT)
