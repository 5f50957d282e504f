"""Ghost text on the screen of real Vim and Neovim, read with tmux."""

import re

import pytest

BLOCK = "):\n    if n < 2:\n        return 1\n\n    return n"


def below(editor, text):
    """The screen rows from the one that holds `text` on, without the message line."""
    rows = editor.screen().split("\n")
    at = next(i for i, row in enumerate(rows) if text in row)
    return [row.rstrip() for row in rows[at:15]]


def test_a_suggestion_shows_and_tab_accepts_it(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.open().type("ifor i in ran")
    assert editor.shows("for i in range(10):")
    assert editor.lines() == ["for i in ran"]
    editor.keys("Tab")
    assert editor.lines() == ["for i in range(10):"]


def test_it_is_grey_and_the_cursor_stays_before_it(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.open(after="syntax off").type("ifor i in ran")
    assert editor.shows("for i in range(10):")
    assert re.search(r"for i in ran\x1b\[38;5;244mge\(10\):", editor.coloured())
    assert editor.cursor() == (12, 0)


def test_several_lines_push_the_text_below_down(editor, bridge):
    bridge.says(("fact(n", BLOCK))
    editor.open("\nprint(1)\nprint(2)\n").type("Idef fact(n")
    assert editor.shows(
        "def fact(n):",
        "    if n < 2:",
        "        return 1",
        "",
        "    return n",
        "print(1)",
        "print(2)",
    )
    editor.keys("Tab")
    assert editor.lines()[:6] == [*f"def fact(n{BLOCK}".split("\n"), "print(1)"]
    assert editor.state()["cursor"] == [5, 13]


def test_in_the_middle_of_a_line_the_rest_stands_behind_it(editor, bridge):
    bridge.says(("max(", "first, "))
    editor.open("print(second)  # larger\n").type("f(amax(")
    assert editor.shows("print(max(first, second)  # larger")
    editor.keys("Tab")
    assert editor.lines() == ["print(max(first, second)  # larger"]


def test_several_lines_in_the_middle_of_a_line(editor, bridge):
    bridge.says(("max(", "first,\n    second,\n    "))
    editor.open("print(third)  # largest\nx = 1\n").type("f(amax(")
    assert editor.shows("print(max(first,\n    second,\n    third)  # largest\nx = 1")
    assert editor.cursor() == (10, 0)
    editor.type("fir")
    assert editor.wait(lambda: editor.cursor() == (13, 0))
    assert editor.shows("print(max(first,\n    second,\n    third)  # largest\nx = 1")
    editor.keys("Tab")
    assert editor.shows("print(max(first,\n    second,\n    third)  # largest\nx = 1")
    assert editor.state()["cursor"] == [3, 5]


@pytest.mark.parametrize("key", ["C-]", "Escape", "!", "Enter"])
def test_the_rest_of_the_line_comes_back_when_they_go(editor, bridge, key):
    bridge.says(("max(", "first,\n    second,\n    "))
    editor.open("print(third)\nx = 1\n", after="set cursorline list").type("f(amax(")

    def shown(text):  # where the `$` of 'list' stands is the editor's affair
        return editor.wait(lambda: text in editor.screen().replace("$", ""))

    assert shown("print(max(first,\n    second,\n    third)\nx = 1")
    editor.keys(key)
    assert editor.hides("second")
    assert shown("print(max(" + {"!": "!", "Enter": "\n    "}.get(key, "") + "third)\nx = 1")


def test_where_the_line_is_too_long_its_rest_stays_behind_the_first(start_editor, bridge):
    bridge.says(("max(", "first,\n    second,\n    "))
    editor = start_editor("vim").open(f"print({'x' * 45})\ny\n").type("f(amax(")
    assert editor.shows(f"print(max(first,{'x' * 44}\nx)\n    second,\n")


LOOKS = {
    "plain": "",
    "number": "set number",
    "cursorline": "set cursorline",
    "showbreak": "set showbreak=>>>\\ linebreak breakindent",
    "list": "set list listchars=tab:\\ \\ ,trail:~,space:.",
    "nowrap": "set nowrap sidescroll=1",
    "signs": "set signcolumn=yes foldcolumn=2 numberwidth=6 relativenumber number",
    "conceal": "set conceallevel=2 colorcolumn=20",
}


@pytest.mark.parametrize("look", LOOKS)
def test_ghost_text_stands_where_the_accepted_text_will(editor, bridge, look):
    bridge.says(("name", "\t= 'größe 漢字'\tif x\telse 0\n\tb\n\n\t\tzwei 漢字\tc"))
    editor.open("\t\n# 漢 below\n", after=f"{LOOKS[look]} | set cinoptions= noexpandtab tabstop=4")
    editor.type("Aname")
    assert editor.shows("else")
    assert editor.state()["visible"]
    ghost = below(editor, "name")
    editor.keys("Tab").keys("Escape")
    assert not editor.state()["visible"]
    assert [same(row) for row in ghost] == [same(row) for row in below(editor, "name")]


@pytest.mark.parametrize("look", LOOKS)
def test_so_does_the_rest_of_the_line(editor, bridge, look):
    bridge.says(("name(", "\t'漢字',\n\t\tzwei 漢字,\n\t"))
    editor.open("\tx)\t# 漢字\n# below\n", after=f"{LOOKS[look]} | set noexpandtab tabstop=4")
    editor.type("Iname(")
    assert editor.shows("zwei")
    assert editor.state()["visible"]
    ghost = below(editor, "name")
    editor.keys("Tab").keys("Escape")
    assert [same(row) for row in ghost] == [same(row) for row in below(editor, "name")]


def same(row):
    """A row without line numbers (ghosts have none) and what `list` draws for real spaces."""
    row = re.sub(r"^ *\d+", lambda number: " " * len(number[0]), row)
    return row.replace(".", " ").replace("~", " ").rstrip()


def test_nothing_scrolls_at_the_bottom_of_the_window(editor, bridge):
    bridge.says(("fact(n", BLOCK))
    editor.open("".join(f"x{i}\n" for i in range(40))).keys("9", "z", "Enter").type("13jo")
    before = editor.state()["top"]
    editor.type("def fact(n")
    assert editor.shows("def fact(n): … +4")
    assert editor.state()["top"] == before
    editor.keys("Escape")
    assert editor.hides("…")
    assert editor.state()["top"] == before


@pytest.mark.parametrize("margin", [3, 999])
def test_nothing_scrolls_where_scrolloff_wants_lines_below(editor, bridge, margin):
    bridge.says(("fact(n", BLOCK))
    text = "".join(f"x{i}\n" for i in range(60))
    editor.open(text, after=f"set scrolloff={margin} nowrap").type("30GzbS")
    before = editor.state()["top"]
    editor.type("def fact(n")
    assert editor.shows("def fact(n):", "    if n < 2:", "        return 1")
    assert editor.state()["top"] == before
    editor.keys("C-]")
    assert editor.shows("x28\ndef fact(n\nx30\nx31\nx32\n")
    assert editor.state()["top"] == before
    editor.keys("Escape").run("let g:value = [&scrolloff, &l:scrolloff, &g:scrolloff]")
    assert editor.state()["value"] == [margin, -1, margin]


def test_a_smaller_window_shows_less_of_it_and_a_larger_one_more(editor, bridge):
    bridge.says(("fact(n", BLOCK))
    editor.open("y\n" * 20).type("8GSdef fact(n")
    assert editor.shows("def fact(n):", "    if n < 2:", "        return 1", "", "    return n")
    editor.resize(50, 8)
    assert editor.shows("y\ndef fact(n):", "    if n < 2:", "        return 1")
    editor.resize(60, 16)
    assert editor.shows("y\ndef fact(n):", "    if n < 2:", "        return 1", "", "    return n")


def test_as_many_lines_show_as_there_is_room_for(editor, bridge):
    bridge.says(("fact(n", BLOCK))
    editor.open("".join(f"x{i}\n" for i in range(40))).keys("1", "0", "j", "o")
    before = editor.state()["top"]
    editor.type("def fact(n")
    assert editor.shows("def fact(n):", "    if n < 2:", "        return 1", " … +1")
    assert editor.state()["top"] == before
    editor.keys("Tab")
    assert editor.lines()[11:16] == f"def fact(n{BLOCK}".split("\n")


def test_typing_through_shrinks_it_and_damages_nothing(editor, bridge):
    bridge.says(("fact(n", BLOCK))
    editor.open("\nprint(1)\nprint(2)\n").type("Idef fact(n")
    screen = ["def fact(n):", "    if n < 2:", "        return 1", "", "    return n", "print(1)"]
    assert editor.shows(*screen)
    asked = len(bridge.heard())
    for key in "):":
        editor.type(key)
        assert editor.state()["visible"]
        assert editor.shows(*screen, "print(2)")
    assert editor.cursor() == (12, 0)
    editor.keys("Enter")  # Python's indent agrees with the suggestion's
    assert editor.state()["visible"]
    assert editor.shows(*screen, "print(2)")
    editor.type("if").type("\b")
    assert editor.shows(*screen, "print(2)")
    assert len(bridge.heard()) == asked
    editor.type("x")
    assert editor.shows("def fact(n):", "    ix", "print(1)")


def test_typing_through_draws_the_typed_letter_alone(editor, bridge):
    """Nothing flickers: the rest of the ghost is not taken off the screen and put back."""
    bridge.says(("fact(n", BLOCK))
    quiet = "let g:loaded_matchparen = 1\nset noruler noshowcmd noshowmode"
    editor.open("print(1)\n", before=quiet, after="syntax off").type("Odef fact(n")
    assert editor.shows("def fact(n):", "    if n < 2:", "        return 1", "", "    return n")
    assert editor.state()["visible"]
    raw = editor.folder / "raw"
    editor.pipe(f"echo piped > {raw}; cat >> {raw}")
    assert editor.wait(raw.exists)
    for key in "):":
        editor.type(key).wait(lambda key=key: key in raw.read_text())
    assert editor.state()["visible"]
    drawn = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]|\x1b[()].|[\x0e\x0f]", "", raw.read_text())
    assert drawn == "piped\n):"


@pytest.mark.parametrize("letter", ["e", "é", "漢", "\u200b"])
def test_typing_through_a_row_that_is_full_damages_nothing(editor, bridge, letter):
    """One line of ghost text that ends at the window's edge, before it, or in the next row."""
    bridge.says(*[(f"n{size}", (letter + "v" * 40)[: size - 3]) for size in (34, 40, 43)])
    editor.open("\nb0\nb1\nb2\n", size=(40, 9))
    shown = letter.replace("\u200b", "<200b>")
    for size in (34, 40, 43):
        editor.keys("Escape").type(f"ggSn{size}")
        assert editor.shows(f"n{size}{shown}vv")
        assert editor.wait(lambda: editor.cursor() == (3, 0))
        editor.type(letter)
        assert editor.wait(lambda: editor.cursor() > (3, 0))
        assert editor.shows("\nb0\nb1\nb2\n~")


def test_backspace_gives_back_what_was_typed_through(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.open().type("ifor i in rang")
    assert editor.wait(lambda: bridge.heard("answered"))
    assert not editor.state()["visible"]
    editor.keys("BSpace")
    assert editor.shows("for i in range(10):")
    asked = len(bridge.heard())
    editor.type("ge(").keys("BSpace", "BSpace", "BSpace")
    assert editor.shows("for i in range(10):")
    assert editor.state()["cursor"] == [1, 13]
    assert len(bridge.heard()) == asked


def test_undo_brings_no_ghost_back(editor, bridge):
    bridge.says(("f(", BLOCK), ("", "ghost"))
    editor.open("def f(\nprint(1)\n").keys("A")
    assert editor.shows("def f():", "    if n < 2:")
    editor.type("x, y").keys("Escape").type("u")
    assert editor.lines() == ["def f(", "print(1)"]
    assert editor.shows("def f(\nprint(1)\n~")
    editor.keys("C-r")
    assert editor.shows("def f(x, y\nprint(1)\n~")


def test_undo_from_insert_mode_brings_no_ghost_back(editor, bridge):
    bridge.says(("f(", BLOCK))
    editor.open("def f(\nprint(1)\n").keys("A")
    assert editor.shows("def f():", "    if n < 2:")
    bridge.says(("nothing", "more"))
    editor.type("x").keys("C-o").type("u")
    assert editor.shows("def f(\nprint(1)\n~")


def test_a_combining_mark_belongs_to_the_letter_that_was_typed(editor, bridge):
    bridge.says(("caf", "e\u0301s = 1"))
    editor.open("\nbelow\n").type("icaf")
    assert editor.shows("cafe\u0301s = 1")
    editor.type("e")
    assert editor.shows("cafes = 1\nbelow")
    editor.type("\u0301")
    assert editor.shows("cafe\u0301s = 1\nbelow")
    editor.keys("Tab")
    assert editor.lines() == ["cafe\u0301s = 1", "below"]


def test_lines_that_something_else_adds_above_push_it_down(editor, bridge):
    bridge.says(("fact(n", BLOCK))
    add = "inoremap <F8> <Cmd>call append(0, ['import a', 'import b'])<CR>"
    editor.open("x\n", after=add).type("odef fact(n")
    assert editor.shows("def fact(n):", "    if n < 2:")
    editor.keys("F8")
    assert editor.shows("import b", "x", "def fact(n):", "    if n < 2:")
    editor.keys("Tab", "Escape")
    assert editor.lines() == ["import a", "import b", "x", *f"def fact(n{BLOCK}".split("\n")]
    assert editor.wait(lambda: bridge.feedback() == [("shown", 0), ("accepted", len(BLOCK))])


def test_leaving_insert_mode_takes_it_away(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.open().type("ifor i in ran")
    for key in ("Escape", "C-c", "C-o"):
        assert editor.shows("for i in range(10):")
        editor.keys(key)
        assert editor.hides("range")
        editor.keys("Escape").type("0").type("Sfor i in ran")


def test_two_windows_on_one_buffer(editor, bridge):
    bridge.says(("fact(n", BLOCK))
    text = "".join(f"x{i}\n" for i in range(40))
    editor.open(text, size=(60, 30)).run("split").type("gg").run("wincmd w").type("20GztO")
    editor.type("def fact(n")
    assert editor.shows("def fact(n):", "    if n < 2:")
    assert editor.shows("x0\nx1\nx2\n")
    editor.keys("Tab", "Escape")
    assert editor.lines()[19:24] == f"def fact(n{BLOCK}".split("\n")
    editor.type("u").run("wincmd w").type("20GztO").type("def fact(n")
    assert editor.shows("def fact(n):", "    if n < 2:")
    editor.run("wincmd w")
    assert editor.hides("if n < 2")


def test_folds_stay_as_they_are(editor, bridge):
    bridge.says(("ran", "ge(3):\n        pass"))
    text = "def a():\n    x = 1\n    y = 2\n\ndef b():\n    z = 1\n    w = 2\n"
    editor.open(text, after="set foldmethod=indent foldlevel=0").type("4GOfor i in ran")
    assert editor.shows("for i in range(3):", "        pass")
    assert len(re.findall(r"\+--", editor.screen())) == 2
    editor.keys("Tab", "Escape")
    assert "for i in range(3):" in editor.lines()


def test_above_a_closed_fold(editor, bridge):
    bridge.says(("ran", "ge(3):\n        pass"))
    text = "def a():\n    x = 1\n    y = 2\n"
    editor.open(text, after="set foldmethod=indent foldlevel=0").type("ggA  # ran")
    assert editor.shows("# range(3):")
    assert editor.shows("+--  2 lines: x = 1")


@pytest.mark.parametrize("sidescroll", [0, 1])
def test_without_wrap_it_ends_at_the_windows_edge(editor, bridge, sidescroll):
    bridge.says(("val", "ue_of_what_does_not_fit"))
    look = f"set nowrap sidescroll={sidescroll}"
    editor.open("y" * 45 + "\n", after=look).type("Aval")
    edge = "…" if editor.kind == "vim" else "_…"
    assert editor.shows("y" * 45 + "value_of_what" + edge)
    assert editor.cursor() == (48, 0)
    editor.keys("Tab").type("\x15val")
    assert editor.shows("value_of_what_does_not_fit")


def test_a_long_suggestion_wraps_like_text(editor, bridge):
    bridge.says(("x = ", "first_value + second_value + third_value + fourth_value + fifth_value"))
    editor.open("\nbelow\n").type("Ix = ")
    assert editor.shows("x = first_value + second_value")
    assert editor.shows("below")
    editor.keys("Tab")
    assert editor.lines()[0].endswith("fifth_value")
