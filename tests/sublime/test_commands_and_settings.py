"""On and off; settings by project, syntax and view; the palette, the menu, the status bar."""

import json
import sys
import time

import pytest
import sublime

from autocoder.clients.sublime_command import PLUGIN

FILES = ("Autocoder.sublime-settings", "Default.sublime-keymap", "Default.sublime-commands",
         "Main.sublime-menu", "messages.json")  # fmt: skip


def decoded(name):
    return sublime.decode_value((PLUGIN / name).read_text())


def asks(editor, seconds=20):
    """Does typing here make a request?"""
    before = len(editor.asked)
    editor.paste("ran")
    return bool(editor.wait(lambda: len(editor.asked) > before, seconds))


def silent(editor):
    """Does typing here make none within several times the delay?"""
    return not asks(editor, 0.1)


def entries(items):
    """The menu's or the palette's entries that run a command, however deep."""
    for item in items:
        yield from [item] if "command" in item else entries(item.get("children", []))


# --- on and off -----------------------------------------------------------------------------------


def test_switched_off_everywhere_it_stays_off_after_a_restart(editor, bridge, start):
    bridge.says(("ran", "ge(10):"))
    editor.type("ran")
    assert editor.wait(lambda: "⟨" in editor.screen())
    editor.window.run_command("autocoder_toggle")
    assert (editor.screen(), editor.status()) == ("ran", "")
    assert editor.world.messages[-1] == "autocoder: off"
    assert silent(editor)
    user = editor.world.user / "Autocoder.sublime-settings"
    assert json.loads(user.read_text()) == {"command": bridge.command, "enabled": False}
    editor.window.run_command("autocoder_toggle")
    assert (editor.world.messages[-1], editor.status()) == ("autocoder: on", "ac")
    assert asks(editor)


def test_switched_off_in_one_view_it_goes_on_in_others(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.type("ran")
    assert editor.wait(lambda: "⟨" in editor.screen())
    editor.view.run_command("autocoder_toggle_view")
    assert (editor.screen(), editor.status()) == ("ran", "")
    assert editor.world.messages[-1] == "autocoder: off in this view"
    assert silent(editor)
    editor.open()
    assert asks(editor)


def test_switched_on_in_one_view_it_suggests_in_any_text(editor, bridge):
    editor.open(scope="text.plain")
    assert silent(editor)
    editor.view.run_command("autocoder_toggle_view")
    assert (editor.world.messages[-1], editor.status()) == ("autocoder: on in this view", "ac")
    assert asks(editor)
    editor.view.run_command("autocoder_toggle_view")
    assert silent(editor)


def test_a_project_switches_it_off(editor, bridge):
    editor.window._project = {"settings": {"autocoder.enabled": False}}
    editor.open()
    assert silent(editor)
    assert editor.press("alt+\\") is None
    editor.window.run_command("autocoder_show", {"what": "status"})
    assert 'nothing here: switched off ("autocoder.enabled")' in editor.panel()


def test_a_project_switches_it_on_where_it_is_off_elsewhere(start, bridge):
    editor = start(bridge.command, enabled=False)
    editor.open()
    assert silent(editor)
    editor.window._project = {"settings": {"autocoder.enabled": True, "autocoder.selector": ""}}
    editor.open(scope="source.lua")
    assert asks(editor)


@pytest.mark.parametrize(
    ("settings", "scope", "expected"),
    [
        ({"selector": "source.lua"}, "source.python", False),
        ({"selector": "source.lua"}, "source.lua", True),
        ({"selector": ""}, "text.plain", True),
        ({}, "source.java", True),
        ({}, "text.html.markdown", False),
        ({"auto": False}, "source.python", False),
        ({"enabled": False}, "source.python", False),
    ],
)
def test_where_it_suggests_by_itself(start, bridge, settings, scope, expected):
    editor = start(bridge.command, **settings)
    editor.open(scope=scope)
    assert asks(editor) if expected else silent(editor)


def test_auto_off_leaves_the_trigger(start, bridge):
    bridge.says(("ran", "ge(10):"))
    editor = start(bridge.command, auto=False)
    editor.open()
    assert silent(editor)
    editor.press("alt+\\")
    assert editor.wait(lambda: editor.screen() == "ran⟨ge(10):⟩")


def test_numbers_are_sent_as_they_are_set(start, bridge):
    numbers = {"max_lines": 3, "max_tokens": 30, "trigger_lines": 5, "trigger_tokens": 50}
    bridge.says(("ran", "ge(10):"))
    editor = start(bridge.command, **numbers)
    editor.open(**{"autocoder.max_tokens": 31})
    assert asks(editor)
    assert (editor.asked[0]["max_lines"], editor.asked[0]["max_tokens"]) == (3, 31)
    assert editor.wait(lambda: "⟨" in editor.screen())
    editor.press("alt+\\")
    assert editor.wait(lambda: len(bridge.heard()) == 2)
    assert (editor.asked[1]["max_lines"], editor.asked[1]["max_tokens"]) == (5, 50)


def test_the_delay_is_waited_for(start, bridge):
    editor = start(bridge.command, delay=300)
    editor.open()
    begin = time.monotonic()
    editor.paste("x")
    assert max(due for due, *_ in editor.world.timeouts) >= begin + 0.3
    assert bridge.heard("started") == []
    assert editor.wait(bridge.heard)


def test_the_colour_is_the_users(start, bridge):
    bridge.says(("ran", "ge(10):"))
    editor = start(bridge.command, color="#888")
    editor.open()
    editor.type("ran")
    assert editor.wait(lambda: "⟨" in editor.screen())
    [(_, content, _)] = editor.view._phantoms.values()
    assert ".ghost { color: #888; }" in content


# --- the status bar -------------------------------------------------------------------------------


def test_the_status_bar_tells_ready_waiting_and_off(start, bridge):
    bridge.says(("ran", "ge(10):"))
    editor = start(bridge.command, status="complete")
    python = editor.open()
    assert editor.status() == "complete"
    editor.hold()
    editor.type("ran")
    assert editor.wait(lambda: editor.status() == "complete…")
    assert editor.wait(lambda: bridge.heard("answered"))
    editor.release()
    assert editor.wait(lambda: editor.status() == "complete")
    assert "⟨" in editor.screen()
    editor.open(scope="text.plain")
    assert editor.status() == ""
    editor.focus(python)
    assert editor.status() == "complete"


def test_no_word_no_status(start, bridge):
    editor = start(bridge.command, status="")
    editor.open()
    assert asks(editor)
    assert editor.status() == ""


# --- the palette and the menu ---------------------------------------------------------------------


def test_status_says_what_there_is(editor, bridge):
    editor.window.run_command("autocoder_show", {"what": "status"})
    assert "bridge       off" in editor.panel()
    assert asks(editor)
    assert editor.wait(lambda: bridge.heard("answered"))
    editor.rest(0.05)
    editor.window.run_command("autocoder_show", {"what": "status"})
    rows = dict(line.split(None, 1) for line in editor.panel().splitlines())
    assert rows["autocoder"] == "on"
    assert rows["bridge"] == "ready"
    assert rows["command"] == " ".join([*bridge.command, "bridge", "--client", "sublime"])
    assert rows["daemon"] == "0, FakeProvider"
    assert rows["model"] == "fake, python"


def test_the_panel_holds_what_was_asked_for_last(editor):
    for what in ("status", "log", "status"):
        editor.window.run_command("autocoder_show", {"what": what})
    assert editor.panel().count("bridge  ") == 1


def test_status_says_why_there_is_nothing(start, bridge):
    editor = start("/nowhere/autocoder")
    editor.open("x = 1\n", scope="text.plain")

    def status():
        editor.window.run_command("autocoder_show", {"what": "status"})
        return editor.panel()

    assert 'of itself: not where "selector" says: source.python, source.java\n' in status()
    assert "command      no executable '/nowhere/autocoder'. Run `autocoder" in status()
    editor.view._scope = "source.python"
    assert "autocoder    on\n" in status()
    editor.view.settings().set("autocoder.auto", 1)
    assert 'of itself: only by the trigger key ("autocoder.auto" is 1)\n' in status()
    editor.move(0, 2)
    assert "nothing here: 2 carets\n" in status()
    editor.move(0, extend=3)
    assert "nothing here: a selection\n" in status()
    editor.view.set_read_only(True)
    assert "nothing here: read-only\n" in status()
    editor.window.run_command("autocoder_toggle")
    assert 'nothing here: switched off ("enabled")\n' in status()
    editor.view.settings().set("autocoder.enabled", "true")
    assert "nothing here: switched off (\"autocoder.enabled\" is 'true')\n" in status()


@pytest.mark.parametrize("nonsense", [None, "fast", [3]])
def test_a_number_that_is_none_is_the_default(start, bridge, nonsense):
    numbers = dict.fromkeys(("delay", "max_lines", "max_tokens", "timeout"), nonsense)
    editor = start(bridge.command, **numbers)
    editor.open()
    assert asks(editor)
    assert [editor.asked[-1][name] for name in ("max_lines", "max_tokens")] == [1, 48]
    assert editor.wait(lambda: bridge.heard("answered"))


def test_the_numbers_that_stand_in_are_the_defaults(editor):
    numbers = sys.modules["Autocoder.core.settings"].NUMBERS
    there = decoded("Autocoder.sublime-settings")
    assert numbers == {name: value for name, value in there.items() if type(value) is int}


def test_statistics_ask_the_daemon(editor, bridge):
    editor.window.run_command("autocoder_show", {"what": "statistics"})
    assert editor.wait(editor.panel)
    assert "uptime_s     1\nfeedback     shown: 3\nproblem      -\n" in editor.panel()


def test_statistics_say_that_the_bridge_is_down(start):
    editor = start("/nowhere/autocoder")
    editor.open()
    editor.type("x")
    assert editor.wait(lambda: editor.status() == "ac!")
    editor.window.run_command("autocoder_show", {"what": "statistics"})
    assert editor.panel() == 'the bridge is down, see "Autocoder: Log"\n'


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_what_sublime_reads(name):
    assert decoded(name)


@pytest.mark.parametrize("name", ["Default.sublime-commands", "Main.sublime-menu"])
def test_each_entry_runs_a_command_that_there_is(editor, name):
    found = list(entries(decoded(name)))
    assert len(found) >= 8
    for entry in found:
        if entry["command"] == "edit_settings":
            base = entry["args"]["base_file"]
            assert base.startswith("${packages}/Autocoder/")
            assert (PLUGIN / base.rsplit("/", 1)[1]).exists()
        else:
            editor.window.run_command(entry["command"], entry.get("args", {}))
            assert entry["command"] in editor.world.commands


def test_every_command_is_in_the_palette_the_keys_or_both(editor):
    bound = {binding["command"] for binding in decoded("Default.sublime-keymap")}
    bound |= {entry["command"] for entry in entries(decoded("Default.sublime-commands"))}
    assert set(editor.world.commands) == {c for c in bound if c.startswith("autocoder_")}
    assert len(editor.world.commands) == 8


def test_the_menu_is_under_package_settings():
    [preferences] = decoded("Main.sublime-menu")
    [package_settings] = preferences["children"]
    [ours] = package_settings["children"]
    ids = [preferences["id"], package_settings["id"], ours["caption"]]
    assert ids == ["preferences", "package-settings", "Autocoder"]


def test_the_message_of_the_installation_is_there():
    for file in decoded("messages.json").values():
        assert "Preferences > Package Settings" in (PLUGIN / file).read_text()
