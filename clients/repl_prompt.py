"""One input of the REPL: several lines of code with ghost text, history, and rules for Enter.

Knows prompt-toolkit and the suggester; what becomes of the text is the REPL's affair.
"""

from pathlib import PurePath

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings.basic import load_basic_bindings
from prompt_toolkit.key_binding.bindings.cpr import load_cpr_bindings
from prompt_toolkit.key_binding.bindings.emacs import load_emacs_bindings
from prompt_toolkit.key_binding.key_bindings import merge_key_bindings
from prompt_toolkit.layout import Layout, Window
from prompt_toolkit.output import Output

from autocoder.clients.editor import actions
from autocoder.clients.editor.colours import editor_style
from autocoder.clients.editor.edit_buffer import EditBuffer
from autocoder.clients.editor.ghost_control import GhostBufferControl
from autocoder.clients.editor.lexing import lexer_for
from autocoder.clients.editor.recovery import state_folder
from autocoder.clients.editor.suggester import Completes, Suggester
from autocoder.daemon.languages import LANGUAGES
from autocoder.daemon.protocol import Complete

UNIT = "    "
OPEN_ENDS = (":", "{", "(", "[", ",", "\\")
KEY_SEQUENCE_S = 0.05


def is_finished(text: str) -> bool:
    """Whether Enter at the end of `text` means: continue this; else it begins a new line."""
    lines = text.split("\n")
    if text.startswith(":") or len(lines) == 1:
        return text.startswith(":") or not text.rstrip().endswith(OPEN_ENDS)
    return not lines[-1].strip()


def submitted(text: str) -> str:
    """The text that is continued: without the blank line that ended it."""
    head, _, last = text.rpartition("\n")
    return head if head and not last.strip() else text


def file_history() -> History:
    """The inputs of earlier sessions; of this one only, where no file can be kept."""
    try:
        state_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileHistory(str(state_folder() / "repl_history"))
    except OSError:
        return InMemoryHistory()


class Prompt:
    """Reads inputs, one after another, with one connection and one history."""

    def __init__(
        self,
        client: Completes,
        history: History | None = None,
        input: Input | None = None,
        output: Output | None = None,
    ) -> None:
        self._client, self._history = client, history or file_history()
        self._input, self._output = input, output

    async def read(self, request: Complete) -> str | None:
        """The next input; None at its end (Ctrl-D)."""
        language = request.language or "python"
        buffer = EditBuffer("", history=self._history)
        suggester = Suggester(self._client, "repl", language=language, changed=lambda: redraw())
        app = self._application(buffer, suggester, language)
        redraw = app.invalidate
        buffer.on_text_changed += lambda _: _ask(suggester, buffer.document)
        buffer.on_cursor_position_changed += lambda _: suggester.cursor_moved(buffer.document)
        try:
            return await app.run_async(pre_run=suggester.start)
        except EOFError:
            return None
        finally:
            suggester.stop_asking()

    def _application(
        self, buffer: EditBuffer, suggester: Suggester, language: str
    ) -> "Application[str | None]":
        def ghost(document: Document) -> str:
            return "" if app.is_done or document.text.startswith(":") else suggester.ghost(document)

        ending = next(row.endings[0] for row in LANGUAGES if row.name == language)
        lexer = lexer_for(PurePath(f"code{ending}"), "")
        control = GhostBufferControl(buffer, ghost, lexer, blank_rows=0, wraps=True)

        def prefix(line: int, wrap_count: int) -> StyleAndTextTuples:
            label = f"{language}> " if line == 0 and not wrap_count else " " * (len(language) + 2)
            return [("class:line-number", label)]

        window = Window(control, wrap_lines=True, get_line_prefix=prefix, dont_extend_height=True)
        app: Application[str | None] = Application(
            Layout(window),
            key_bindings=_keys(buffer, suggester, language),
            style=editor_style(),
            include_default_pygments_style=False,
            input=self._input,
            output=self._output,
        )
        app._default_bindings = merge_key_bindings(
            [load_basic_bindings(), load_emacs_bindings(), load_cpr_bindings()]
        )
        app.ttimeoutlen = app.timeoutlen = KEY_SEQUENCE_S
        return app


def _keys(buffer: EditBuffer, suggester: Suggester, language: str) -> KeyBindings:
    keys = KeyBindings()
    ghost = Condition(lambda: bool(suggester.ghost(buffer.document)))
    at_line_end = Condition(lambda: not buffer.document.current_line_after_cursor)

    def accepting(amount: str, *chords: tuple[str, ...]) -> None:
        for chord in chords:
            keys.add(*chord, filter=ghost)(
                lambda event: buffer.insert_step(suggester.take(buffer.document, amount))
            )

    accepting("all", ("tab",))
    accepting("word", ("c-right",), ("escape", "right"), ("escape", "f"))
    accepting("line", ("c-e",))
    keys.add("right", filter=ghost & at_line_end)(
        lambda event: buffer.insert_step(suggester.take(buffer.document))
    )
    keys.add("escape")(lambda event: suggester.dismiss(buffer.document))
    keys.add("tab", filter=~ghost)(lambda event: actions.indent(buffer, UNIT))
    keys.add("s-tab")(lambda event: actions.unindent(buffer, UNIT))
    keys.add("c-z")(lambda event: buffer.undo())
    keys.add("escape", "enter")(lambda event: actions.newline(buffer, UNIT, language))
    keys.add("enter")(lambda event: _enter(event, buffer, language))
    keys.add("c-c")(lambda event: _clear(buffer))
    keys.add("<sigint>")(lambda event: _clear(buffer))
    keys.add("c-d", filter=Condition(lambda: not buffer.text))(
        lambda event: event.app.exit(result=None)
    )
    return keys


def _ask(suggester: Suggester, document: Document) -> None:
    if not document.text.startswith(":"):
        suggester.text_changed(document)


def _enter(event: KeyPressEvent, buffer: EditBuffer, language: str) -> None:
    at_end = not buffer.text[buffer.cursor_position :].strip()
    if not (at_end and is_finished(buffer.text)):
        return actions.newline(buffer, UNIT, language)
    text = submitted(buffer.text)
    if text.strip():
        buffer.history.append_string(text)
    return event.app.exit(result=text)


def _clear(buffer: Buffer) -> None:
    buffer.document = Document("", 0)
