"""Wires buffer, suggester, screen and keys into one application for one file.

What it does is asked for by keys (`key_bindings`) and shown by `layout`. Unsaved text outlives it
as a recovery copy, however it ends.
"""

import asyncio
import base64
import contextlib
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.clipboard import ClipboardData
from prompt_toolkit.completion import PathCompleter
from prompt_toolkit.input import Input
from prompt_toolkit.lexers import SimpleLexer
from prompt_toolkit.output import Output
from prompt_toolkit.search import SearchDirection, start_search

from autocoder.clients.editor import actions, recovery
from autocoder.clients.editor.colours import editor_style
from autocoder.clients.editor.edit_buffer import EditBuffer
from autocoder.clients.editor.file import (
    OpenedFile,
    changed_on_disk,
    open_file,
    save_file,
)
from autocoder.clients.editor.indentation import unit_of
from autocoder.clients.editor.key_bindings import editor_bindings, toolkit_bindings
from autocoder.clients.editor.layout import Screen
from autocoder.clients.editor.lexing import lexer_for
from autocoder.clients.editor.prompts import Question
from autocoder.clients.editor.recovery_offer import offer_recovery
from autocoder.clients.editor.suggester import Completes, Suggester
from autocoder.clients.editor.text_format import TextFormat, UnencodableError, as_utf8, encode
from autocoder.daemon.errors import AutocoderError
from autocoder.daemon.languages import LANGUAGES, language_of

RECOVERY_EVERY_S = 1.0
KEY_SEQUENCE_S = 0.05  # how long an Escape waits to become an Alt chord
CLIPBOARD_LIMIT = 100_000

log = logging.getLogger(__name__)


class Editor:
    """One file in one full-screen application."""

    def __init__(
        self,
        opened: OpenedFile,
        client: Completes,
        language: str | None = None,
        input: Input | None = None,
        output: Output | None = None,
    ) -> None:
        self.path, self.form, self.stamp = opened.path, opened.form, opened.stamp
        self.read_only, self.is_new = opened.read_only, opened.stamp is None
        self.language = language or language_of(opened.path)
        self.unit = unit_of(opened.text)
        self.buffer = EditBuffer(opened.text)
        self.lexer = lexer_for(opened.path, opened.text)
        self.suggester = Suggester(
            client, str(opened.path.absolute()), str(opened.path), self.language, self._suggested
        )
        self._told_trouble = ""
        self.message, self.message_is_error = "", False
        self.screen = Screen(self)
        self.app: Application[int] = self._application(input, output)
        self._copy = recovery.Copy()
        self._kept = opened.text
        self.copy_trouble = ""
        self._greet(opened)

    def _application(self, input: Input | None, output: Output | None) -> Application[int]:
        app: Application[int] = Application(
            layout=self.screen.layout,
            key_bindings=editor_bindings(self),
            style=editor_style(),
            full_screen=True,
            mouse_support=True,
            include_default_pygments_style=False,
            input=input,
            output=output,
        )
        app._default_bindings = toolkit_bindings()  # no public way to leave the Emacs keys out
        app.ttimeoutlen = app.timeoutlen = KEY_SEQUENCE_S
        app.key_processor.before_key_press += lambda _: self.say("")
        return app

    def _greet(self, opened: OpenedFile) -> None:
        if opened.binary:
            self.suggester.enable(False)
            self.say(f"{self.path} looks binary: every byte is kept, suggestions are off", True)
        elif self.read_only:
            self.say(f"{self.path} is read-only: F2 saves under another name", True)

    # --- running ------------------------------------------------------------------------------

    def run(self) -> int:
        """Edit until the user leaves; the exit status.

        Not by `asyncio.run`: that waits for threads, and one may be waiting for a daemon to start.
        """
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(self.run_async())
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def run_async(self) -> int:
        """The same within an event loop."""
        keeper = asyncio.get_running_loop().create_task(self._keep_copies())
        try:
            # The toolkit's own handler would wait for Enter, at a terminal that may be gone.
            return await self.app.run_async(pre_run=self._begin, set_exception_handler=False)
        except (EOFError, OSError) as error:
            log.info("the terminal is gone: %r", error)
            return 129
        finally:
            keeper.cancel()
            self._end()
            await self.suggester.close()

    def _begin(self) -> None:
        self.buffer.on_text_changed += lambda _: self.suggester.text_changed(self.buffer.document)
        self.buffer.on_cursor_position_changed += lambda _: self.suggester.cursor_moved(
            self.buffer.document
        )
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._went_wrong)
        for number in (signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread
                loop.add_signal_handler(number, self._terminated, number)
        self.suggester.start()
        offer_recovery(self)

    def _went_wrong(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what nobody caught; where the terminal is gone, leave."""
        error = context.get("exception")
        if self.app.is_done or not self.app.is_running:
            return log.info("while leaving: %s: %r", context["message"], error)
        if isinstance(error, OSError):
            log.info("the terminal is gone: %r", error)
            return self._terminated(signal.SIGHUP)
        log.error("%s", context["message"], exc_info=error)
        return self.say(f"Something went wrong here; {recovery.log_file()} tells what", True)

    def _terminated(self, number: signal.Signals) -> None:
        if self.buffer.is_dirty:
            self.keep_copy(self.buffer.text)
        if not self.app.is_done:
            self.app.exit(result=128 + number)

    def _end(self) -> None:
        if self.buffer.is_dirty:
            self.keep_copy(self.buffer.text)
        else:
            self._copy.forget()
        self._copy.close()

    def _suggested(self) -> None:
        """A suggestion or the lack of one is to be shown; why there is none is logged as well."""
        trouble = self.suggester.state.trouble
        if trouble and trouble != self._told_trouble:
            log.warning("no suggestions: %s", trouble)
        self._told_trouble = trouble
        self._redraw()

    def _redraw(self) -> None:
        self.app.invalidate()

    # --- recovery -----------------------------------------------------------------------------

    async def _keep_copies(self) -> None:
        while True:
            await asyncio.sleep(RECOVERY_EVERY_S)
            text = self.buffer.text
            if text is not self._kept and self.buffer.is_dirty:
                await asyncio.to_thread(self.keep_copy, text)

    def keep_copy(self, text: str) -> bool:
        """Keep a copy of `text`; whether that worked. It is told when it begins to fail."""
        try:
            self._copy.keep(self.path, text, self.stamp)
        except OSError as error:
            trouble = error.strerror or str(error)
            if trouble != self.copy_trouble:
                log.warning("no recovery copy of %s: %s", self.path, error)
                folder = recovery.copies_folder()
                self.say(f"Unsaved text is not safe: no copy of it in {folder} ({trouble})", True)
                self._redraw()
            self.copy_trouble = trouble
            return False
        self._kept, self.copy_trouble = text, ""
        return True

    def _throw_copy_away(self) -> None:
        """What was typed is given up, yet can be had back for some days."""
        if self.buffer.is_dirty:
            self.keep_copy(self.buffer.text)
        self._copy.throw_away()

    # --- messages -----------------------------------------------------------------------------

    def say(self, text: str, error: bool = False) -> None:
        """Show a message until the next key."""
        self.message, self.message_is_error = text, error

    def show_help(self) -> None:
        """Show the table of keys."""
        self.screen.show_help()

    # --- suggestions --------------------------------------------------------------------------

    def accept(self, amount: str) -> None:
        """Insert all of the ghost, or its next word or line, as one step of undo."""
        self.buffer.insert_step(self.suggester.take(self.buffer.document, amount))

    def escape(self) -> None:
        """Dismiss the ghost, the selection, or the marks of a search, in this order."""
        if self.suggester.ghost(self.buffer.document):
            self.suggester.dismiss(self.buffer.document)
        elif self.buffer.selection_state:
            self.buffer.exit_selection()
        else:
            self.suggester.dismiss(self.buffer.document)
            self.screen.control.search_state.text = ""

    def turn(self, step: int) -> None:
        """Show the next or previous suggestion."""
        self.suggester.turn(self.buffer.document, step)

    def trigger(self) -> None:
        """Ask for a suggestion here and now."""
        self.suggester.trigger(self.buffer.document)

    def toggle_suggestions(self) -> None:
        """Switch suggestions off or on."""
        self.suggester.enable(not self.suggester.state.enabled)
        self.say(f"Suggestions {'on' if self.suggester.state.enabled else 'off'}")

    # --- saving and leaving -------------------------------------------------------------------

    def save(self, then: Callable[[], None] | None = None) -> None:
        """Save, asking first where somebody else changed the file. `then` runs once it is saved."""
        try:
            changed = changed_on_disk(self.path, self.stamp)
        except AutocoderError as error:
            return self.say(str(error), True)
        if not changed:
            return self._write(then)
        self.screen.prompts.ask(
            Question(
                f"{self.path.name} was changed by another program.",
                {
                    "o": ("overwrite it", lambda: self._write(then)),
                    "r": ("read it anew", self._reload),
                },
                comes_unasked=True,
            )
        )

    def _write(self, then: Callable[[], None] | None = None) -> None:
        self._write_to(self.path, self.form, then)

    def _write_to(
        self, path: Path, form: TextFormat, then: Callable[[], None] | None = None
    ) -> None:
        """Write the text there; until that worked, everything stays as it is."""
        text = self.buffer.text
        try:
            stamp = save_file(path, encode(text, form))
        except UnencodableError as error:
            return self._ask_utf8(error, path, form, then)
        except AutocoderError as error:
            return self.say(str(error), True)
        self.path, self.form, self.stamp = path, form, stamp
        self.buffer.mark_saved(text)
        self.buffer.changes.close_step()
        self.is_new = self.read_only = False
        self._kept = text
        self._copy.forget()
        self.say(f"Saved {self.path} ({text.count(chr(10)) + 1} lines)")
        if then:
            then()

    def _ask_utf8(
        self,
        error: UnencodableError,
        path: Path,
        form: TextFormat,
        then: Callable[[], None] | None,
    ) -> None:
        text = str(error).partition(";")[0]
        utf8 = as_utf8(form, self.buffer.text)
        answers = {"u": ("save as UTF-8", lambda: self._write_to(path, utf8, then))}
        self.screen.prompts.ask(Question(f"{text}.", answers))

    def _reload(self) -> None:
        try:
            opened = open_file(self.path)
        except AutocoderError as error:
            return self.say(str(error), True)
        self._throw_copy_away()
        cursor = min(self.buffer.cursor_position, len(opened.text))
        self.buffer.replace(0, len(self.buffer.text), opened.text, cursor)
        self.buffer.mark_saved(opened.text)
        self.form, self.stamp = opened.form, opened.stamp
        self.say("Read anew. Ctrl-Z brings back what was here.")

    def ask_save_as(self) -> None:
        """Ask for another name and save under it."""
        self.screen.prompts.ask_text("Save as:", self._save_as, str(self.path), PathCompleter())

    def _save_as(self, name: str) -> None:
        path = Path(name).expanduser()
        if not name.strip() or path == self.path:
            return self.save() if name.strip() else None
        if path.is_dir():
            return self.say(f"{path} is a folder; name a file", True)
        if not path.exists():
            return self._move_to(path)
        answers = {"o": ("overwrite it", lambda: self._move_to(path))}
        self.screen.prompts.ask(Question(f"{path} exists.", answers, comes_unasked=True))

    def _move_to(self, path: Path) -> None:
        self._write_to(path, self.form, then=self._renamed)

    def _renamed(self) -> None:
        """Another name may mean another language."""
        self.language = language_of(self.path) or self.language
        self.lexer = lexer_for(self.path, self.buffer.text)
        self.screen.control.lexer = self.lexer or SimpleLexer()
        self.suggester.rename(str(self.path.absolute()), str(self.path), self.language)

    def leave(self) -> None:
        """Leave; with unsaved changes, ask what becomes of them."""
        if not self.buffer.is_dirty:
            return self._exit()
        answers = {
            "s": ("save", lambda: self.save(then=self._exit)),
            "d": ("discard the changes", self._abandon),
        }
        self.screen.prompts.ask(Question(f"{self.path.name} has unsaved changes.", answers))

    def _abandon(self) -> None:
        self._throw_copy_away()
        self.buffer.mark_saved(self.buffer.text)  # so that no copy is left behind
        self._exit()

    def _exit(self) -> None:
        if not self.app.is_done:
            self.app.exit(result=0)

    # --- clipboard ----------------------------------------------------------------------------

    def copy(self) -> None:
        """Copy the selection, or the line."""
        if self.buffer.selection_state:
            self._to_clipboard(self.buffer.copy_selection())
        else:
            self._to_clipboard(ClipboardData(self.buffer.document.current_line + "\n"))

    def cut(self) -> None:
        """Cut the selection, or the line."""
        selected = self.buffer.selection_state is not None
        self.buffer.changes.close_step()
        self._to_clipboard(self.buffer.cut_selection() if selected else self.buffer.cut_line())

    def _to_clipboard(self, data: ClipboardData) -> None:
        """Ours, and by OSC 52 the terminal's, which works over SSH where the terminal allows it."""
        self.app.clipboard.set_data(data)
        raw = data.text.encode("utf-8", "replace")
        if len(raw) <= CLIPBOARD_LIMIT:
            self.app.output.write_raw(f"\x1b]52;c;{base64.b64encode(raw).decode()}\x07")

    def paste(self) -> None:
        """Insert what was copied last; a whole line goes above the cursor's line."""
        self.buffer.insert_step(self.app.clipboard.get_data().text)

    # --- finding ------------------------------------------------------------------------------

    def find(self) -> None:
        """Begin to search."""
        start_search(self.screen.control)

    def find_again(self, step: int) -> None:
        """To the next (1) or the previous (-1) place of what was searched last."""
        state = self.screen.control.search_state
        if not state.text:
            return self.find()
        direction = SearchDirection.FORWARD if step > 0 else SearchDirection.BACKWARD
        state.direction = direction
        self.buffer.apply_search(state, include_current_position=False)
        self.tell_missing(state.text)

    def count(self, wanted: str) -> int:
        """How often the text holds `wanted`; in small letters it stands for capitals as well."""
        text = self.buffer.text
        return text.lower().count(wanted) if wanted.islower() else text.count(wanted)

    def tell_missing(self, wanted: str) -> None:
        """Say so where a search finds nothing."""
        if wanted and not self.count(wanted):
            self.say(f"{wanted!r} is not found", True)

    def ask_replace(self) -> None:
        """Ask for two texts and replace the one by the other throughout."""
        prompts = self.screen.prompts

        def with_what(old: str) -> None:
            if old:
                prompts.ask_text("Replace by:", lambda new: self._replace_all(old, new))

        prompts.ask_text("Replace all:", with_what, self.screen.search.search_buffer.text)

    def _replace_all(self, old: str, new: str) -> None:
        text, cursor = self.buffer.text, self.buffer.cursor_position
        count = text.count(old)
        if count:
            before = text[:cursor].replace(old, new)
            self.buffer.replace(0, len(text), text.replace(old, new), len(before))
        self.say(f"{count} replaced", error=not count)

    def ask_line(self) -> None:
        """Ask for a line number and go there."""
        self.screen.prompts.ask_text("Go to line:", self._go_to_line)

    def _go_to_line(self, number: str) -> None:
        if not number.strip().isdigit():
            return self.say(f"{number!r} is no line number", True)
        return self.go_to_line(int(number))

    def go_to_line(self, number: int) -> None:
        """Put the cursor at the beginning of a line, counted from 1."""
        document = self.buffer.document
        row = min(max(number, 1), document.line_count) - 1
        self.buffer.cursor_position = document.translate_row_col_to_index(row, 0)

    def page(self, step: int) -> None:
        """A screenful up (-1) or down (1)."""
        info = self.screen.window.render_info
        rows = max(1, (info.window_height if info else 20) - 2)
        if step > 0:
            self.buffer.cursor_down(count=rows)
        else:
            self.buffer.cursor_up(count=rows)

    def toggle_comment(self) -> None:
        """Comment the line or the selected lines out or in."""
        mark = next((row.line_comment for row in LANGUAGES if row.name == self.language), "#")
        actions.toggle_comment(self.buffer, mark)
