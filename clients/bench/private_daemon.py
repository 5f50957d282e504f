"""A daemon of the measurement's own, in a runtime folder of its own, and what it costs.

So nothing that another editor asks disturbs the figures, and the user's daemon keeps its caches.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autocoder.clients.once import wanted
from autocoder.daemon import lifecycle
from autocoder.daemon.connection import connected
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.errors import ConfigError, DaemonError, ModelError
from autocoder.daemon.lifecycle import Wanted, ensure
from autocoder.daemon.protocol import Greeting, Status

LOADING_S = 60.0
STATUS_S = 10.0


@dataclass(frozen=True)
class Measured:
    """A daemon under measurement. `started_s`: from nothing to a loaded model."""

    place: Endpoint
    greeting: Greeting
    started_s: float

    def status(self) -> dict[str, Any]:
        """Its `status` reply."""
        with connected(self.place.address) as connection:
            return dict(connection.ask(Status(), STATUS_S))

    def cpu_s(self) -> float | None:
        """Processor seconds it has used, all threads together; None where /proc is missing."""
        try:
            fields = Path(f"/proc/{self.greeting.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def private_daemon(
    model: str | None = None, provider: str = "auto", threads: int | None = None
) -> Iterator[Measured]:
    """Start one, wait until its model is loaded, and stop it at the end.

    Raises ModelError where the model cannot be served, ConfigError where CUDA is asked for in vain,
    DaemonError where it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="autocoder-bench-", dir="/tmp"))
    place = Endpoint(folder)
    try:
        started = time.perf_counter()
        greeting = ensure(_wanted(model, provider, threads, place), place=place)
        measured = Measured(place, greeting, 0.0)
        _wait_until_loaded(measured, provider)
        yield Measured(place, greeting, time.perf_counter() - started)
    finally:
        lifecycle.stop(place)
        shutil.rmtree(folder, ignore_errors=True)


def _wanted(model: str | None, provider: str, threads: int | None, place: Endpoint) -> Wanted:
    chosen = wanted("bench", model, place=place)
    words = (*chosen.words, "--provider", provider)
    if threads is not None:
        words = (*words, "--threads", str(threads))
    return Wanted(chosen.client, sha256=chosen.sha256, words=words)


def _wait_until_loaded(measured: Measured, provider: str) -> None:
    end = time.monotonic() + LOADING_S
    while time.monotonic() < end:
        status = measured.status()
        if status["state"] == "failed":
            raise ModelError(status["problem"])
        if status["state"] == "ready":
            if provider == "cuda" and status["reason"]:  # the figures would be called CUDA's
                raise ConfigError(status["reason"])
            return
        time.sleep(0.02)
    raise DaemonError(f"the model was not loaded within {LOADING_S:g} s")
