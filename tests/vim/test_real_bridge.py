"""The plugin against the real bridge and a real daemon: first with set answers, then the model."""

import os
import sys

BRIDGE = [sys.executable, "-P", "-m", "autocoder"]


def test_ghost_text_through_the_real_bridge_and_daemon(editor, fake_daemon):
    editor.open(command=fake_daemon.autocoder()).type("ifor i in ran")
    assert editor.shows("for i in range(10):")
    assert editor.state()["bridge"] == "ready"
    editor.keys("Tab")
    assert editor.lines() == ["for i in range(10):"]
    editor.keys("Enter", "Escape").type("Sdef f(").keys("C-x", "C-a")
    assert editor.shows("def f(x):", "    return x")
    editor.keys("M-Right", "Escape").run("Autocoder stats")
    assert editor.shows("feedback     ")
    assert "accepted: 1" in editor.screen()
    assert "partly: 1" in editor.screen()


def test_a_killed_daemon_is_replaced_while_one_types_on(editor, fake_daemon, place):
    editor.open(command=fake_daemon.autocoder()).type("ifor i in ran")
    assert editor.shows("for i in range(10):")
    os.kill(int(place.pid.read_text()), 9)
    editor.keys("Escape").type("Sfor i in ra").type("n")

    def typed_on():  # and rested: what is asked between two keys is superseded
        editor.keys("BSpace").type("n")
        return editor.wait(lambda: "range(10):" in editor.screen(), seconds=0.5)

    assert editor.wait(typed_on)


def test_the_bundled_model_suggests(editor):
    editor.open("def add(first, second):\n", command=BRIDGE).type("ofor i in ran")
    assert editor.shows("for i in range(")
    before = editor.lines()[-1]
    editor.keys("Tab", "Escape")
    assert editor.lines()[-1].startswith(before + "ge(")
    editor.run("Autocoder status")
    assert editor.shows("ExecutionProvider")
