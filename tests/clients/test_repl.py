"""The REPL's commands, its rules for Enter, and what it does with a pipe."""

import subprocess
import sys

import pytest

from autocoder.clients.repl import Session, print_completion, step
from autocoder.clients.repl_prompt import is_finished, submitted
from autocoder.daemon.protocol import Complete, Completion, Suggestion

START = Session(Complete("", document="repl", language="python"))


def test_a_text_is_continued() -> None:
    session = step(START, "def factorial")
    assert session.wants_answer and session.request.prefix == "def factorial"
    assert step(session, ":again").wants_answer
    assert not step(session, "  ").wants_answer


@pytest.mark.parametrize(
    ("command", "field", "value"),
    [
        (":language java", "language", "java"),
        (":candidates 3", "candidates", 3),
        (":temperature 0.8", "temperature", 0.8),
        (":lines 0", "max_lines", 0),
        (":tokens 20", "max_tokens", 20),
    ],
)
def test_commands_set_what_is_asked_next(command: str, field: str, value: object) -> None:
    session = step(START, command)
    assert getattr(session.request, field) == value and not session.wants_answer
    assert str(value) in session.message or value == 0


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (":language cobol", "python or java"),
        (":candidates many", "a number"),
        (":candidates 900", "candidates"),
        (":again", "Nothing yet"),
        (":what", "no command :what"),
        (":what", ":language"),
        (":help", ":quit"),
    ],
)
def test_what_makes_no_sense_is_said_and_changes_nothing(command: str, answer: str) -> None:
    session = step(START, command)
    assert answer in session.message and session.request == START.request


@pytest.mark.parametrize("end", [":quit", ":q", None])
def test_ways_out(end: str | None) -> None:
    assert step(START, end).over


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ("def factorial", True),
        ("def factorial(n):", False),
        ("for (;;) {", False),
        ("f(a,", False),
        ("def f():\n    x", False),
        ("def f():\n    x\n", True),
        (":help", True),
    ],
)
def test_enter_prints_after_a_finished_text(text: str, finished: bool) -> None:
    assert is_finished(text) is finished


def test_the_blank_line_that_ends_an_input_is_not_part_of_it() -> None:
    assert submitted("def f():\n    x\n    ") == "def f():\n    x"
    assert submitted("def f") == "def f"


def test_continuations_are_printed_with_probability_and_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    suggestion = Suggestion("ial(n):\n    x", 0.4123, (0.5, 0.8), "end")
    print_completion("import x\ndef factor", Completion((suggestion,)), 12.4)
    out = capsys.readouterr().out
    assert "joint probability 0.412" in out and "12 ms" in out
    assert "def factorial(n):\n    x" in out


def repl(text: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autocoder", "repl", *options]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)


def test_from_a_pipe_the_continuation_is_printed(fake_daemon) -> None:
    fake_daemon.start()
    answer = repl("for i in ran")
    assert (answer.returncode, answer.stdout) == (0, "ge(10):\n")
    assert repl("nothing fits this").returncode == 1


def test_a_value_out_of_range_is_refused() -> None:
    answer = repl("x", "--candidates", "99")
    assert answer.returncode == 2 and "candidates" in answer.stderr
