"""Ghost text on the screen of real Vim and Neovim, read with tmux."""


def test_a_suggestion_shows_and_tab_accepts_it(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.open().type("ifor i in ran")
    assert editor.shows("for i in range(10):")
    assert editor.lines() == ["for i in ran"]
    editor.keys("Tab")
    assert editor.lines() == ["for i in range(10):"]
