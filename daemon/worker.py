"""The one thread that owns the model: it loads it, runs one job at a time and reports.

A model that batches is given all jobs that are there, between any two of its steps (`batch.py`).
One whose device fails is replaced by the same model on the CPU, and its jobs begin anew.

Knows no sockets and no scheduling. A model that cannot be loaded is reported, job by job, and tried
again from time to time, so that the user's remedy works without a restart. One that nobody has
asked for long enough is dropped, and loaded again at the first sign of life.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from autocoder.daemon.batch import Batch, Batching, Prepared, named_for_client
from autocoder.daemon.errors import CudaFailed
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
class Unloaded:
    """The model was dropped, and its memory goes once the report's reader drops it too."""


@dataclass(frozen=True)
class Done:
    """A job is over: its completion, or the exception that ended it."""

    job: Job
    result: Completion | Exception


Report = Loaded | LoadFailed | Unloaded | Done


class Wake:
    """Put into the inbox: somebody is there; have the model ready."""


class Worker:
    """Runs jobs in its thread; `report` is called from there.

    The model is dropped when nothing was asked for `unload_after_s` (None: never).
    """

    def __init__(
        self,
        load: Callable[[], Completer],
        report: Callable[[Report], None],
        unload_after_s: float | None = None,
    ) -> None:
        self._load = load
        self._report = report
        self._unload_after_s = unload_after_s
        self._inbox: SimpleQueue[Job | Prepared | Wake | None] = SimpleQueue()
        self._completer: Completer | None = None
        self._batch: Batch | None = None
        self._failure: Exception | None = None
        self._tried = 0.0
        self._thread = threading.Thread(target=self._live, name="model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def give(self, job: Job) -> None:
        """Run a job when the thread is free."""
        self._inbox.put(job)

    def wake(self) -> None:
        """Load the model if it was dropped; else it stays that much longer."""
        self._inbox.put(Wake())

    def stop(self, patience_s: float) -> bool:
        """End the thread; False if it is still busy when `patience_s` have passed."""
        self._inbox.put(None)
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def _live(self) -> None:
        self._try_to_load()
        while (task := self._next()) is not None:
            if self._batch is not None and not isinstance(task, Wake):
                self._together(task, self._batch)
            elif not isinstance(task, Wake):
                job = task.job if isinstance(task, Prepared) else task
                self._report(Done(job, self._result(job)))
            elif self._completer is None and self._failure is None:
                self._try_to_load()
        self._drop()

    def _drop(self) -> None:
        """Let go of the model."""
        if self._batch is not None:
            self._batch.close()
        self._completer = self._batch = None

    def _together(self, first: Job | Prepared, batch: Batch) -> None:
        """Run a job and all that come meanwhile."""
        tasks = [first]
        try:
            while tasks or not batch.idle:
                batch.join(tasks)
                batch.step()
                tasks = self._arrived(wait=not batch.steps and not batch.idle)
            while self._inbox.empty() and batch.rest():
                pass
        except CudaFailed as error:
            self._fall_back(error)
            for job in batch.abandoned():
                self._report(Done(job, self._result(job)))
        except Exception as error:  # the outer edge, as for a job alone
            for job in batch.abandoned():
                self._report(Done(job, error))

    def _arrived(self, wait: bool) -> list[Job | Prepared]:
        """What is in the inbox, or will be. The thread's end stays there till nothing is left."""
        tasks: list[Job | Prepared] = []
        while wait or not self._inbox.empty():
            wait = False
            task = self._inbox.get()
            if task is None:
                self._inbox.put(None)
                break
            if not isinstance(task, Wake):
                tasks.append(task)
        return tasks

    def _fall_back(self, error: CudaFailed) -> None:
        """The device failed: the CPU serves from now on."""
        again = getattr(self._completer, "on_cpu", None)
        self._drop()
        if again is not None:
            self._try_to_load(lambda: again(str(error)))

    def _next(self) -> Job | Prepared | Wake | None:
        """What comes next, however long it takes; the model is dropped meanwhile."""
        while True:
            try:
                return self._inbox.get(timeout=self._unload_after_s if self._completer else None)
            except Empty:
                self._drop()
                self._report(Unloaded())

    def _result(self, job: Job) -> Completion | Exception:
        if self._completer is None and self._may_try():
            self._try_to_load()
        if self._completer is None:
            return self._failure or RuntimeError("the model is not loaded")
        try:
            return self._completer.complete(named_for_client(job), job.is_interrupted)
        except CudaFailed as error:
            self._fall_back(error)
            return self._result(job) if self._completer else error
        except Exception as error:  # the outer edge: reported, logged and answered by the loop
            return error

    def _batching(self, completer: Completer) -> Batch | None:
        if not isinstance(completer, Batching):
            return None
        return Batch(
            completer, lambda job, result: self._report(Done(job, result)), self._inbox.put
        )

    def _may_try(self) -> bool:
        return self._failure is None or time.monotonic() - self._tried > RETRY_S

    def _try_to_load(self, load: Callable[[], Completer] | None = None) -> None:
        try:
            self._completer = (load or self._load)()
            self._batch = self._batching(self._completer)
            self._failure = None
            self._report(Loaded(self._completer))
        except Exception as error:
            self._failure = error
            self._report(LoadFailed(error))
        self._tried = time.monotonic()
