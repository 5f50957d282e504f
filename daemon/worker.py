"""The one thread that owns the model: it loads it, runs one job at a time and reports.

Knows no sockets and no scheduling. A model that cannot be loaded is reported, job by job, and tried
again from time to time, so that the user's remedy works without a restart.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from autocoder.daemon.protocol import Completer, Completion
from autocoder.daemon.scheduler import Job

RETRY_S = 5.0


@dataclass(frozen=True)
class Loaded:
    """The model is ready."""

    completer: Completer


@dataclass(frozen=True)
class LoadFailed:
    """The model cannot be loaded."""

    error: Exception


@dataclass(frozen=True)
class Done:
    """A job is over: its completion, or the exception that ended it."""

    job: Job
    result: Completion | Exception


Report = Loaded | LoadFailed | Done


class Worker:
    """Runs jobs in its thread; `report` is called from there."""

    def __init__(self, load: Callable[[], Completer], report: Callable[[Report], None]) -> None:
        self._load = load
        self._report = report
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._completer: Completer | None = None
        self._failure: Exception | None = None
        self._tried = 0.0
        self._thread = threading.Thread(target=self._live, name="model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def give(self, job: Job) -> None:
        """Run a job when the thread is free."""
        self._inbox.put(job)

    def stop(self, patience_s: float) -> bool:
        """End the thread; False if it is still busy when `patience_s` have passed."""
        self._inbox.put(None)
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def _live(self) -> None:
        self._try_to_load()
        while (job := self._inbox.get()) is not None:
            self._report(Done(job, self._result(job)))

    def _result(self, job: Job) -> Completion | Exception:
        if self._completer is None and time.monotonic() - self._tried > RETRY_S:
            self._try_to_load()
        if self._completer is None:
            return self._failure or RuntimeError("the model is not loaded")
        try:
            return self._completer.complete(job.request, job.is_cancelled)
        except Exception as error:  # the outer edge: reported, logged and answered by the loop
            return error

    def _try_to_load(self) -> None:
        try:
            self._completer = self._load()
            self._report(Loaded(self._completer))
        except Exception as error:
            self._failure = error
            self._report(LoadFailed(error))
        self._tried = time.monotonic()
