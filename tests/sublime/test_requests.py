"""What the plugin asks of the bridge, what it tells it, and what it makes of the answers."""

import json
import sys

import pytest

BLOCK = "):\n    if n < 2:\n        return 1"


def last(bridge):
    return bridge.heard()[-1]


def asked(editor, bridge, prefix):
    """Is a request for this prefix made?"""
    return editor.wait(lambda: bridge.heard() and last(bridge)["prefix"] == prefix)


def asked_to_end(editor, bridge, end):
    """Is a request made whose prefix ends so?"""
    return editor.wait(lambda: bridge.heard() and last(bridge)["prefix"].endswith(end))


def silent(editor, before=0):
    """Has nothing more than `before` requests been sent several times the delay from now?"""
    editor.rest()
    return len(editor.asked) == before


def answers_held(editor, bridge):
    """Has the answer to every request, and to the greeting, come and is it held back?"""
    return editor.wait(lambda: len(editor.world.held) == 1 + len(bridge.heard()))


@pytest.fixture
def shown(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.type("for i in ran")
    assert editor.wait(lambda: editor.screen() == "for i in ran⟨ge(10):⟩")
    return editor


# --- what is asked --------------------------------------------------------------------------------


def test_a_request_holds_the_text_around_the_caret(editor, bridge, tmp_path):
    file = tmp_path / "code.py"
    editor.open("one\nt|wo\nthree\n", name=file)
    editor.type("t")
    assert asked(editor, bridge, "one\ntt")
    request = last(bridge)
    assert request["suffix"] == "wo\nthree\n"
    assert request["path"] == request["document"] == str(file)
    assert (request["language"], request["max_lines"], request["v"]) == ("python", 1, 1)
    assert (request["max_tokens"], "candidates" in request) == (48, False)
    assert bridge.heard("hello")[0]["client"] == "sublime"


def test_a_text_without_a_name_has_one_for_the_daemon(editor, bridge):
    view = editor.open(scope="source.java")
    editor.type("x")
    assert asked(editor, bridge, "x")
    assert last(bridge)["document"] == f"untitled-{view.buffer_id()}"
    assert (last(bridge)["path"], last(bridge)["language"]) == (None, "java")


def test_saved_under_a_name_it_has_that_one(shown, bridge):
    shown.view._buffer.file_name = "/tmp/Name.java"
    shown.view._scope = "source.java"
    shown.type("x")
    assert asked(shown, bridge, "for i in ranx")
    assert (last(bridge)["document"], last(bridge)["language"]) == ("/tmp/Name.java", "java")


def test_of_five_megabytes_some_tens_of_kilobytes_are_copied_and_sent(editor, bridge):
    line = '    value = compute("größe", 漢字)  # a line like any other\n'
    middle = 60_000 * len(line) - 1
    text = line * 120_000
    editor.open(text[:middle] + "|" + text[middle:])
    assert len(text) > 5_000_000
    editor.world.copied = 0
    editor.type("!")
    assert editor.wait(bridge.heard)
    request = last(bridge)
    assert 20_000 <= len(request["prefix"]) <= 24_576
    assert request["prefix"].startswith("    value") and request["prefix"].endswith("other!")
    assert request["suffix"] == text[middle : middle + 8192]
    assert editor.world.copied < 40_000


def test_what_was_sent_before_stays_as_it_is_while_one_types(editor, bridge):
    editor.open("x = 1\n" * 10_000)
    starts = set()
    for number in (1, 2, 3):
        editor.type("ab\n")
        assert asked_to_end(editor, bridge, "x = 1\n" + "ab\n" * number)
        starts.add(len(editor.view._buffer.text) - len(last(bridge)["prefix"]))
    assert len(starts) == 1


def test_neither_a_giant_line_above_nor_one_at_the_caret_matters(editor, bridge):
    editor.open("y" * 100_000 + "\n")
    editor.type("z")
    assert editor.wait(bridge.heard)
    assert last(bridge)["prefix"].endswith("y\nz")
    number = len(editor.asked)
    editor.open("y" * 5000)
    editor.type("z")
    assert silent(editor, number)


def test_half_a_surrogate_pair_does_no_harm(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.open("# \ud83d \ud83d\ude42\n")
    editor.type("for i in ran")
    assert editor.wait(lambda: "⟨ge(10):⟩" in editor.screen())


def test_fast_typing_asks_for_the_last_place_only(editor, bridge):
    editor.type("x = 1; " * 20)
    assert asked(editor, bridge, "x = 1; " * 20)
    assert len(bridge.heard()) < 70


@pytest.mark.parametrize("selection_first", [False, True])
def test_an_edit_asks_once_whichever_of_its_events_comes_first(editor, bridge, selection_first):
    editor.world.selection_first = selection_first
    bridge.says(("ran", "ge(10):"))
    editor.type("ran")
    assert editor.wait(lambda: editor.screen() == "ran⟨ge(10):⟩")
    assert [m["prefix"] for m in bridge.heard()][-1] == "ran"
    number = len(editor.asked)
    editor.type("g")
    assert editor.screen() == "rang⟨e(10):⟩"
    assert silent(editor, number)


# --- typing on ------------------------------------------------------------------------------------


def test_typing_through_asks_for_nothing_new(shown, bridge):
    number = len(shown.asked)
    shown.view.settings().set("auto_match_enabled", False)
    for typed in ("g", "ge", "ge(", "ge(1", "ge(10", "ge(10)"):
        shown.type(typed[-1])
        assert shown.screen() == f"for i in ran{typed}⟨{'ge(10):'[len(typed) :]}⟩"
    assert silent(shown, number)
    shown.type(":")
    assert shown.screen() == "for i in range(10):"
    assert shown.wait(lambda: ("partly", 0) in bridge.feedback())
    assert asked(shown, bridge, "for i in range(10):")


def test_a_line_break_with_its_indentation_is_typed_through(editor, bridge):
    bridge.says(("x:", "\n    return 1"))
    editor.type("if x:")
    assert editor.wait(lambda: "⟨    return 1⟩" in editor.screen())
    editor.press("enter")
    assert editor.screen() == "if x:\n    ⟨return 1⟩"


def test_deleting_what_was_typed_through_lets_it_grow_again(shown):
    shown.type("ge").press("backspace")
    assert shown.screen() == "for i in rang⟨e(10):⟩"
    shown.press("backspace")
    shown.press("backspace")
    assert "⟨" not in shown.screen()


def test_typing_another_way_asks_anew(shown, bridge):
    bridge.says(("ran", "ge(10):"), ("rando", "m()"))
    shown.type("d")
    assert shown.screen() == "for i in rand"
    shown.type("o")
    assert shown.wait(lambda: shown.screen() == "for i in rando⟨m()⟩")
    told = [("shown", 0), ("dismissed", 0), ("shown", 0)]
    assert shown.wait(lambda: bridge.feedback() == told)


def test_a_bracket_that_closes_by_itself_asks_anew_with_it_behind_the_caret(editor, bridge):
    bridge.says(("range", "(10):"), ("range(", "10"))
    editor.type("range")
    assert editor.wait(lambda: editor.screen() == "range⟨(10):⟩")
    editor.type("(")
    assert editor.screen() == "range()"
    assert editor.wait(lambda: editor.screen() == "range(⟨10⟩)")
    assert last(bridge)["suffix"] == ")"


def test_moving_the_caret_ends_it_and_asks_for_nothing(shown, bridge):
    number = len(shown.asked)
    shown.press("left")
    assert shown.screen() == "for i in ran"
    shown.press("right")
    assert shown.screen() == "for i in ran"
    assert shown.wait(lambda: ("dismissed", 0) in bridge.feedback())
    assert silent(shown, number)


# --- answers --------------------------------------------------------------------------------------


def test_a_late_answer_shows_what_is_left_of_it_and_the_next_one_does_not_replace_it(
    editor, bridge
):
    bridge.says(("ran", "ge(10):"), ("rang", "ing()"))
    editor.hold()
    for typed in ("for i in ran", "g"):
        editor.type(typed)
        assert asked_to_end(editor, bridge, typed)
    assert answers_held(editor, bridge)
    editor.release()
    assert editor.screen() == "for i in rang⟨e(10):⟩"


STALE = {
    "typed another way": lambda editor: editor.type("x"),
    "caret moved": lambda editor: editor.press("left"),
    "selected": lambda editor: editor.move(5, extend=2),
    "several carets": lambda editor: editor.move(1, 5),
    "undone": lambda editor: editor.press("ctrl+z"),
    "changed elsewhere": lambda editor: editor.view._buffer.replace(6, 7, "c"),
}


@pytest.mark.parametrize("how", STALE)
def test_a_stale_answer_is_dropped(editor, bridge, how):
    bridge.says(("ran", "ge(10):"), ("ranx", []))
    editor.open("a\n|\nb")
    editor.hold()
    editor.type("ran")
    assert asked(editor, bridge, "a\nran")
    assert answers_held(editor, bridge)
    STALE[how](editor)
    editor.release()
    assert "⟨" not in editor.screen()
    assert "shown" not in [event for event, _ in bridge.feedback()]


def test_what_became_of_a_suggestion_is_told_once(editor, bridge):
    bridge.says(("ran", "ge(10):"), ("fact(n", BLOCK))
    editor.open(auto_match_enabled=False)
    editor.type("for i in ran")
    assert editor.wait(lambda: "⟨" in editor.screen())
    editor.press("tab")
    editor.open(auto_match_enabled=False)
    editor.type("def fact(n")
    assert editor.wait(lambda: "⟨" in editor.screen())
    editor.press("alt+right")
    editor.press("escape")
    told = [("shown", 0), ("accepted", 7), ("shown", 0), ("partly", 2)]
    assert editor.wait(lambda: bridge.feedback() == told)
    editor.rest(0.05)
    assert bridge.feedback() == told
    ids = {message["id"] for message in bridge.heard()}
    assert {message["target"] for message in bridge.heard("feedback")} <= ids


def test_a_word_at_a_time_to_the_end_counts_as_accepted(shown, bridge):
    for _ in range(4):
        shown.press("alt+right")
    assert shown.text() == "for i in range(10):|"
    told = [("shown", 0), ("accepted", 7)]
    assert shown.wait(lambda: bridge.feedback() == told)


def test_the_log_holds_no_text_of_the_users(editor, bridge):
    bridge.says(("secret", "_ghost"))
    editor.type("my_secret")
    assert editor.wait(lambda: editor.screen() == "my_secret⟨_ghost⟩")
    editor.press("tab")
    editor.window.run_command("autocoder_show", {"what": "log"})
    assert "starting the bridge" in editor.panel()
    assert "secret" not in json.dumps(editor.panel())


# --- carets, views, files -------------------------------------------------------------------------


def test_with_several_carets_or_a_selection_nothing_is_asked_or_shown(editor, bridge):
    editor.open("a\na")
    editor.move(1, 3).type("x")
    assert editor.text() == "ax|\nax|"
    editor.move(1, extend=0)
    assert editor.press("alt+\\") is None
    assert silent(editor)
    editor.move(2).type("y")
    assert asked(editor, bridge, "axy")


def test_a_second_caret_ends_the_suggestion(shown, bridge):
    shown.move(0, 12)
    assert shown.screen() == "for i in ran"
    assert shown.press("tab") == ("insert", {"characters": "\t"})
    assert shown.wait(lambda: ("dismissed", 0) in bridge.feedback())


def test_of_two_views_of_one_text_the_one_typed_in_has_the_ghost(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    first = editor.view
    second = editor.clone(first)
    editor.type("for i in ran")
    assert editor.wait(lambda: editor.screen(second) == "for i in ran⟨ge(10):⟩")
    assert editor.screen(first) == "for i in ran"
    assert len({m["document"] for m in bridge.heard()}) == 1
    editor.type("g")
    assert (editor.screen(first), editor.screen(second)) == (
        "for i in rang",
        "for i in rang⟨e(10):⟩",
    )
    editor.focus(first)
    assert editor.screen(second) == "for i in rang"
    assert editor.wait(lambda: ("dismissed", 0) in bridge.feedback())
    editor.move(13).press("tab")
    assert editor.text(first) == "for i in rang\t|"


def waiting(editor, bridge):
    """The view whose request is answered, and the answer held back."""
    bridge.says(("ran", "ge(10):"))
    editor.hold()
    editor.type("for i in ran")
    assert asked(editor, bridge, "for i in ran")
    assert answers_held(editor, bridge)
    return editor.view


def test_leaving_the_view_cancels_what_was_asked_and_drops_the_answer(editor, bridge):
    view = waiting(editor, bridge)
    editor.open("other")
    assert editor.wait(lambda: bridge.heard("cancel"))
    assert bridge.heard("cancel")[0]["target"] == last(bridge)["id"]
    editor.focus(view)
    editor.release()
    assert editor.screen(view) == "for i in ran"


def test_closing_the_view_while_waiting(editor, bridge):
    view = waiting(editor, bridge)
    view.close()
    assert editor.wait(lambda: bridge.heard("cancel"))
    editor.release()
    assert view._phantoms == {}
    editor.open()
    editor.type("for i in ran")
    assert editor.wait(lambda: "⟨" in editor.screen())


def test_leaving_the_view_before_anything_was_asked(editor, bridge):
    editor.paste("x")
    editor.open("other")
    assert silent(editor)


def test_closing_the_view_before_anything_was_asked(editor, bridge):
    editor.paste("x")
    editor.view.close()
    assert silent(editor)


def test_closing_a_view_that_shows_a_suggestion_tells_and_forgets_it(shown, bridge):
    shown.view.close()
    assert sys.modules["Autocoder.plugin"]._session._suggesters == {}
    assert shown.wait(lambda: bridge.feedback() == [("shown", 0), ("dismissed", 0)])


def test_reverting_the_file_takes_it_off_the_screen(shown):
    shown.world.tell("on_revert", shown.view)
    assert shown.screen() == "for i in ran"


@pytest.mark.parametrize("what", ["panel", "widget", "read only", "loading", "vintage", "syntax"])
def test_where_nothing_is_asked(editor, bridge, what):
    view = editor.open(scope="text.plain" if what == "syntax" else "source.python")
    if what == "panel":
        view._element = "find:input"
    view.settings().set("is_widget", what == "widget")
    view.settings().set("command_mode", what == "vintage")
    view.set_read_only(what == "read only")
    view._loading = what == "loading"
    editor.type("x")
    assert silent(editor)
    if what != "syntax":
        assert editor.press("alt+\\") is None


def test_two_windows_share_one_bridge(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.type("ran")
    assert editor.wait(lambda: "⟨" in editor.screen())
    other = editor.new_window()
    view = editor.open(window=other)
    view.run_command("insert", {"characters": "ran"})
    assert editor.wait(lambda: "⟨" in editor.screen(view))
    assert len(bridge.heard("started")) == 1
