"""A child process that takes and gives JSON objects, one a line, without anybody waiting for it.

Starting, writing, reading and encoding happen in threads; the callbacks are called from them.
Knows nothing of what the messages mean, and nothing of Sublime.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from typing import Any, Callable, Sequence

LONGEST = 4 * 1024 * 1024  # bytes of a line; what is longer comes in pieces that are no JSON


class Process:
    """One run of a program. `command` is called in a thread to say which, and may raise OSError."""

    def __init__(
        self,
        command: Callable[[], Sequence[str]],
        on_message: Callable[[dict[str, Any] | None], None],
        on_error: Callable[[str], None],
        on_end: Callable[[int | OSError], None],
    ) -> None:
        """`on_message` gets None for a line that is no object, `on_error` lines of standard error,
        `on_end` the exit status or why the program could not be started."""
        self._command = command
        self._on_message, self._on_error, self._on_end = on_message, on_error, on_end
        self._outbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._killed = False
        _thread("autocoder-reader", self._run)

    def write(self, message: dict[str, Any]) -> None:
        """Send a message when the program takes it."""
        self._outbox.put(message)

    def kill(self) -> None:
        """End it at once, also where it ignores a polite signal: it holds nothing worth saving."""
        with self._lock:
            self._killed = True
            if self._child:
                self._child.kill()

    def _run(self) -> None:
        try:
            child = self._start()
        except OSError as error:
            self._on_end(error)
            return
        _thread("autocoder-writer", lambda: self._write_all(child))
        _thread("autocoder-errors", lambda: self._read_errors(child))
        self._read_all(child)
        child.kill()  # it closed its output: nothing more is to be had of it
        status = child.wait()
        self._outbox.put(None)
        self._on_end(status)

    def _start(self) -> subprocess.Popen[bytes]:
        command = list(self._command())
        pipe = subprocess.PIPE
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        with self._lock:  # not before: `kill` must not wait for a program to start
            self._child = child
            if self._killed:
                child.kill()
        return child

    def _read_all(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout
        with child.stdout as lines:
            for line in iter(lambda: lines.readline(LONGEST), b""):
                self._on_message(_decoded(line))

    def _read_errors(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stderr
        with child.stderr as lines:
            for line in iter(lambda: lines.readline(LONGEST), b""):
                self._on_error(line.decode("utf-8", "replace").rstrip())

    def _write_all(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdin
        try:
            with child.stdin as pipe:
                for message in iter(self._outbox.get, None):
                    pipe.write(json.dumps(message).encode("ascii") + b"\n")
                    pipe.flush()
        except OSError:
            pass  # it has ended, which the reader notices


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line.decode("utf-8"))
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _thread(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=name, daemon=True).start()
