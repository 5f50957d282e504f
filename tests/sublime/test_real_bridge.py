"""The plugin against the real bridge and a real daemon: first with set answers, then the model."""

import os
import sys

import pytest

REAL = [sys.executable, "-P", "-m", "autocoder"]


@pytest.fixture
def real(start, fake_daemon):
    """Sublime, the real bridge and a daemon whose answers are known."""

    def run(options="", **settings):
        editor = start(fake_daemon.autocoder(options=options), **settings)
        editor.open(auto_match_enabled=False)
        return editor

    return run


def test_ghost_text_through_the_real_bridge_and_daemon(real):
    editor = real()
    editor.type("for i in ran")
    assert editor.wait(lambda: editor.screen() == "for i in ran⟨ge(10):⟩")
    editor.press("tab")
    assert editor.text() == "for i in range(10):|"
    editor.open(auto_match_enabled=False)
    editor.type("def f(")
    assert editor.wait(lambda: editor.screen() == "def f(⟨x):⟩\n⟨    return x⟩")
    editor.press("ctrl+alt+right")
    editor.press("escape")
    editor.window.run_command("autocoder_show", {"what": "statistics"})
    assert editor.wait(editor.panel)
    assert "accepted: 1" in editor.panel() and "partly: 1" in editor.panel()
    editor.window.run_command("autocoder_show", {"what": "status"})
    assert "bridge       ready" in editor.panel() and "model        fake, python" in editor.panel()


def test_a_killed_daemon_is_replaced_while_one_types_on(real, place):
    editor = real()
    editor.type("for i in ran")
    assert editor.wait(lambda: "⟨ge(10):⟩" in editor.screen())
    os.kill(int(place.pid.read_text()), 9)
    editor.press("escape")
    editor.open()

    def typed_on():
        editor.type("\nfor i in ran").rest(0.3)
        return "⟨" in editor.screen()

    assert editor.wait(typed_on)


def test_what_is_under_way_is_cancelled_in_the_daemon(real):
    editor = real("--slow 30")
    editor.paste("for i in ran")
    assert editor.wait(lambda: editor.asked)
    editor.open("other")

    def counted():  # a decoding step later
        editor.window.run_command("autocoder_show", {"what": "statistics"})
        editor.rest()
        return "cancelled: 1" in editor.panel()

    assert editor.wait(counted)


def test_a_model_that_cannot_be_loaded_is_said_with_its_remedy(real):
    editor = real("--broken no-model-here:run-this")
    editor.type("for i in ran")
    assert editor.wait(editor.panel)
    assert editor.panel() == "autocoder: model: no-model-here:run-this\n"


def test_the_bundled_model_suggests(start):
    editor = start(REAL)
    editor.open("def add(first, second):\n    return first + second\n\n\n")
    editor.paste("for i in ran")  # at once: what it would say to `for i` is another matter
    assert editor.wait(lambda: "for i in ran⟨ge(" in editor.screen(), 60), editor.screen()
    editor.press("tab")
    assert editor.text().split("\n")[-1].startswith("for i in range(")

    def told():
        editor.window.run_command("autocoder_show", {"what": "status"})
        return "ExecutionProvider" in editor.panel()

    assert editor.wait(told)
