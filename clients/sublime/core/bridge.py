"""Speaks docs/protocol.md with `autocoder bridge`: requests out, each reply to its callback.

Starts the bridge when first needed, and again with growing pauses when it dies or hangs. All of it
runs where `schedule` runs callbacks. Knows no views and no ghost text.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from .log import Log
from .process import Process

MOST_UNANSWERED = 4  # completions; beyond these only the newest is worth sending later
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
MOST_JUNK = 50
BEFORE_HELLO = 3  # times the timeout: a model may have to be loaded


@dataclass
class Asked:
    """A request that is not answered yet."""

    kind: str
    sent: float
    on_reply: Callable[[dict[str, Any]], None]


@dataclass
class Run:
    """One process and what it owes us."""

    process: Process | None = None
    unanswered: dict[str, Asked] = field(default_factory=dict)
    hello: dict[str, Any] = field(default_factory=dict)
    held_back: tuple[dict[str, Any], Callable[[dict[str, Any]], None]] | None = None
    junk: int = 0

    def completions(self) -> int:
        return sum(asked.kind == "complete" for asked in self.unanswered.values())


class Bridge:
    """One bridge process at a time."""

    def __init__(
        self,
        command: Callable[[], Sequence[str]],
        schedule: Callable[[Callable[[], None]], object],
        log: Log,
        timeout_s: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        """`command` names the program, in a thread; `changed` is called when `state` may have."""
        self._command, self._schedule, self._log = command, schedule, log
        self._timeout_s, self._changed = timeout_s, changed
        self._run: Run | None = None
        self._number = 0
        self._failures = 0
        self._not_before = 0.0

    # --- the caller's side --------------------------------------------------------------------

    def send(self, request: dict[str, Any], on_reply: Callable[[dict[str, Any]], None]) -> str:
        """Send a request (`type` and fields); its id, or "" where the bridge is down for now."""
        run = self._ready()
        if run is None:
            return ""
        self._number += 1
        message = {"v": 1, "id": str(self._number), **request}
        if request["type"] == "complete" and run.completions() >= MOST_UNANSWERED:
            run.held_back = (message, on_reply)
        else:
            self._write(run, message, on_reply)
        return str(self._number)

    def tell(self, request: dict[str, Any]) -> None:
        """Send what is not worth starting the bridge for, and whose reply nobody needs."""
        if self._run:
            self._number += 1
            self._write(self._run, {"v": 1, "id": str(self._number), **request}, lambda reply: None)

    def state(self) -> str:
        """ "off" (not started yet), "starting" (has not answered yet), "ready" or "down"."""
        if self._run is None:
            return "down" if self._failures else "off"
        return "ready" if self._run.hello else "starting"

    def hello(self) -> dict[str, Any]:
        """What the daemon said of itself and its model; {} before that."""
        return self._run.hello if self._run else {}

    def waiting(self) -> bool:
        """Is a completion unanswered?"""
        return bool(self._run and self._run.completions())

    def stop(self) -> None:
        """End the process and forget earlier failures."""
        run, self._run = self._run, None
        self._failures, self._not_before = 0, 0.0
        if run and run.process:
            run.process.kill()

    def restart(self) -> None:
        """End the process and start another one now."""
        self.stop()
        self._ready()
        self._changed()

    # --- the process --------------------------------------------------------------------------

    def _ready(self) -> Run | None:
        """The run to write to. Starts one, or ends one that has hung for too long."""
        if self._run and self._hung(self._run):
            self._log.add('no answer within the time allowed ("timeout")')
            self._fail(self._run)
        if self._run is None and time.monotonic() >= self._not_before:
            self._start()
        return self._run

    def _hung(self, run: Run) -> bool:
        allowed = self._timeout_s() * (1 if run.hello else BEFORE_HELLO)
        oldest = min((asked.sent for asked in run.unanswered.values()), default=None)
        return oldest is not None and time.monotonic() - oldest > allowed

    def _start(self) -> None:
        run = self._run = Run()
        run.process = Process(
            self._command,
            lambda message: self._later(run, lambda: self._receive(run, message)),
            lambda line: self._later(run, lambda: self._log.add("bridge: " + line)),
            lambda status: self._later(run, lambda: self._ended(run, status)),
        )
        self._log.add("starting the bridge")
        self._greet(run)

    def _later(self, run: Run, work: Callable[[], None]) -> None:
        """A late word of an earlier process is not heard."""
        self._schedule(lambda: work() if self._run is run else None)

    def _greet(self, run: Run) -> None:
        self._number += 1
        hello = {"type": "hello", "client": "sublime", "version": ""}
        self._write(
            run,
            {"v": 1, "id": str(self._number), **hello},
            lambda reply: run.hello.update(reply) if reply["type"] == "hello" else None,
        )

    def _write(
        self, run: Run, message: dict[str, Any], on_reply: Callable[[dict[str, Any]], None]
    ) -> None:
        assert run.process
        run.unanswered[message["id"]] = Asked(message["type"], time.monotonic(), on_reply)
        run.process.write(message)

    def _ended(self, run: Run, status: int | OSError) -> None:
        if isinstance(status, OSError):
            self._log.warn(str(status))
        else:
            self._log.add(f"the bridge ended with status {status}")
        self._fail(run)

    def _fail(self, run: Run) -> None:
        """Forget the process and let the next one wait: 0.5 s, 1 s, 2 s … a minute."""
        if run.process:
            run.process.kill()
        self._run = None
        self._failures += 1
        pause = FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10)
        self._not_before = time.monotonic() + min(pause, LONGEST_PAUSE_S)
        self._changed()

    # --- what it says -------------------------------------------------------------------------

    def _receive(self, run: Run, reply: dict[str, Any] | None) -> None:
        if reply is None or not isinstance(reply.get("type"), str):
            self._receive_junk(run)
            return
        asked = run.unanswered.pop(str(reply.get("id")), None)
        if reply["type"] == "error":
            self._receive_error(reply)
        elif reply["type"] == "completion":
            self._failures = 0
            self._greet_again(run)
        self._send_held_back(run)
        if asked:
            asked.on_reply(reply)
        self._changed()

    def _receive_junk(self, run: Run) -> None:
        """A line or two of junk may be a library's warning; much of it is no bridge."""
        run.junk += 1
        self._log.add("the bridge said something that is no message")
        if run.junk > MOST_JUNK:
            self._fail(run)

    def _receive_error(self, reply: dict[str, Any]) -> None:
        text = "{}: {}".format(reply.get("code"), reply.get("text"))
        if reply.get("code") == "model":
            self._log.warn(text)
        else:
            self._log.add(text)

    def _greet_again(self, run: Run) -> None:
        """A daemon that was still loading could not say what the model runs on; now it can."""
        greeting = any(asked.kind == "hello" for asked in run.unanswered.values())
        if not greeting and not run.hello.get("provider"):
            self._greet(run)

    def _send_held_back(self, run: Run) -> None:
        if run.held_back and run.completions() < MOST_UNANSWERED:
            (message, on_reply), run.held_back = run.held_back, None
            self._write(run, message, on_reply)
