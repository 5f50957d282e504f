"""What the tests of `autocoder eval` share: a text, a completer that knows answers, the command."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from autocoder.daemon.protocol import Complete, Completion, ModelInfo, Suggestion
from autocoder.train.evaluate.command import main

PYTHON = '''"""Adds numbers."""

import sys


def add(one, other):
    """The sum of two numbers.

    Nothing more than that.
    """
    # plain addition will do
    total = one + other
    return total


def main():
    print(add(int(sys.argv[1]), int(sys.argv[2])))
    print("that was all there is")
    sys.exit(0)
'''


class Oracle:
    """A completer that answers as a function of the request says."""

    info = ModelInfo("oracle", "", "", ("python", "java"), 100, True)
    provider, threads, reason = "none", 1, ""

    def __init__(self, answer: Callable[[Complete], str]) -> None:
        self.answer = answer
        self.asked: list[Complete] = []

    def complete(self, request: Complete, cancelled: object) -> Completion:
        self.asked.append(request)
        text = self.answer(request)
        return Completion((Suggestion(text, 0.5, (0.5,), "end"),) if text else ())


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `autocoder eval … --json` and gives what it printed."""

    def run(*words: object) -> Any:
        assert main([*map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run
