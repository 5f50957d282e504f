"""Keys with and without ghost text, and what editing commands make of an accepted one."""

import time

import pytest

HARD_TABS = "let g:python_recommended_style = 0\n"
BLOCK = "):\n    if n < 2:\n        return 1\n\n    return n"


def offered(editor, bridge, text="for i in ran", rest="ge(10):", **how):
    """The editor with `text` typed and `rest` showing as its ghost."""
    bridge.says((text[-4:], rest))
    editor.open(**how).type("i" + text)
    first = rest if isinstance(rest, str) else rest[0]
    assert editor.shows((text + first.split("\n")[0]).expandtabs(4))
    return editor


# --- Tab without a suggestion does what it did before -------------------------------------------

TABS = {
    "nothing": ("", "\t"),
    "plain": ("inoremap <Tab> tab", "tab"),
    "remapped": ("inoremap <Plug>(x) plug\nimap <Tab> <Plug>(x)", "plug"),
    "expression": ("inoremap <expr> <Tab> pumvisible() ? 'popup' : 'expr'", "expr"),
    "own key within": ("imap <Tab> <Tab>x", "\tx"),
    "own key before a map": ("inoremap <Plug>(x) plug\nimap <Tab> <Tab><Plug>(x)", "\tplug"),
    "own key or a map": ("imap <expr> <Tab> get(g:, 'jumping') ? '<Plug>(jump)' : '<Tab>'", "\t"),
    "own key by name": ("imap <expr> <Tab> get(g:, 'jumping') ? 'jump' : \"\\<Tab>x\"", "\tx"),
    "script": (
        "function! s:Tab()\nreturn 'script'\nendfunction\ninoremap <Tab> <C-R>=<SID>Tab()<CR>",
        "script",
    ),
    "script expression": (
        "function! s:Two()\nreturn 'two'\nendfunction\nimap <expr> <Tab> <SID>Two()",
        "two",
    ),
    "buffer": ("autocmd FileType python inoremap <buffer> <Tab> local", "local"),
    "defined late": ("autocmd InsertEnter * ++once inoremap <Tab> late", "late"),
}


@pytest.mark.parametrize("case", TABS)
def test_tab_falls_back_to_what_it_did_before(editor, bridge, case):
    line, typed = TABS[case]
    bridge.says(("ran", "ge(10):"))
    editor.open(before=HARD_TABS + line).keys("i", "Escape").type("ia")
    editor.keys("Tab")
    assert editor.lines() == ["a" + typed]
    editor.keys("Escape").type("Sfor i in ran")
    assert editor.shows("for i in range(10):")
    editor.keys("Tab")
    assert editor.lines() == ["for i in range(10):"]
    editor.keys("Tab")
    assert editor.lines() == ["for i in range(10):" + typed]


def test_a_map_of_vim9_script_is_kept(start_editor, bridge):
    script = "vim9script\nvar of = {tab: \"\\<Tab>\"}\nimap <expr> <Tab> get(g:, 'x', of.tab)\n"
    editor = start_editor("vim")
    (editor.folder / "script.vim").write_text(script)
    editor.open(before=f"{HARD_TABS}source {editor.folder}/script.vim").type("ia").keys("Tab")
    assert editor.lines() == ["a\t"]


def test_tab_expands_and_indents_as_set(editor, bridge):
    editor.open(after="autocmd BufWinEnter * setlocal expandtab softtabstop=4").type("i")
    editor.keys("Tab").type("a").keys("Tab")
    assert editor.lines() == ["    a   "]


def test_another_plugin_that_wraps_ours_and_is_wrapped_makes_no_circle(editor, bridge):
    late = (
        "autocmd InsertEnter * ++once execute 'imap <expr> <Tab> \"x\" .. ' .. maparg('<Tab>', 'i')"
    )
    editor.open(before=HARD_TABS).run(late).type("ia").keys("Tab")
    assert editor.lines() == ["ax\t"]


LUA_TABS = {
    "expression": "function() return 'lua' end, {expr = true}",
    "key": "function() return jumping and 'x' or '<Tab>' end, {expr = true}",
    "remapped key": "function() return jumping and 'x' or '<Tab>' end, {expr = true, remap = true}",
    "remapped name": "function() return '<Plug>(x)' end, {expr = true, remap = true}",
    "action": "function() vim.api.nvim_put({'lua'}, 'c', false, true) end",
    "buffer": "function() return 'lua' end, {expr = true, buffer = 0}",
    "remapped": "'<Plug>(x)', {remap = true}",
}


@pytest.mark.parametrize("case", LUA_TABS)
def test_a_map_in_lua_is_kept(start_editor, bridge, case):
    bridge.says(("ran", "ge(10):"))
    lua = f"autocmd FileType python lua vim.keymap.set('i', '<Tab>', {LUA_TABS[case]})"
    lua += "\ninoremap <Plug>(x) lua"
    editor = start_editor("nvim").open(before=HARD_TABS + lua).type("i").keys("Tab")
    typed = editor.lines()[0]
    assert typed == ("\t" if "key" in case else "lua")
    editor.keys("Escape").type("Sfor i in ran")
    assert editor.shows("for i in range(10):")
    editor.keys("Tab")
    assert editor.lines() == ["for i in range(10):"]


# Plugins that wrap what they find each time Insert mode begins, as nvim-cmp does.
WRAPPERS = {
    "vim": """
function! Wrapper()
  return get(g:, 'walking') ? 'walk' : "\\t"
endfunction
autocmd InsertEnter * inoremap <expr> <Tab> Wrapper()
""",
    "nvim": """
lua package.path = package.path .. ";" .. vim.fn.expand("~") .. "/?.lua"
autocmd InsertEnter * lua require("wrapper")()
""",
}
LUA_WRAPPER = """
return function()
  local before = vim.fn.maparg("<Tab>", "i", false, true)
  vim.api.nvim_set_keymap("i", "<Tab>", "", { expr = true, callback = function()
    return vim.g.walking and "walk" or before.rhs and vim.api.nvim_eval(before.rhs) or "\t"
  end })
end
"""


def test_a_plugin_that_wraps_ours_at_each_insertion_does_not_pile_up(editor, bridge):
    (editor.folder / "wrapper.lua").write_text(LUA_WRAPPER)
    bridge.says(("ran", "ge(10):"))
    editor.open(before=HARD_TABS + WRAPPERS[editor.kind])

    def insert():
        editor.type("oran")
        assert editor.shows("range(10):")
        editor.keys("Tab", "Tab")
        assert editor.lines()[-1] == "range(10):\t"
        editor.run("let g:value = execute('imap')->split('autocoder-before-')->len()")
        editor.keys("Escape").type(":1,$delete\r")
        return editor.state()["value"]

    insert()
    assert insert() == insert() == insert()


def test_a_map_that_comes_after_insert_mode_began_is_wrapped_once_a_suggestion_shows(
    editor, bridge
):
    late = "inoremap <F8> <Cmd>inoremap <lt>buffer> <lt>Tab> late<CR>"
    editor.open(after=late).type("ifor i in ra").keys("F8", "Tab")
    assert editor.lines() == ["for i in ralate"]
    bridge.says(("ran", "ge(10):"))
    editor.keys("C-w").type("ran")
    assert editor.shows("for i in range(10):")
    editor.keys("Tab", "Tab")
    assert editor.lines() == ["for i in range(10):late"]


# --- the other keys -----------------------------------------------------------------------------


def test_word_by_word_then_line_by_line(editor, bridge):
    offered(editor, bridge, "def fact(n", BLOCK)
    asked = len(bridge.heard())
    expected = "def fact(n"
    for part in ("):", "\n    if", " n", " <", " 2"):
        editor.keys("M-Right")
        expected += part
        assert "\n".join(editor.lines()) == expected
    for part in (":", "\n        return 1", "\n\n    return n"):
        assert editor.state()["visible"]
        editor.keys("C-M-Right")
        expected += part
        assert "\n".join(editor.lines()) == expected
    assert not editor.state()["visible"]
    assert editor.wait(lambda: ("accepted", len(BLOCK)) in bridge.feedback())
    assert editor.wait(lambda: len(bridge.heard()) > asked)
    assert len(bridge.heard()) == asked + 1  # what was left needed no request


def test_next_and_previous_go_around(editor, bridge):
    offered(editor, bridge, rest=["ge(1):", "ge(2):", "ge(3):"])
    for key, shown in [("M-Down", 2), ("M-Down", 3), ("M-Down", 1), ("M-Up", 3), ("M-Up", 2)]:
        editor.keys(key)
        assert editor.shows(f"for i in range({shown}):")
    assert [message["candidates"] for message in bridge.heard() if "candidates" in message] == [4]
    editor.keys("Tab")
    assert editor.lines() == ["for i in range(2):"]
    assert editor.wait(lambda: bridge.heard("feedback")[-1]["candidate"] == 1)


def test_dismissed_it_stays_away_until_the_text_changes(editor, bridge):
    offered(editor, bridge).keys("C-]")
    assert editor.hides("range")
    editor.keys("Escape").type("a")
    asked = len(bridge.heard())
    assert not editor.state()["visible"]
    editor.keys("BSpace").type("n")
    assert editor.shows("for i in range(10):")
    assert len(bridge.heard()) > asked
    assert editor.wait(lambda: bridge.feedback()[:2] == [("shown", 0), ("dismissed", 0)])


def test_dismiss_without_a_suggestion_still_expands_an_abbreviation(editor, bridge):
    editor.open(after="iabbrev teh the").type("iteh").keys("C-]")
    assert editor.lines() == ["the"]


def test_trigger_asks_where_nothing_comes_of_itself_and_for_more_lines(editor, bridge):
    bridge.says(("fact(n", BLOCK))
    editor.open(before="let g:autocoder_auto = 0").type("idef fact(n")
    assert editor.state()["visible"] == 0
    assert not bridge.heard()
    editor.keys("C-x", "C-a")
    assert editor.shows("def fact(n):", "    if n < 2:")
    assert bridge.heard()[0]["max_lines"] == 8
    editor.keys("Tab", "Escape")
    assert editor.lines() == f"def fact(n{BLOCK}".split("\n")


def test_what_is_asked_for_by_key_is_not_superseded_by_what_would_come_of_itself(editor, bridge):
    bridge.says(("fact(n", BLOCK))
    editor.open(before="let g:autocoder_delay = 100").type("idef fact(n\x18\x01")
    assert editor.shows("def fact(n):", "    if n < 2:")
    time.sleep(0.15)
    assert [message["max_lines"] for message in bridge.heard()] == [8]


def test_plug_maps_on_keys_of_ones_own(editor, bridge):
    maps = "\n".join(
        f"imap {key} <Plug>(autocoder-{name})"
        for key, name in [
            ("<C-J>", "accept"),
            ("<C-F>", "word"),
            ("<C-L>", "line"),
            ("<C-N>", "next"),
            ("<C-P>", "previous"),
            ("<C-Q>", "dismiss"),
            ("<C-B>", "trigger"),
        ]
    )
    offered(editor, bridge, rest=["ge(1):", "ge(2): x"], before=HARD_TABS + maps)
    editor.keys("Tab")
    assert editor.lines() == ["for i in ran\t"]
    editor.keys("BSpace")
    assert editor.shows("range(1):")
    editor.keys("C-n")
    assert editor.shows("range(2): x")
    editor.keys("C-p")
    assert editor.shows("range(1):")
    editor.keys("C-f")
    assert editor.lines() == ["for i in range"]
    editor.keys("C-l")
    assert editor.lines() == ["for i in range(1):"]
    editor.keys("C-u").type("for i in ran")
    assert editor.shows("range(1):")
    editor.keys("C-q")
    assert editor.hides("range")
    editor.keys("C-b")
    assert editor.shows("range(1):")
    editor.keys("C-j")
    assert editor.lines() == ["for i in range(1):"]
    editor.keys("C-j", "C-f", "C-l", "C-n")
    assert editor.lines() == ["for i in range(1):"]


def test_letters_that_vim_takes_for_alt_keys_are_typed(editor, bridge):
    offered(editor, bridge, rest="ÜÝÛge(10):", before="").type("ÜÝÛ")
    assert editor.lines() == ["for i in ranÜÝÛ"]


def test_no_maps_when_none_are_wanted(editor, bridge):
    offered(editor, bridge, before=HARD_TABS + "let g:autocoder_maps = 0").keys("Tab")
    assert editor.lines() == ["for i in ran\t"]


# --- undo, repeat, macros, options --------------------------------------------------------------


@pytest.mark.parametrize("rest", ["ge(10):", BLOCK])
def test_one_undo_takes_back_one_accepted_suggestion(editor, bridge, rest):
    offered(editor, bridge, rest=rest).keys("Tab").type(" # ok").keys("Escape")
    accepted = f"for i in ran{rest}".split("\n")
    assert editor.lines() == [*accepted[:-1], accepted[-1] + " # ok"]
    assert editor.type("u").lines() == accepted
    assert editor.type("u").lines() == ["for i in ran"]
    assert editor.type("u").lines() == [""]
    assert editor.keys("C-r", "C-r").lines() == accepted


@pytest.mark.parametrize("rest", ["ge(10):", BLOCK, "\tx\n\n\t\ty\n0"])
def test_dot_repeats_what_was_typed_and_accepted(editor, bridge, rest):
    options = "autocmd FileType python setlocal autoindent indentexpr= noexpandtab sw=8 tabstop=4"
    offered(editor, bridge, "    for i in ran", rest, after=options)
    editor.keys("Tab").type(" # ok").keys("Escape")
    once = editor.lines()
    editor.type("Go").keys("C-u", "Escape").type(".")
    bridge.says(("\0", "never"))
    assert "\n".join(once) in "\n".join(editor.lines())
    editor.type("S").keys("Escape").run("%delete").type("ione").keys("Escape").type("o").keys(
        "Escape"
    )
    editor.type(".")
    assert editor.lines() == ["one", "", ""]


def test_dot_repeats_an_accepted_change_word_for_word(editor, bridge):
    bridge.says(("val", "ue_of(x)"))
    editor.open("a = 1\nb = 1\nc = 1\n").type("f1cwval")
    assert editor.shows("a = value_of(x)")
    editor.keys("Tab", "Escape").type("j0f1.j0f1.")
    assert editor.lines() == ["a = value_of(x)", "b = value_of(x)", "c = value_of(x)"]


def test_macros_record_and_replay_typed_text_undisturbed(editor, bridge):
    bridge.says(("val", "ue"))
    editor.open("a\nb\nc\n").type("qqA = val")
    time.sleep(0.2)  # long enough for a suggestion, if one were asked for
    editor.keys("C-x", "C-a", "Tab").type("1").keys("Escape").type("jq2@q")
    assert [line.split() for line in editor.lines()] == [[n, "=", "val", "1"] for n in "abc"]
    assert not bridge.heard()


def test_options_that_change_typed_text_do_not_touch_an_accepted_one(editor, bridge):
    text = "aaaa bbbb cccc {\n\t# one two three four five\n    }\n  else:\nteh\n0"
    options = """
      autocmd FileType * setlocal autoindent cindent textwidth=20 formatoptions=tcroqln expandtab
      iabbrev teh the
      autocmd InsertCharPre * if v:char ==# 'b' | let v:char = 'XX' | endif
      autocmd FileType * setlocal shiftwidth=3 softtabstop=3
      set showmatch smarttab"""
    offered(editor, bridge, "x = ", text, after=options).keys("Tab")
    assert editor.lines() == f"x = {text}".split("\n")
    assert editor.state()["cursor"] == [6, 2]
    editor.run(
        "let g:value = [&paste, &autoindent, &cindent, &textwidth, &expandtab, &softtabstop]"
    )
    assert editor.state()["value"] == [0, 1, 1, 20, 1, 3]


def test_the_popup_menu_has_the_keys_and_the_screen_to_itself(editor, bridge):
    bridge.says(("foob", "xyz"), ("foo", "ghost"), ("foobaz", "ghost"))
    editor.open("foobar\nfoobaz\n\n").type("Gofoo")
    assert editor.shows("fooghost")
    editor.keys("C-n")
    assert editor.shows("-- Keyword")
    assert editor.hides("ghost")
    editor.keys("C-n")
    assert editor.state()["lines"][-1] == "foobaz"
    assert not editor.state()["visible"]
    editor.keys("C-y")
    assert editor.shows("foobazghost")
    editor.keys("Tab")
    assert editor.lines()[-1] == "foobazghost"


def test_what_the_editor_completes_without_a_menu_is_gone_on_with(editor, bridge):
    bridge.says(("range_one", "(10):"))
    editor.open("range_one\n", after="set completeopt=menu").type("ora").keys("C-n")
    assert editor.shows("range_one\nrange_one(10):")
    editor.keys("Tab")
    assert editor.lines() == ["range_one", "range_one(10):"]


def test_a_popup_that_tab_walks_through_stays_walkable(editor, bridge):
    bridge.says(("foo", "ghost"))
    walk = "inoremap <expr> <Tab> pumvisible() ? '<C-N>' : '<Tab>'"
    editor.open("foobar\nfoobaz\n\n", before=walk).type("Gofoo")
    assert editor.shows("fooghost")
    editor.keys("C-n")
    assert editor.shows("-- Keyword")
    editor.keys("Tab")
    assert editor.lines()[-1] == "foobaz"


def test_a_menu_that_is_a_window_of_its_own_says_so_by_a_setting(editor, bridge):
    bridge.says(("foo", "ghost"), ("o", "ther"))
    menu = "let g:open = 0 | let g:autocoder_hidden = 'g:open'\ninoremap <Tab> tab"
    editor.open(before=menu, after="inoremap <F8> <Cmd>let g:open = !g:open<CR>").type("ifoo")
    assert editor.shows("fooghost")
    editor.keys("F8", "Tab")
    assert editor.lines() == ["footab"]
    editor.keys("F8").type(" foo")
    assert editor.shows("footab fooghost")
    editor.keys("Tab").run("let g:autocoder_hidden = 'no#such()'").type("S=foo")
    assert editor.shows("=fooghost")
    assert editor.keys("Tab").lines() == ["=fooghost"]


def test_a_snippet_jumps_by_tab_when_nothing_shows(editor, bridge):
    jump = "inoremap <expr> <Tab> search('<+', 'nW') ? '<Esc>/<+<CR>ca<' : '<Tab>'"
    bridge.says(("ran", "ge(3):"))
    editor.open("for ran in <+x+>:\n", before=jump + "\nsnoremap <Tab> <Esc>").type("i")
    editor.keys("Tab").type("ran")
    assert editor.shows("for ran in range(3)::")
    editor.keys("Tab")
    assert editor.lines() == ["for ran in range(3)::"]


def test_replace_mode_and_visual_block_are_left_alone(editor, bridge):
    bridge.says(("x", "ghost"))
    editor.open("aaa\nbbb\n").type("Rx")
    assert editor.state()["lines"][0] == "xaa"
    assert not bridge.heard()
    editor.keys("Escape", "C-v").type("jIx")
    assert editor.shows("xghostxaa")
    editor.keys("C-]").keys("Escape")
    assert editor.lines() == ["xxaa", "xbbb"]
    editor.keys("C-v").type("jAx")
    assert editor.shows("xxghostxaa")
    editor.keys("Tab", "Escape")
    assert editor.lines() == ["xxghostxaa", "xxghostbbb"]


def test_an_abbreviation_before_the_ghost_is_the_users_affair(editor, bridge):
    bridge.says(("teh", "_end"))
    editor.open(after="iabbrev teh the").type("iteh")
    assert editor.shows("teh_end")
    editor.keys("Tab").type(" teh ")
    assert editor.lines() == ["teh_end the "]
