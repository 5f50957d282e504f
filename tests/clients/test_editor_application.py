"""The whole editor on a pipe: keys in, text and files out; its looks are tests/terminal's part."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from autocoder.clients.editor.editor import Editor
from autocoder.clients.editor.file import open_file
from autocoder.clients.editor.prompts import QUIET_S
from autocoder.clients.editor.recovery import copies_folder, deleted_folder
from autocoder.daemon.errors import DaemonError
from autocoder.daemon.protocol import Complete, Completion, Greeting, ModelInfo, Suggestion

CTRL_Q, CTRL_S, CTRL_Z, ESC, ENTER, TAB = "\x11", "\x13", "\x1a", "\x1b", "\r", "\t"
F2, CLEAR_LINE = "\x1bOQ", "\x15"
READ_IT = ""  # a moment without keys, as somebody takes who reads a question


class Daemonless:
    """A client whose daemon cannot be had."""

    async def connect(self) -> Greeting:
        raise DaemonError("there is none")

    async def close(self) -> None:
        raise DaemonError("there is none")

    def new_id(self) -> str:
        return "1"

    async def complete(self, request: Complete, *, id: str | None = None) -> Completion:
        raise DaemonError("there is none")

    async def feedback(
        self, target: str, event: str, *, characters: int = 0, candidate: int = 0
    ) -> None:
        raise DaemonError("there is none")


class Answering(Daemonless):
    """A client that continues everything with the same text."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def connect(self) -> Greeting:
        return Greeting("0", 1, None, ModelInfo("m", "", "", (), 1, True))

    async def complete(self, request: Complete, *, id: str | None = None) -> Completion:
        return Completion((Suggestion(self._text, 0.5, (0.5,), "line"),))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@contextmanager
def editor_on(path: Path, client: Daemonless) -> Iterator[tuple[Editor, PipeInput]]:
    with create_pipe_input() as pipe:
        yield Editor(open_file(path), client, input=pipe, output=DummyOutput()), pipe


def drive(path: Path, *keys: str, client: Daemonless | None = None, pause_s: float = 0.08) -> str:
    """Open the file, press the keys one after another, leave; the text as it was at the end."""
    with editor_on(path, client or Daemonless()) as (editor, pipe):

        async def press() -> None:
            for key in keys:
                await asyncio.sleep(pause_s if key != READ_IT else 2 * QUIET_S)
                pipe.send_text(key)
                if key == ESC:  # a key right after it would make an Alt chord
                    await asyncio.sleep(0.3)
            await asyncio.sleep(pause_s)
            pipe.send_text(CTRL_Q)
            await asyncio.sleep(pause_s)
            if not editor.app.is_done:
                pipe.send_text("d")

        async def main() -> None:
            presses = asyncio.create_task(press())
            await asyncio.wait_for(editor.run_async(), 10)
            await presses

        asyncio.run(main())
        return editor.buffer.text


async def both(editor: Editor, presses: Coroutine[Any, Any, None]) -> None:
    """Run the editor while keys are pressed; what goes wrong there ends it."""
    running = asyncio.create_task(editor.run_async())
    try:
        await asyncio.wait_for(presses, 20)
        await asyncio.wait_for(running, 10)
    finally:
        running.cancel()


async def until(seen: Callable[[], bool]) -> None:
    while not seen():
        await asyncio.sleep(0.05)


def copies() -> list[Path]:
    """The recovery copies of living editors and dead ones."""
    return [file for file in copies_folder().glob("*") if file.is_file()]


def test_typing_and_saving_without_any_daemon(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    drive(path, "x = 1", ENTER, "y = 2", CTRL_S)
    assert path.read_text() == "x = 1\ny = 2"


def test_leaving_asks_what_becomes_of_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("old")
    drive(path, "x", CTRL_Q, ESC, "y")
    assert path.read_text() == "old"
    drive(path, "x", CTRL_Q, "s")
    assert path.read_text() == "xold"


def test_accepting_is_one_step_of_undo(tmp_path: Path) -> None:
    text = drive(tmp_path / "a.py", "x", TAB, client=Answering("yz\n    w"))
    assert text == "xyz\n    w"
    assert drive(tmp_path / "b.py", "x", TAB, CTRL_Z, client=Answering("yz\n    w")) == "x"


def test_tab_indents_where_no_ghost_shows(tmp_path: Path) -> None:
    assert drive(tmp_path / "a.py", "x", ENTER, TAB, "y") == "x\n    y"


def test_a_paste_is_taken_literally(tmp_path: Path) -> None:
    pasted = "\x1b[200~def f():\r\n\treturn [\r\n]\x1b[201~"
    assert drive(tmp_path / "a.py", pasted) == "def f():\n\treturn [\n]"
    assert drive(tmp_path / "b.py", pasted, CTRL_Z) == ""


def test_a_file_changed_meanwhile_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("old")

    class Meddler(Daemonless):
        async def connect(self) -> Greeting:
            path.write_text("theirs")
            raise DaemonError("none")

    drive(path, "x", CTRL_S, ESC, client=Meddler())
    assert path.read_text() == "theirs"
    path.write_text("old")
    drive(path, "x", CTRL_S, READ_IT, "o", client=Meddler())
    assert path.read_text() == "xold"
    path.write_text("old")
    assert drive(path, "x", CTRL_S, READ_IT, "r", client=Meddler()) == "theirs"


def test_what_latin_1_lacks_can_be_saved_as_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes("é".encode("latin-1"))
    drive(path, "€", CTRL_S, ESC)
    assert path.read_bytes() == "é".encode("latin-1")
    drive(path, "€", CTRL_S, "u")
    assert path.read_bytes() == "€é".encode()


def test_saving_under_another_name(tmp_path: Path) -> None:
    path, other = tmp_path / "a.py", tmp_path / "b.py"
    path.write_text("old")
    other.write_text("precious")
    drive(path, "x", F2, CLEAR_LINE, str(other), ENTER, ESC)
    assert other.read_text() == "precious"
    drive(path, "x", F2, CLEAR_LINE, str(other), ENTER, READ_IT, "o")
    assert (path.read_text(), other.read_text()) == ("old", "xold")


@pytest.mark.parametrize("target", ["/nonexistent/x.py", "/", "other.py"])
def test_a_save_as_that_fails_or_is_declined_changes_nothing(tmp_path: Path, target: str) -> None:
    """`other.py` is declined: it would have to be UTF-8, and Escape goes back."""
    path = tmp_path / "a.py"
    path.write_bytes("é".encode("latin-1"))
    with editor_on(path, Daemonless()) as (editor, pipe):

        async def press() -> None:
            await asyncio.sleep(0.1)
            pipe.send_text("€")
            await until(lambda: bool(copies()))
            for key in (F2, CLEAR_LINE, str(tmp_path / target), ENTER, ESC):
                await asyncio.sleep(0.1)
                pipe.send_text(key)
            await asyncio.sleep(0.5)
            assert (editor.path, editor.form.label) == (path, "latin-1 LF")
            (copy,) = copies()
            assert copy.read_text().endswith("\n€é")
            editor.leave()
            pipe.send_text("d")

        asyncio.run(both(editor, press()))
    assert path.read_bytes() == "é".encode("latin-1")
    assert not (tmp_path / "other.py").exists()


def test_a_save_as_leaves_no_copy_of_what_is_saved(tmp_path: Path) -> None:
    path, other = tmp_path / "a.py", tmp_path / "b.py"
    drive(path, "x", F2, CLEAR_LINE, str(other), ENTER, "y", CTRL_S)
    assert not path.exists() and other.read_text() == "xy" and copies() == []


def test_latin_1_saved_as_utf_8_has_no_raw_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes("é".encode("latin-1"))
    with editor_on(path, Daemonless()) as (editor, pipe):

        async def press() -> None:
            for key in ("€", CTRL_S, "u", CTRL_Q):
                await asyncio.sleep(0.1)
                pipe.send_text(key)

        asyncio.run(both(editor, press()))
        assert editor.form.label == "utf-8 LF"


def test_unsaved_text_that_cannot_be_kept_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with editor_on(tmp_path / "a.py", Daemonless()) as (editor, pipe):

        async def press() -> None:
            await asyncio.sleep(0.1)
            pipe.send_text("x")
            await until(lambda: bool(editor.copy_trouble))
            assert editor.message.startswith("Unsaved text is not safe")
            editor.leave()
            pipe.send_text("d")

        asyncio.run(both(editor, press()))


def test_reading_anew_and_discarding_can_be_had_back(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("old")
    drive(path, "mine ", CTRL_Q, "d")
    (kept,) = deleted_folder().iterdir()
    assert kept.read_text().endswith("\nmine old") and copies() == []


def test_a_search_that_finds_nothing_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("one two")
    with editor_on(path, Daemonless()) as (editor, pipe):

        async def press() -> None:
            for key, said in (("tow", "'tow' is not found"), ("two", "")):
                for part in ("\x06", CLEAR_LINE, key, ENTER):
                    await asyncio.sleep(0.1)
                    pipe.send_text(part)
                await asyncio.sleep(0.2)
                assert editor.message == said
            editor.leave()

        asyncio.run(both(editor, press()))


def test_replacing_throughout(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("a b a\na\n")
    assert drive(path, "\x12", "a", ENTER, "xy", ENTER) == "xy b xy\nxy\n"


def test_going_to_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("1\n2\n3\n")
    assert drive(path, "\x07", "3", ENTER, "x") == "1\n2\nx3\n"


def test_cut_copy_and_paste_of_lines_and_selections(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("one\ntwo\n")
    assert drive(path, "\x18", "\x16", "\x16") == "one\none\ntwo\n"
    shift_right = "\x1b[1;2C"
    assert drive(path, shift_right * 2, "\x03", "\x1b[F", "\x16") == "oneon\ntwo\n"
    assert drive(path, "\x01", "x") == "x"


def test_a_symlink_and_its_mode_survive_the_editor(tmp_path: Path) -> None:
    target, link = tmp_path / "t.py", tmp_path / "l.py"
    target.write_text("old")
    target.chmod(0o750)
    link.symlink_to(target)
    drive(link, "x", CTRL_S)
    assert link.is_symlink() and target.read_text() == "xold"
    assert os.stat(target).st_mode & 0o777 == 0o750


@pytest.mark.parametrize("burst", ["x" * 300, "for i in range(10):\r" * 20])
def test_a_burst_of_keys_loses_none(tmp_path: Path, burst: str) -> None:
    text = drive(tmp_path / "a.py", burst, client=Answering("ghost"))
    assert text.replace(" ", "").replace("\n", "\r") == burst.replace(" ", "")
