"""What the plugin asks of the bridge, what it tells it, and what it makes of the answers."""

import json
import os

BLOCK = "):\n    if n < 2:\n        return 1"


def test_a_request_holds_the_text_around_the_cursor(editor, bridge):
    editor.open("one\ntwo\nthree\n").type("jatty")
    assert editor.wait(lambda: bridge.heard() and bridge.heard()[-1]["prefix"] == "one\nttty")
    request = bridge.heard()[-1]
    assert request["suffix"] == "wo\nthree"
    assert request["path"] == request["document"] == str(editor.file)
    assert (request["language"], request["max_lines"], request["v"]) == ("python", 1, 1)
    assert bridge.heard("hello")[0]["client"] == {"vim": "vim", "nvim": "neovim"}[editor.kind]


def test_a_buffer_without_a_name_has_one_for_the_daemon(editor, bridge):
    editor.open().run("enew").run("setfiletype java").type("ix")
    assert editor.wait(bridge.heard)
    assert bridge.heard()[-1]["document"].startswith("untitled-")
    assert (bridge.heard()[-1]["path"], bridge.heard()[-1]["language"]) == (None, "java")


def test_a_request_stays_below_60_kb_and_begins_at_a_line(editor, bridge):
    lines = [f'{i:05} "größe\t漢字\\" and more of it' for i in range(20_000)]
    editor.open("\n".join(lines) + "\n").type("9000GA!")
    assert editor.wait(bridge.heard)
    request = bridge.heard()[-1]
    assert 10_000 < request["bytes"] <= 60_000
    first = request["prefix"].split("\n")[0]
    assert first in lines
    assert request["prefix"].endswith(lines[8999] + "!")
    assert "\n".join(lines[8000:]).startswith(request["suffix"][1:10]) or request["suffix"]
    assert (
        "\n".join(lines)
        .replace(lines[8999], lines[8999] + "!")
        .find(request["prefix"] + request["suffix"])
        >= 0
    )


def test_text_that_is_all_escapes_stays_below_60_kb(editor, bridge):
    editor.open("\n".join(['\x01"\x02\\' * 20] * 3000)).type("1500GA!")
    assert editor.wait(bridge.heard)
    assert 5_000 < bridge.heard()[-1]["bytes"] <= 60_000


def test_bytes_that_are_no_utf_8_do_no_harm(editor, bridge):
    bridge.says(("ran", "ge(3):"))
    editor.open("", after="set fileencodings=utf-8 encoding=utf-8")
    editor.file.write_bytes(b"caf\xe9 \xff\xfe\n\n")
    editor.run("edit! ++bad=keep").type("Gofor i in ran")
    assert editor.shows("for i in range(3):")
    beside = 'expand("%:p:h") . "/caf\\xe9.py"'
    asked = len(bridge.heard())
    editor.run(f'silent execute "saveas! " . {beside}').type("Sfor i in ran")
    assert editor.wait(lambda: len(bridge.heard()) > asked)
    assert bridge.heard()[-1]["path"].endswith(".py")
    assert b"caf\xe9.py" in os.listdir(os.fsencode(editor.folder))


def test_typing_through_asks_for_nothing_new(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.open().type("ifor i in ran")
    assert editor.shows("for i in range(10):")
    asked = len(bridge.heard())
    for key in "ge(10)":
        assert editor.type(key).state()["visible"]
    assert len(bridge.heard()) == asked
    editor.type(":")
    assert not editor.state()["visible"]
    assert editor.wait(lambda: ("partly", 0) in bridge.feedback())
    assert editor.wait(lambda: len(bridge.heard()) == asked + 1)


def test_typing_another_way_asks_anew(editor, bridge):
    bridge.says(("ran", "ge(10):"), ("rando", "m()"))
    editor.open().type("ifor i in ran")
    assert editor.shows("for i in range(10):")
    editor.type("do")
    assert editor.shows("for i in random()")
    assert editor.wait(lambda: bridge.feedback() == [("shown", 0), ("dismissed", 0), ("shown", 0)])


def test_a_late_answer_shows_what_is_left_of_it_or_nothing(editor, bridge):
    bridge.says(("ran", "ge(10):"), ("rang", "e(10):"), ("ranx", []), delay_ms=300)
    editor.open().type("ifor i in ran")
    assert editor.wait(bridge.heard)
    editor.type("g")
    assert editor.shows("for i in range(10):")
    editor.keys("Escape").type("Sfor i in ran")
    assert editor.wait(lambda: len(bridge.heard()) >= 3)
    editor.type("x")
    assert editor.wait(lambda: len(bridge.heard("answered")) == len(bridge.heard()) >= 4)
    assert not editor.state()["visible"]
    assert "range" not in editor.screen()


def test_an_answer_after_insert_mode_is_dropped_and_the_request_cancelled(editor, bridge):
    bridge.says(("ran", "ge(10):"), delay_ms=600)
    editor.open().type("ifor i in ran")
    assert editor.wait(bridge.heard)
    editor.keys("Escape")
    assert editor.wait(lambda: bridge.heard("cancel"))
    assert bridge.heard("cancel")[0]["target"] == bridge.heard()[-1]["id"]
    assert not editor.state()["visible"]
    assert "range" not in editor.screen()


def test_what_became_of_a_suggestion_is_told_once(editor, bridge):
    bridge.says(("ran", "ge(10):"), ("fact(n", BLOCK))
    editor.open().type("ifor i in ran")
    assert editor.shows("range(10):")
    editor.keys("Tab").keys("Escape").type("Sdef fact(n")
    assert editor.shows("def fact(n):")
    editor.keys("M-Right")
    assert editor.lines()[0] == "def fact(n):"
    editor.keys("Escape")
    told = [("shown", 0), ("accepted", 7), ("shown", 0), ("partly", 2)]
    assert editor.wait(lambda: bridge.feedback() == told)
    ids = {message["id"] for message in bridge.heard()}
    assert {message["target"] for message in bridge.heard("feedback")} <= ids


def test_fast_typing_asks_for_the_last_place_only(editor, bridge):
    editor.open().type("i" + "x = 1; " * 30)
    assert editor.wait(lambda: bridge.heard() and bridge.heard()[-1]["prefix"] == "x = 1; " * 30)
    assert len(bridge.heard()) < 100


def test_names_hidden_buffers_line_endings_and_sessions(editor, bridge):
    bridge.says(("val", "ue"), ("two", "_lines\n  ok"))
    editor.open("", after="set hidden", name="größe, mit 漢 raum.py").type("ival")
    assert editor.shows("value")
    assert bridge.heard()[-1]["path"] == bridge.heard()[-1]["document"] == str(editor.file)
    editor.keys("Tab", "Escape").run("edit other.java").type("ival")
    assert editor.wait(lambda: bridge.heard()[-1]["document"].endswith("/other.java"))
    editor.run("buffer 1").type("Stwo")
    assert editor.shows("two_lines", "  ok")
    editor.keys("Tab").run("set fileformat=dos | write").state()
    assert editor.file.read_bytes() == b"two_lines\r\n  ok\r\n"
    session = editor.folder / "session.vim"
    editor.run(f"mksession {session} | %bwipeout! | source {session}").type("Sval")
    assert editor.shows("value")
    assert editor.keys("Tab").lines() == ["two_lines", "  value"]


# --- where nothing is asked ---------------------------------------------------------------------


def silent(editor, bridge):
    """Typing here asks for nothing, and typing in the Python file afterwards does."""
    editor.type("Goxyz")
    assert editor.state()["mode"] in ("i", "n", "t", "nt")
    before = [m["prefix"] for m in bridge.heard()]
    editor.run("silent! stopinsert").run(f"edit! {editor.file}").type("Goabc")
    assert editor.wait(lambda: bridge.heard() and bridge.heard()[-1]["prefix"].endswith("abc"))
    return not before


def test_netrw_help_and_other_filetypes_are_left_alone(editor, bridge):
    editor.open("x\n")
    for command in (
        "edit .",
        "help",
        "enew | setfiletype markdown",
        "enew | setfiletype gitcommit",
    ):
        editor.run(command).type("Goxyz").keys("C-\\", "C-n")
        assert editor.state()
    editor.run("only!")
    assert bridge.heard() == []
    assert silent(editor, bridge)


def test_terminal_windows_are_left_alone(editor, bridge):
    editor.open("x\n").run("terminal" if editor.kind == "vim" else "split | terminal").type("i")
    editor.type("echo one").keys("Tab").type("two").keys("Enter")
    assert editor.shows("one")
    assert bridge.heard() == []


def test_b_and_g_settings_switch_it_off_and_on(editor, bridge):
    filetypes = "let g:autocoder_filetypes = {'python': 0, 'lua': 1}"
    editor.open("x\n", before=filetypes)
    assert silent_here(editor, bridge)
    editor.run("let b:autocoder_enabled = 1").type("Goabc")
    assert editor.wait(bridge.heard)
    editor.run("let b:autocoder_enabled = 0")
    asked = len(bridge.heard())
    editor.type("Goabc").state()
    assert not wait_asked(editor, bridge, asked)
    editor.run("enew!").run("setfiletype lua").type("iabc")
    assert editor.wait(lambda: len(bridge.heard()) > asked)


def test_filetypes_may_be_a_list(editor, bridge):
    editor.open("x\n", before="let g:autocoder_filetypes = ['lua']").type("Goabc")
    assert editor.wait(bridge.heard)
    asked = len(bridge.heard())
    editor.run("enew!").run("setfiletype lua").type("iabc")
    assert editor.wait(lambda: len(bridge.heard()) > asked)
    asked = len(bridge.heard())
    editor.run("enew!").run("setfiletype ruby").type("iabc").state()
    assert not wait_asked(editor, bridge, asked)


def test_numbers_may_be_strings_and_nonsense_is_the_default(editor, bridge):
    settings = "max_lines = '3' | let g:autocoder_delay = -5 | let g:autocoder_max_tokens = 'many'"
    editor.open(before=f"let g:autocoder_{settings}").type("iabc")
    assert editor.wait(bridge.heard)
    assert [bridge.heard()[-1][name] for name in ("max_lines", "max_tokens")] == [3, 48]


def silent_here(editor, bridge):
    editor.type("Goxyz").state()
    return not wait_asked(editor, bridge, 0)


def wait_asked(editor, bridge, before):
    """Is another request made soon? Ten times the delay before one is sent."""
    return bool(editor.wait(lambda: len(bridge.heard()) > before, 0.2))


def test_a_very_long_line_is_data_and_not_completed(editor, bridge):
    editor.open("x" * 5000 + "\n").type("Ay")
    assert not wait_asked(editor, bridge, 0)


def test_buffers_that_are_no_code_and_modes_without_maps(editor, bridge):
    editor.open("x\n", after="set nomodifiable").type("Ay")
    assert editor.state()["lines"] == ["x"]
    python = "setlocal modifiable filetype=python"
    for place in (
        f"new | setlocal buftype=prompt | {python}",
        f"new | setlocal buftype=acwrite | {python}",
        f"call setqflist([{{'text': 'x'}}]) | copen | {python}",
        "set modifiable binary",
        "set nobinary paste",
        "set nopaste rightleft",
    ):
        editor.run(place).type("Ixyz")
        assert not editor.wait(bridge.heard, 0.06), place  # with 'paste' no key tells a state
        editor.keys("Escape")
        assert editor.state()["lines"][0].startswith(("xyz", "% xyz")), place
        editor.run("if winnr('$') > 1 | quit! | endif")
    editor.run("set norightleft").type("q:ixyz").keys("Escape").type(":quit").keys("Enter")
    assert not wait_asked(editor, bridge, 0)
    editor.run("Autocoder status")
    assert editor.shows("autocoder: on")


def test_past_the_end_of_a_line_nothing_shows(editor, bridge):
    bridge.says(("val", "ue"))
    editor.open("x\n", after="set virtualedit=all").type("oval")
    assert editor.shows("value")
    editor.keys("Right")
    assert editor.hides("value")
    assert not editor.state()["visible"]


def test_read_only_files_may_be_written_to_all_the_same(start_editor, bridge):
    bridge.says(("val", "ue"))
    editor = start_editor("vim").open("x\n", "-R").type("oval")
    assert editor.shows("value")


def test_the_log_holds_no_text_of_the_users(editor, bridge):
    bridge.says(("secret", "_ghost"))
    editor.open().type("imy_secret")
    assert editor.shows("my_secret_ghost")
    editor.keys("Tab").run("let g:value = autocoder#log#lines()")
    log = json.dumps(editor.state()["value"])
    assert "started" in log
    assert "secret" not in log
