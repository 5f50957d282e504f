"""Each key does its work only while a suggestion shows, and else what it did before."""

import json

import pytest
import sublime

from autocoder.clients.sublime_command import PLUGIN

BEFORE = {
    "tab": ("insert", {"characters": "\t"}),
    "alt+enter": None,
    "alt+right": ("move", {"by": "subwords", "forward": True}),
    "ctrl+alt+right": None,
    "alt+end": None,
    "alt+]": None,
    "alt+[": None,
    "escape": None,
}
KEYMAP = sublime.decode_value((PLUGIN / "Default.sublime-keymap").read_text())
BINDINGS = {binding["keys"][0]: binding for binding in KEYMAP}


@pytest.fixture
def shown(editor, bridge):
    """`for i in ran` with `ge(10):` behind it."""
    bridge.says(("ran", "ge(10):"))
    editor.type("for i in ran")
    assert editor.wait(lambda: editor.screen() == "for i in ran⟨ge(10):⟩")
    return editor


def command(binding):
    return binding["command"], binding.get("args", {})


def test_the_keys_are_these():
    assert set(BINDINGS) == {*BEFORE, "alt+\\"}
    assert len(KEYMAP) == len(BINDINGS)


@pytest.mark.parametrize("key", BEFORE)
def test_a_key_is_ours_while_a_suggestion_shows(shown, key):
    assert shown.press(key) == command(BINDINGS[key])


@pytest.mark.parametrize("key", BEFORE)
def test_a_key_does_what_it_did_before_without_one(editor, key, monkeypatch):
    monkeypatch.setattr("fake_commands.do_move", lambda view, **arguments: None)
    editor.type("x = ").rest(0.05)
    assert editor.press(key) == BEFORE[key]


@pytest.mark.parametrize("key", BEFORE)
def test_a_key_is_let_go_as_soon_as_the_suggestion_is(shown, key, monkeypatch):
    monkeypatch.setattr("fake_commands.do_move", lambda view, **arguments: None)
    shown.press("escape")
    assert shown.press(key) == BEFORE[key]


def test_the_trigger_key_is_ours_wherever_a_suggestion_may_show(editor):
    assert editor.press("alt+\\") == ("autocoder_trigger", {})
    editor.view.set_read_only(True)
    assert editor.press("alt+\\") is None


# --- side by side with Sublime's own --------------------------------------------------------------


def test_the_auto_complete_menu_keeps_tab_and_escape(shown):
    shown.view._auto_complete = "dom"
    assert shown.screen() == "for i in ran⟨ge(10):⟩"
    assert shown.press("tab") == ("commit_completion", {})
    assert (shown.text(), shown.screen()) == ("for i in random|", "for i in random")
    shown.type(" ran")
    assert shown.wait(lambda: "⟨" in shown.screen())
    shown.view._auto_complete = "dom"
    assert shown.press("escape") == ("hide_auto_complete", {})
    assert "⟨" in shown.screen()
    assert shown.press("escape") == ("autocoder_dismiss", {})


def test_the_menu_leaves_the_other_keys_and_what_it_completes_is_typed_through(shown, bridge):
    shown.view._auto_complete = "ge"
    shown.press("tab")
    assert shown.screen() == "for i in range⟨(10):⟩"
    shown.view._auto_complete = "x"
    assert shown.press("alt+right") == ("autocoder_accept", {"amount": "word"})
    assert shown.text() == "for i in range(|"
    shown.view._auto_complete = "x"
    assert shown.press("alt+enter") == ("autocoder_accept", {"amount": "all"})
    assert shown.text() == "for i in range(10):|"
    assert not shown.view.is_auto_complete_visible()


def test_a_snippets_fields_keep_tab(shown):
    shown.view._fields = 1
    assert shown.press("tab") == ("next_field", {})
    assert shown.press("tab") == ("autocoder_accept", {"amount": "all"})


def test_a_snippets_trigger_expands_where_nothing_shows(editor, bridge):
    bridge.says(("for", " i in range(10):"))
    editor.type("for")
    assert editor.press("tab") == ("expand_snippet", {})
    assert editor.text() == "for SNIPPET|"


def test_the_suggestion_goes_before_a_snippets_trigger(editor, bridge):
    bridge.says(("for", " i in range(10):"))
    editor.type("for")
    assert editor.wait(lambda: editor.screen() == "for⟨ i in range(10):⟩")
    assert editor.press("tab")[0] == "autocoder_accept"


def test_escape_takes_the_suggestion_first_and_then_what_it_took_before(shown):
    shown.view.show_popup("<body>help</body>")
    shown.window.run_command("show_panel", {"panel": "output.exec"})
    pressed = [shown.press("escape")[0] for _ in range(3)]
    assert pressed == ["autocoder_dismiss", "hide_popup", "hide_panel"]


def test_other_plugins_keys_are_not_answered(shown):
    [listener] = shown.world.listeners
    view = shown.view
    assert listener.on_query_context(view, "lsp.visible", 0, True, False) is None
    assert listener.on_query_context(view, "autocoder.other", 0, True, False) is None
    assert listener.on_query_context(view, "auto_complete_visible", 0, True, False) is None


@pytest.mark.parametrize("key", ["autocoder.visible", "autocoder.possible"])
def test_contexts_know_equal_and_not_equal(shown, key):
    [listener] = shown.world.listeners

    def ask(operator, operand):
        return listener.on_query_context(shown.view, key, operator, operand, False)

    assert [ask(0, True), ask(0, False), ask(1, True), ask(1, False)] == [True, False, False, True]
    assert [ask(operator, "x") for operator in (2, 3, 4, 5)] == [None] * 4


def test_what_the_user_binds_goes_before(shown):
    keys = [{"keys": ["tab"], "command": "insert", "args": {"characters": "  "}}]
    user = shown.world.packages.pop("User")
    (user / "Default.sublime-keymap").write_text(json.dumps(keys))
    shown.world.packages["User"] = user  # loaded last
    assert shown.press("tab") == ("insert", {"characters": "  "})


def test_a_command_without_a_suggestion_does_nothing(editor):
    editor.type("x")
    for name in ("autocoder_accept", "autocoder_cycle", "autocoder_dismiss"):
        editor.view.run_command(name)
    assert editor.text() == "x|"
