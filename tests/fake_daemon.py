"""A daemon process for tests: the real server, lock, signals and socket; a completer from a dict.

Usage: python tests/fake_daemon.py [--version V] [--sha256 S] [--slow SECONDS] [--broken TEXT]
[--loading SECONDS] [--look SECONDS]. It answers a prefix that ends in a key of ANSWERS with its
value, a step at a time, asking between steps whether it is cancelled; a prefix with "crash" in it
is a fault.
"""

import argparse
import sys
import time
from collections.abc import Callable

from autocoder import __version__
from autocoder.daemon.command import serve
from autocoder.daemon.errors import ModelError
from autocoder.daemon.identity import model_info
from autocoder.daemon.protocol import (
    Cancelled,
    Complete,
    Completer,
    Completion,
    ModelInfo,
    Suggestion,
)

ANSWERS = {
    "for i in ran": "ge(10):",
    "import numpy as ": "np",
    "def f(": "x):\n    return x",
    "é = ": "'ü'",
}
STEPS = 20


class DictCompleter:
    """Answers from ANSWERS, in STEPS steps of `step_s` seconds."""

    provider = "CPUExecutionProvider"
    threads = 1
    reason = "a fake"

    def __init__(self, info: ModelInfo, step_s: float) -> None:
        self.info = info
        self.step_s = step_s

    def complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        if "crash" in request.prefix:
            raise ZeroDivisionError("asked to crash")
        for _ in range(STEPS):
            if cancelled():
                raise Cancelled
            time.sleep(self.step_s)
        found = [text for key, text in ANSWERS.items() if request.prefix.endswith(key)]
        texts = [until(text, request.stop) for text in found]
        suggestions = tuple(Suggestion(text, 0.5, (0.5,), "line") for text in texts)
        return Completion(suggestions, len(request.prefix), 0, len(texts))


def until(text: str, stops: tuple[str, ...]) -> str:
    """The text before the first of the stops."""
    return min([text, *(text.split(stop)[0] for stop in stops)], key=len)


def info(sha256: str) -> ModelInfo:
    return ModelInfo("fake", sha256, "/nowhere", ("python", "java"), 512, True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", default=__version__)
    parser.add_argument("--sha256", default=model_info(None).sha256)
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--loading", type=float, default=0.0)
    parser.add_argument("--broken", default="")
    parser.add_argument("--look", type=float, default=30.0)
    options = parser.parse_args(arguments)
    model = info(options.sha256)

    def load() -> Completer:
        time.sleep(options.loading)
        if options.broken:
            raise ModelError(options.broken)
        return DictCompleter(model, options.slow / STEPS)

    return serve(load, lambda: model, version=options.version, look_s=options.look)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
