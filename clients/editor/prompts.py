"""The bottom line when it asks: a question answered by one key, or a short text.

A question that nobody expects takes no answer from somebody who is typing: a key counts after
a moment without any. Knows no files: whoever asks gives the answers' actions.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prompt_toolkit.application.current import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import Completer, DummyCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import ConditionalContainer, FormattedTextControl, HSplit, Window
from prompt_toolkit.layout.containers import AnyContainer
from prompt_toolkit.layout.controls import BufferControl
from prompt_toolkit.layout.processors import BeforeInput

QUIET_S = 0.4  # somebody who reads a question takes longer


@dataclass(frozen=True)
class Question:
    """`text` is asked; each key of `answers` has a word for people and an action.

    One that `comes_unasked` may come while the user types. Keys that are no answer do nothing, or
    what `otherwise` says; Escape then does that too.
    """

    text: str
    answers: Mapping[str, tuple[str, Callable[[], None]]] = field(default_factory=dict)
    comes_unasked: bool = False
    otherwise: Callable[[], None] | None = None


class Prompts:
    """Shows one question or one input line at a time, and gives the focus back afterwards."""

    def __init__(self, give_back_focus: Callable[[], None]) -> None:
        self._give_back_focus = give_back_focus
        self._question: Question | None = None
        self._disturbed_at: float | None = None
        self._label = ""
        self._on_text: Callable[[str], None] = _nothing
        self._choice = FormattedTextControl(
            self._question_text, focusable=True, key_bindings=self._choice_keys(), show_cursor=False
        )
        self._input = Buffer(multiline=False, accept_handler=self._accept)
        self._line = BufferControl(
            self._input,
            input_processors=[BeforeInput(lambda: [("class:question", f" {self._label} ")])],
            key_bindings=self._line_keys(),
        )
        self.active = has_focus(self._choice) | has_focus(self._line)
        self.container: AnyContainer = HSplit(
            [
                ConditionalContainer(Window(self._choice, height=1), has_focus(self._choice)),
                ConditionalContainer(Window(self._line, height=1), has_focus(self._line)),
            ]
        )

    def ask(self, question: Question) -> None:
        """Ask for one key. Escape answers nothing."""
        self._question, self._disturbed_at = question, None
        get_app().layout.focus(self._choice)

    def ask_text(
        self,
        label: str,
        on_text: Callable[[str], None],
        default: str = "",
        completer: Completer | None = None,
    ) -> None:
        """Ask for a line of text; `on_text` is called with it unless Escape is pressed."""
        self._label, self._on_text = label, on_text
        self._input.completer = completer or DummyCompleter()
        self._input.document = Document(default)
        get_app().layout.focus(self._line)

    def _question_text(self) -> StyleAndTextTuples:
        if self._question is None:
            return []
        if self._disturbed_at is None:
            self._disturbed_at = time.monotonic()
        drawn: StyleAndTextTuples = [("class:question", f" {self._question.text}  ")]
        for key, (word, _) in self._question.answers.items():
            drawn += [("class:message.key", f" {key.capitalize() if key[1:] else key} ")]
            drawn += [("", f"{word}  ")]
        return [*drawn, ("class:message.key", " Esc "), ("", "go back")]

    def _choice_keys(self) -> KeyBindings:
        keys = KeyBindings()

        keys.add(Keys.Any)(lambda event: self._answer(event.data.lower()))
        keys.add("enter")(lambda event: self._answer("enter"))
        for key in ("escape", "c-c", "c-g"):
            keys.add(key, eager=True)(lambda event: self._decline())
        for ignored in (Keys.BracketedPaste, "tab", "up", "down", "left", "right"):
            keys.add(ignored)(lambda event: self._answer(""))
        return keys

    def _answer(self, key: str) -> None:
        question = self._question
        if question is None or (question.comes_unasked and self._is_typing()):
            return
        if key in question.answers:
            self._close()
            question.answers[key][1]()
        elif question.otherwise:
            self._decline()

    def _is_typing(self) -> bool:
        """Whether the last key, or the question's appearance, was but a moment ago."""
        last, now = self._disturbed_at, time.monotonic()
        self._disturbed_at = now
        return last is None or now - last < QUIET_S

    def _decline(self) -> None:
        otherwise = self._question.otherwise if self._question else None
        self._close()
        if otherwise:
            otherwise()

    def _line_keys(self) -> KeyBindings:
        keys = KeyBindings()
        for key in ("escape", "c-c", "c-g"):
            keys.add(key, eager=True)(lambda event: self._close())

        keys.add("enter")(lambda event: self._input.validate_and_handle())

        @keys.add("tab")
        def _(event: KeyPressEvent) -> None:
            self._input.complete_next() if self._input.complete_state else (
                self._input.start_completion(insert_common_part=True)
            )

        return keys

    def _accept(self, buffer: Buffer) -> bool:
        text, on_text = buffer.text, self._on_text
        self._close()
        on_text(text)
        return True

    def _close(self) -> None:
        self._question, self._on_text = None, _nothing
        self._give_back_focus()


def _nothing(_: str) -> None:
    pass
