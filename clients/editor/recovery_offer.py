"""Offers the unsaved text that a dead editor left behind: to recover it, or to throw it away.

Nothing is decided by a letter typed ahead, and what is thrown away can be had back for some days
(`recovery.py` keeps the copies). Knows the editor; knows no keys and no layout.
"""

from typing import TYPE_CHECKING

from autocoder.clients.editor import recovery
from autocoder.clients.editor.file import Stamp
from autocoder.clients.editor.prompts import Question
from autocoder.clients.editor.recovery import Recovery

if TYPE_CHECKING:
    from autocoder.clients.editor.editor import Editor


def offer_recovery(editor: "Editor") -> None:
    """Ask what becomes of the latest copy that nobody edits, if there is one."""
    other = recovery.edited_elsewhere(editor.path)
    if other is not None:
        editor.say(f"Another editor (process {other}) has unsaved changes of this file", True)
    found = recovery.find(editor.path)
    if found is None:
        return
    if found.text == editor.buffer.text:
        recovery.discard(found.file)
        return None if found.file.exists() else offer_recovery(editor)
    since = " The file was changed since." if _based_on_another(found, editor) else ""
    editor.screen.prompts.ask(
        Question(
            f"Unsaved changes of {found.clock} were left behind.{since}",
            {
                "r": ("recover them", lambda: _recover(editor, found)),
                "d": ("delete them", lambda: _ask_to_delete(editor, found)),
            },
            comes_unasked=True,
        )
    )


def _ask_to_delete(editor: "Editor", found: Recovery) -> None:
    def delete() -> None:
        if not recovery.throw_away(found.file):
            return editor.say(f"{found.file} cannot be moved; it stays", True)
        editor.say(f"Deleted; for some days it is in {recovery.deleted_folder()}")
        return offer_recovery(editor)

    answers = {"enter": ("delete them", delete)}
    text = f"Delete the unsaved changes of {found.clock}?"
    again = Question(text, answers, otherwise=lambda: offer_recovery(editor))
    editor.screen.prompts.ask(again)


def _recover(editor: "Editor", found: Recovery) -> None:
    """From now on the text is based on what it was based on then: saving asks if need be."""
    changed = _based_on_another(found, editor)
    editor.stamp = found.base
    editor.buffer.replace(0, len(editor.buffer.text), found.text, 0)
    if editor.keep_copy(found.text):
        recovery.discard(found.file)
    ends = "saving asks, as the file was changed since." if changed else "Ctrl-S saves."
    editor.say(f"Recovered. Ctrl-Z shows the file as it is on disk, {ends}")


def _based_on_another(found: Recovery, editor: "Editor") -> bool:
    return _digest(found.base) != _digest(editor.stamp)


def _digest(stamp: Stamp | None) -> str:
    """Tells apart what files hold; "" where there is none."""
    return stamp.digest if stamp else ""
