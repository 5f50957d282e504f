"""Given text, when the caret stands there, then this is on the screen; and how it is taken."""

import pytest
import sublime

BLOCK = "):\n    if n < 2:\n        return 1"


@pytest.fixture
def suggesting(editor, bridge):
    """`suggesting(typed, *texts)`: type and have texts suggested; the editor showing the first."""

    def show(typed, *texts, text="", **settings):
        bridge.says((typed[-6:], list(texts)))
        editor.open(text, **{"auto_match_enabled": False, **settings})
        editor.type(typed)
        assert editor.wait(lambda: "⟨" in editor.screen() or editor.popup())
        return editor

    return show


def test_ghost_text_shows_at_the_caret_and_tab_takes_it(suggesting):
    editor = suggesting("for i in ran", "ge(10):")
    assert editor.screen() == "for i in ran⟨ge(10):⟩"
    assert editor.text() == "for i in ran|"
    assert editor.press("tab") == ("autocoder_accept", {"amount": "all"})
    assert editor.text() == editor.screen()[:-1] + ":|" == "for i in range(10):|"


def test_several_lines_show_below_and_the_caret_ends_up_behind_them(suggesting):
    editor = suggesting("def fact(n", BLOCK, text="|\nprint(1)\n")
    assert editor.screen() == ("def fact(n⟨):⟩\n⟨    if n < 2:⟩\n⟨        return 1⟩\nprint(1)\n")
    editor.press("tab")
    assert editor.text() == "def fact(n):\n    if n < 2:\n        return 1|\nprint(1)\n"
    assert editor.view._shown_at == editor.view.sel()[0].b


def test_the_caret_goes_behind_the_text_even_if_inserting_leaves_it_where_it_was(
    suggesting, monkeypatch
):
    editor = suggesting("for i in ran", "ge(10):")
    monkeypatch.setattr(sublime.View, "_shift", lambda view, begin, end, size: None)
    editor.press("tab")
    assert editor.text() == "for i in range(10):|"


def test_in_the_middle_of_a_line_the_rest_of_it_stays(suggesting):
    editor = suggesting("print(ran", "ge(10)", text="|)  # all")
    assert editor.screen() == "print(ran⟨ge(10)⟩)  # all"
    editor.press("tab")
    assert editor.text() == "print(range(10)|)  # all"


def test_a_suggestion_that_begins_with_a_line_break_has_nothing_inline(suggesting):
    editor = suggesting("x = 1", "\ny = 2\n\nz = 3")
    assert editor.screen() == "x = 1\n⟨y = 2⟩\n⟨ ⟩\n⟨z = 3⟩"
    [(_, _, layout)] = editor.view._phantoms.values()
    assert layout == 2


def test_one_word_then_one_line_then_all(suggesting):
    editor = suggesting("def fact(n", BLOCK)
    editor.press("alt+right")
    assert editor.screen() == "def fact(n):\n⟨    if n < 2:⟩\n⟨        return 1⟩"
    editor.press("alt+right")
    assert editor.screen() == "def fact(n):\n    if⟨ n < 2:⟩\n⟨        return 1⟩"
    editor.press("ctrl+alt+right")
    assert editor.screen() == "def fact(n):\n    if n < 2:\n⟨        return 1⟩"
    editor.press("alt+end")
    assert editor.text() == "def fact(n):\n    if n < 2:\n        return 1|"


def test_one_undo_takes_back_one_accept_and_asks_for_nothing(suggesting, bridge):
    editor = suggesting("def fact(n", BLOCK)
    editor.press("tab")
    editor.wait(lambda: bridge.heard()[-1]["prefix"].endswith("return 1"))
    asked = len(bridge.heard())
    editor.press("ctrl+z")
    assert editor.text() == "def fact(n|"
    editor.rest()
    assert (editor.screen(), len(bridge.heard())) == ("def fact(n", asked)
    editor.press("ctrl+y")
    assert editor.text().startswith("def fact(n):\n    if n < 2:")


def test_html_is_text_and_spaces_are_kept(suggesting):
    text = "<b>&amp;  \"x\"  'y' </b>"
    editor = suggesting("print(tag, ", text)
    assert editor.screen() == f"print(tag, ⟨{text}⟩"
    editor.press("tab")
    assert editor.text() == f"print(tag, {text}|"


def test_tabs_are_as_wide_as_they_will_be(suggesting):
    editor = suggesting("\tif 漢:", "\ta\tb\n\treturn", tab_size=8)
    # The tab goes to 8, `if 漢:` takes six columns to 14: the next stop is at 16, then at 24.
    assert editor.screen() == "\tif 漢:⟨  a       b⟩\n⟨        return⟩"
    editor.press("tab")
    assert editor.text() == "\tif 漢:\ta\tb\n\treturn|"


def test_tabs_become_spaces_where_the_text_is_indented_by_spaces(suggesting):
    editor = suggesting("if x:", "\n\treturn\n", tab_size=2, translate_tabs_to_spaces=True)
    editor.press("alt+right")
    assert editor.text() == "if x:\n  return|"
    assert editor.view.change_count() == len("if x:") + 1


def test_wide_characters_are_typed_through_and_accepted(suggesting):
    editor = suggesting("größe = ", "'漢字🙂' + x")
    editor.type("'漢")
    assert editor.screen() == "größe = '漢⟨字🙂' + x⟩"
    editor.press("alt+right")
    assert editor.text() == "größe = '漢字|"


def test_control_characters_do_not_reach_the_screen(suggesting):
    editor = suggesting("x = 1", "\x1b[31m\x00")
    assert editor.screen() == "x = 1⟨\ufffd[31m\ufffd⟩"


def test_next_and_previous_go_round(suggesting, bridge):
    editor = suggesting("import numpy as ", "np", "numpy", "n")
    assert "candidates" not in bridge.heard()[-1]
    editor.press("alt+]")
    assert editor.wait(lambda: editor.screen() == "import numpy as ⟨numpy⟩")
    assert bridge.heard()[-1]["candidates"] == 4
    for key, shown in (("alt+]", "n"), ("alt+]", "np"), ("alt+[", "n"), ("alt+[", "numpy")):
        editor.press(key)
        assert editor.screen() == f"import numpy as ⟨{shown}⟩"
    editor.type("n")
    editor.press("alt+]")
    assert editor.screen() == "import numpy as n⟨p⟩"  # `n` is typed: nothing is left of it
    editor.press("tab")
    assert editor.text() == "import numpy as np|"
    assert editor.wait(lambda: bridge.heard("feedback")[-1]["candidate"] == 0)


def test_previous_from_the_first_goes_to_the_last(suggesting):
    editor = suggesting("import numpy as ", "np", "numpy", "n")
    editor.press("alt+[")
    assert editor.wait(lambda: editor.screen() == "import numpy as ⟨n⟩")


def test_dismissed_it_is_not_offered_here_again_unless_asked_for(suggesting, bridge):
    editor = suggesting("for i in ran", "ge(10):")
    editor.press("escape")
    assert editor.screen() == "for i in ran"
    asked = len(bridge.heard())
    editor.type("x").press("backspace")
    assert editor.wait(lambda: len(bridge.heard()) > asked)
    assert bridge.heard()[-1]["prefix"] == "for i in ran"
    editor.rest()
    assert editor.screen() == "for i in ran"
    editor.press("alt+\\")
    assert editor.wait(lambda: editor.screen() == "for i in ran⟨ge(10):⟩")
    told = [("shown", 0), ("dismissed", 0), ("shown", 0)]
    assert editor.wait(lambda: bridge.feedback() == told)


def test_the_trigger_asks_for_more_lines_and_in_any_text(editor, bridge):
    bridge.says(("ran", "ge(10):\n    pass"))
    editor.open(scope="text.plain").settings().set("auto_indent", False)
    editor.type("for i in ran").rest()
    assert bridge.heard() == []
    assert editor.press("alt+\\") == ("autocoder_trigger", {})
    assert editor.wait(lambda: editor.screen() == "for i in ran⟨ge(10):⟩\n⟨    pass⟩")
    assert (bridge.heard()[0]["max_lines"], bridge.heard()[0]["max_tokens"]) == (8, 128)


# --- in a popup -----------------------------------------------------------------------------------


@pytest.fixture
def popping(start, bridge):
    bridge.says(("ran", "ge(10):\n    pass"), ("rang", "e(10):"))
    editor = start(bridge.command, completion_style="popup")
    editor.open()
    editor.type("for i in ran")
    assert editor.wait(editor.popup)
    return editor


def test_a_popup_shows_the_same_and_the_text_does_not_move(popping):
    assert popping.popup() == ["ge(10):", "    pass"]
    assert popping.screen() == "for i in ran"
    assert popping.view._popup[1:3] == (12, 2 | 16)
    popping.type("ge")
    assert popping.popup() == ["(10):", "    pass"]
    popping.rest(0.05)
    assert popping.press("tab") == ("autocoder_accept", {"amount": "all"})
    assert (popping.popup(), popping.text()) == (None, "for i in range(10):\n    pass|")


def test_a_popup_closed_by_something_else_is_dismissed(popping, bridge):
    popping.view.hide_popup()
    assert popping.wait(lambda: ("dismissed", 0) in bridge.feedback())
    assert popping.press("tab") == ("insert", {"characters": "\t"})


def test_somebody_elses_popup_stays_and_no_suggestion_shows(popping, bridge):
    popping.press("escape")
    popping.view.show_popup("<body>help</body>")
    popping.type("g")
    assert popping.wait(lambda: bridge.heard()[-1]["prefix"].endswith("rang"))
    popping.rest()
    assert popping.popup() == ["help"]
    assert popping.press("alt+right")[0] == "move"


def test_the_style_may_change_while_a_suggestion_shows(popping):
    popping.view.settings().set("autocoder.completion_style", "phantom")
    popping.type("g")
    assert popping.screen() == "for i in rang⟨e(10):⟩\n⟨    pass⟩"
    popping.rest(0.05)
    assert popping.popup() is None
    assert popping.press("tab")[0] == "autocoder_accept"
