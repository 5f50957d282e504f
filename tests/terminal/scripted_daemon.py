"""A daemon process with scripted answers: the real server and socket, texts from a JSON file.

Usage: python scripted_daemon.py ANSWERS.json. The file maps the end of a prefix to a text or a list
of texts; the longest end wins. It is read anew for each request. The key "*slow" gives seconds to
wait, "*fail" the text of an error. Every request is appended to ANSWERS.log as one JSON line.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autocoder.daemon.command import serve
from autocoder.daemon.errors import ModelError
from autocoder.daemon.identity import model_info
from autocoder.daemon.protocol import Cancelled, Complete, Completion, ModelInfo, Suggestion

INFO = ModelInfo("scripted", model_info(None).sha256, "/nowhere", ("python", "java"), 2048, True)


class Scripted:
    """Answers from a file; slow and failing where the file says so."""

    info, provider, threads, reason = INFO, "CPUExecutionProvider", 1, "scripted"

    def __init__(self, answers: Path) -> None:
        self._answers = answers

    def complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        answers: dict[str, Any] = json.loads(self._answers.read_text())
        with open(self._answers.with_suffix(".log"), "a") as log:
            log.write(json.dumps(asdict(request)) + "\n")
        end = time.monotonic() + answers.get("*slow", 0)
        while time.monotonic() < end:
            if cancelled():
                raise Cancelled
            time.sleep(0.005)
        if "*fail" in answers:
            raise ModelError(answers["*fail"])
        fitting = [key for key in answers if key[0] != "*" and request.prefix.endswith(key)]
        found = answers[max(fitting, key=len)] if fitting else []
        texts = [found] if isinstance(found, str) else found[: request.candidates]
        return Completion(tuple(Suggestion(text, 0.5, (0.5,), "line") for text in texts))


if __name__ == "__main__":
    sys.exit(serve(lambda: Scripted(Path(sys.argv[1])), lambda: INFO))
