"""Finds, starts, greets, replaces and stops the one daemon of this user. Blocking.

The lock says at once whether a daemon lives, and which process it is; a `hello` says whether it is
well and the right one. Knows no model beyond its identity and asks for no suggestion.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from autocoder import __version__
from autocoder.daemon import lock
from autocoder.daemon.connection import Connection, connected
from autocoder.daemon.endpoint import Endpoint, endpoint, prepared
from autocoder.daemon.errors import DaemonError, ProtocolError
from autocoder.daemon.protocol import Greeting, Hello, Stop, greeting_from

HELLO_S = 10.0  # a daemon that has said nothing for so long is hung
START_S = 30.0  # a daemon this young may still be importing
STOP_S = 5.0  # what a daemon gets to end by itself
STEP_S = 0.01
ATTEMPTS = 3

# Weights in pages of 2 MiB, where the C library and the kernel know how: 3 % of a token's time.
LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}

ALREADY_RUNNING = 3  # the exit status of a daemon that found another one


@dataclass(frozen=True)
class Wanted:
    """Which daemon a client talks to. `sha256` None: any model; words: `daemon run`'s options."""

    client: str
    version: str = __version__
    sha256: str | None = None
    words: tuple[str, ...] = ()

    def fits(self, greeting: Greeting) -> bool:
        same_model = self.sha256 in (None, greeting.model.sha256)
        return greeting.version == self.version and same_model


def run_command(wanted: Wanted) -> list[str]:
    """The command of a new daemon. `-P`: a `json.py` where the user works is not ours."""
    return [sys.executable, "-P", "-m", "autocoder", "daemon", "run", "--called", *wanted.words]


def ensure(
    wanted: Wanted,
    *,
    place: Endpoint | None = None,
    command: Sequence[str] | None = None,
    hello_s: float | None = None,
) -> Greeting:
    """The greeting of a daemon that is alive, well and the wanted one; starts it where needed.

    Raises DaemonError when that cannot be had, ConfigError for a bad socket folder.
    """
    place = prepared(place or endpoint())
    for _ in range(ATTEMPTS):
        greeting = _greet_or_start(wanted, place, command or run_command(wanted), hello_s)
        if greeting and wanted.fits(greeting):
            return greeting
        if greeting:
            stop(place)
    raise DaemonError(
        f"another daemon than the wanted one comes back each time. "
        f"Stop what starts it, or run `autocoder daemon stop`; its log: {place.log}"
    )


def _greet_or_start(
    wanted: Wanted, place: Endpoint, command: Sequence[str], hello_s: float | None
) -> Greeting | None:
    with connected(place.address) as connection:
        pid = lock.holder(place.lock)
        if pid is None:
            return _started(connection, wanted, place, spawn(command, place))
        patience = _patience(place) if hello_s is None else hello_s
        try:
            greeting = greet(connection, wanted, patience, lambda: _gone(place, pid))
        except ProtocolError:  # a daemon of another protocol: not one to talk to
            stop(place)
            return None
        if greeting is None and not _gone(place, pid):
            kill(place, pid)
        return greeting


def _patience(place: Endpoint) -> float:
    """Seconds to wait for `hello`: more for a daemon that has just begun."""
    try:
        age = time.time() - place.pid.stat().st_mtime
    except OSError:
        age = 0.0
    return max(HELLO_S, START_S - max(age, 0.0))


def _gone(place: Endpoint, pid: int) -> bool:
    return lock.holder(place.lock) != pid


def greet(
    connection: Connection, wanted: Wanted, patience_s: float, hopeless: Callable[[], bool]
) -> Greeting | None:
    """Say hello; None when `patience_s` have passed or `hopeless()` holds."""
    id = connection.send(Hello(wanted.client, __version__))
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if reply := connection.asked(id, STEP_S):
            return greeting_from(reply)
        if hopeless():
            return None
    return None


def _started(
    connection: Connection, wanted: Wanted, place: Endpoint, process: "subprocess.Popen[bytes]"
) -> Greeting | None:
    """The greeting of a daemon just spawned (by us or, at the same instant, by another)."""

    def failed() -> bool:
        return process.poll() is not None and lock.holder(place.lock) is None

    greeting = greet(connection, wanted, START_S, failed)
    status = process.poll()
    if greeting and greeting.pid != process.pid:
        process.terminate()  # another client was quicker; ours would only find the lock taken
    if greeting is None and status is None:
        raise DaemonError(f"the daemon has not begun to answer in {START_S:g} s; log: {place.log}")
    if greeting is None and status not in (0, ALREADY_RUNNING):
        raise DaemonError(f"the daemon cannot be started: {_last_words(place)}")
    return greeting


def _last_words(place: Endpoint) -> str:
    with suppress(OSError):
        lines = place.log.read_text("utf-8", "replace").splitlines()
        if lines:
            return f"{lines[-1]}\nIts log: {place.log}"
    return f"it ended without a word; its log: {place.log}"


def spawn(command: Sequence[str], place: Endpoint) -> "subprocess.Popen[bytes]":
    """Start a detached daemon, its output going to the log."""
    from autocoder.daemon.log import rotate

    rotate(place)
    with open(place.log, "ab", opener=_private) as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env={**LARGE_PAGES, **os.environ, "AUTOCODER_RUNTIME_DIR": str(place.folder)},
        )
    threading.Thread(target=process.wait, name="reaper", daemon=True).start()
    return process


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def running(place: Endpoint) -> int | None:
    """The pid of the daemon that runs, or None. Raises ConfigError for a bad socket folder."""
    return lock.holder(prepared(place).lock) if place.folder.exists() else None


def stop(place: Endpoint) -> bool:
    """End the daemon, kindly and then by force. False if none ran."""
    pid = running(place)
    if pid is None:
        return False
    with connected(place.address) as connection:
        connection.send(Stop())
        if not _wait_until_gone(place, pid, STOP_S):
            kill(place, pid)
    return True


def kill(place: Endpoint, pid: int) -> None:
    """Kill a daemon that does not answer. Its pid is the kernel's word, not a file's."""
    if lock.holder(place.lock) == pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not _wait_until_gone(place, pid, STOP_S):
        raise DaemonError(f"the daemon (process {pid}) cannot be killed; end it by hand")


def _wait_until_gone(place: Endpoint, pid: int, patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if _gone(place, pid):
            return True
        time.sleep(STEP_S)
    return False
