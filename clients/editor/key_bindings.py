"""Which key does what. Knows the editor's actions and nothing of how they are done."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from prompt_toolkit.application.current import get_app
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.key_binding import (
    ConditionalKeyBindings,
    KeyBindings,
    KeyBindingsBase,
    KeyPressEvent,
    merge_key_bindings,
)
from prompt_toolkit.key_binding.bindings.basic import load_basic_bindings
from prompt_toolkit.key_binding.bindings.cpr import load_cpr_bindings
from prompt_toolkit.key_binding.bindings.emacs import load_emacs_shift_selection_bindings
from prompt_toolkit.key_binding.bindings.mouse import load_mouse_bindings
from prompt_toolkit.keys import Keys

from autocoder.clients.editor import actions

if TYPE_CHECKING:
    from autocoder.clients.editor.editor import Editor


def toolkit_bindings() -> KeyBindingsBase:
    """What we keep of prompt-toolkit's own keys: no Emacs chords that would surprise in a file."""
    return merge_key_bindings(
        [
            load_basic_bindings(),
            load_emacs_shift_selection_bindings(),
            load_mouse_bindings(),
            load_cpr_bindings(),
        ]
    )


def editor_bindings(editor: "Editor") -> KeyBindingsBase:
    """The keys while the text has the focus."""
    ghost = Condition(lambda: bool(editor.suggester.ghost(editor.buffer.document)))
    selection = Condition(lambda: editor.buffer.selection_state is not None)
    keys = KeyBindings()
    _bind_suggestions(keys, editor, ghost)
    _bind_file(keys, editor)
    _bind_editing(keys, editor, selection)
    _bind_moving(keys, editor)
    return ConditionalKeyBindings(keys, has_focus(editor.buffer))


def _do(action: Callable[[], object]) -> Callable[[KeyPressEvent], None]:
    def handler(event: KeyPressEvent) -> None:
        action()

    return handler


def _bind_suggestions(keys: KeyBindings, editor: "Editor", ghost: Condition) -> None:
    for amount, chords in (
        ("all", (("tab",),)),
        ("word", (("escape", "right"), ("c-right",), ("escape", "f"))),
        ("line", (("c-e",), ("escape", "enter"), ("escape", "c-right"))),
    ):
        for chord in chords:
            keys.add(*chord, filter=ghost)(_accepting(editor, amount))
    keys.add("escape")(_do(editor.escape))
    keys.add("escape", "n")(_do(lambda: editor.turn(1)))
    keys.add("escape", "p")(_do(lambda: editor.turn(-1)))
    keys.add("escape", "\\")(_do(editor.trigger))
    keys.add("c-@")(_do(editor.trigger))
    keys.add("f4")(_do(editor.toggle_suggestions))


def _accepting(editor: "Editor", amount: str) -> Callable[[KeyPressEvent], None]:
    def handler(event: KeyPressEvent) -> None:
        editor.accept(amount)

    return handler


def _bind_file(keys: KeyBindings, editor: "Editor") -> None:
    keys.add("c-s")(_do(editor.save))
    keys.add("f2")(_do(editor.ask_save_as))
    keys.add("c-q")(_do(editor.leave))
    keys.add("f1")(_do(editor.show_help))


def _bind_editing(keys: KeyBindings, editor: "Editor", selection: Condition) -> None:
    buffer = editor.buffer
    keys.add("c-z")(_do(buffer.undo))
    keys.add("c-y")(_do(buffer.redo))
    keys.add("enter")(_do(lambda: actions.newline(buffer, editor.unit, editor.language)))
    keys.add("tab", filter=~_has_ghost(editor))(_do(lambda: actions.indent(buffer, editor.unit)))
    keys.add("s-tab")(_do(lambda: actions.unindent(buffer, editor.unit)))
    keys.add("backspace")(_do(lambda: actions.backspace(buffer, editor.unit)))
    for character in ")]}":
        keys.add(character)(_closing(editor, character))
    keys.add("c-x")(_do(editor.cut))
    keys.add("c-c")(_do(editor.copy))
    keys.add("c-v")(_do(editor.paste))
    keys.add(Keys.BracketedPaste)(lambda event: actions.paste(buffer, event.data))
    keys.add("c-a")(_do(lambda: actions.select_all(buffer)))
    keys.add("escape", "up")(_do(lambda: actions.move_lines(buffer, -1)))
    keys.add("escape", "down")(_do(lambda: actions.move_lines(buffer, 1)))
    keys.add("c-_")(_do(editor.toggle_comment))
    keys.add("c-w")(_do(lambda: actions.delete_word(buffer, -1)))
    keys.add("escape", "backspace")(_do(lambda: actions.delete_word(buffer, -1)))
    keys.add("c-delete")(_do(lambda: actions.delete_word(buffer, 1)))
    for unused in ("c-t", "c-u", "c-d", "c-b", "c-up", "c-down", "c-l"):
        keys.add(unused)(lambda event: None)
    keys.add("c-k")(_do(editor.cut))


def _has_ghost(editor: "Editor") -> Condition:
    return Condition(lambda: bool(editor.suggester.ghost(editor.buffer.document)))


def _closing(editor: "Editor", character: str) -> Callable[[KeyPressEvent], None]:
    def handler(event: KeyPressEvent) -> None:
        actions.close_bracket(editor.buffer, character, editor.unit)

    return handler


def _bind_moving(keys: KeyBindings, editor: "Editor") -> None:
    buffer = editor.buffer
    keys.add("c-f")(_do(editor.find))
    keys.add("f3")(_do(lambda: editor.find_again(1)))
    keys.add("c-n")(_do(lambda: editor.find_again(1)))
    keys.add("c-p")(_do(lambda: editor.find_again(-1)))  # Shift-F3 reads like a cursor report
    keys.add("c-r")(_do(editor.ask_replace))
    keys.add("c-g")(_do(editor.ask_line))
    plain = ~Condition(lambda: get_app().current_buffer.selection_state is not None)
    for key, action in (
        ("up", lambda: buffer.cursor_up()),
        ("down", lambda: buffer.cursor_down()),
        ("left", lambda: actions.move_by(buffer, -1)),
        ("right", lambda: actions.move_by(buffer, 1)),
        ("home", lambda: actions.home(buffer)),
        ("c-home", lambda: actions.move_to(buffer, 0)),
        ("c-end", lambda: actions.move_to(buffer, len(buffer.text))),
        ("c-left", lambda: actions.move_word(buffer, -1)),
    ):
        keys.add(key, filter=plain)(_do(action))
    no_ghost = ~_has_ghost(editor)
    keys.add("c-right", filter=plain & no_ghost)(_do(lambda: actions.move_word(buffer, 1)))
    keys.add("escape", "right", filter=no_ghost)(_do(lambda: actions.move_word(buffer, 1)))
    keys.add("escape", "left")(_do(lambda: actions.move_word(buffer, -1)))
    keys.add("c-e", filter=no_ghost)(_do(lambda: actions.line_end(buffer)))
    keys.add("pageup")(_do(lambda: editor.page(-1)))
    keys.add("pagedown")(_do(lambda: editor.page(1)))
