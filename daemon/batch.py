"""Jobs under way together on a model that advances many requests at once.

Between two steps newer jobs join and cancelled ones leave, so a request that is superseded ends
within one step and its successor finds the lane free. Prompts are made in threads of their own,
since a tokenizer works longer on one than a GPU does on a step; a job alone is not worth the
detour. Knows jobs and the batching completer; knows no sockets, no scheduling, no device.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, Protocol, runtime_checkable

from autocoder.daemon.protocol import Cancelled, Complete, Completion
from autocoder.daemon.scheduler import Job

PREPARING = 4  # threads


@runtime_checkable
class Batching(Protocol):
    """A `Completer` that serves up to `places` requests together."""

    places: int

    def prepare(self, request: Complete) -> Any:
        """What can be done in any thread. Raises ModelError where it cannot be served."""
        ...

    def begin(self, prepared: Any) -> Any:
        """Take a request on. Raises ModelError where it cannot be served."""
        ...

    def advance(self, under_way: Sequence[Any]) -> None:
        """One step for all of them. What it raises ends them all."""
        ...

    def rest(self) -> bool:
        """Nothing is to be done just now; False where it needs no more of such time."""
        ...

    def over(self, begun: Any) -> bool:
        """Whether there is nothing left to do."""
        ...

    def completion(self, begun: Any) -> Completion:
        """What a request that is over has found."""
        ...

    def end(self, begun: Any) -> None:
        """Nobody works on the request any more."""
        ...


@dataclass(frozen=True)
class Prepared:
    """A job whose prompt is made, or what went wrong with it."""

    job: Job
    result: Any


class Batch:
    """The jobs under way. `done` is told of each that is over, with its result; `hand_back` is
    called, from other threads, with what was prepared, for `join`."""

    def __init__(
        self,
        completer: Batching,
        done: Callable[[Job, Completion | Exception], None],
        hand_back: Callable[[Prepared], None],
    ) -> None:
        self._completer = completer
        self._done = done
        self._hand_back = hand_back
        self._unprepared: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._preparing: set[Job] = set()
        self._begun: dict[Job, Any] = {}

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do and nothing to wait for."""
        return not self._begun and not self._preparing

    @property
    def steps(self) -> bool:
        """Whether there is anything to advance."""
        return bool(self._begun)

    def join(self, tasks: Sequence[Job | Prepared]) -> None:
        """Take these on, once those that were cancelled have left."""
        for job in [job for job in self._begun if job.cancelled]:
            self._leave(job, Cancelled())
        for task in tasks:
            if isinstance(task, Prepared):
                self._preparing.discard(task.job)
                self._begin(task)
            elif self.idle and len(tasks) == 1:
                self._begin(self._prepared(task))
            else:
                self._prepare(task)

    def step(self) -> None:
        """Advance all. Raises what the device raises; the jobs are then `abandoned`."""
        if not self._begun:
            return
        self._completer.advance(list(self._begun.values()))
        for job, begun in list(self._begun.items()):
            if self._completer.over(begun):
                self._leave(job, self._completer.completion(begun))

    def rest(self) -> bool:
        """Nothing is to be done just now; False where more of such time is of no use."""
        return self._completer.rest()

    def abandoned(self) -> list[Job]:
        """Give up all that is under way, unanswered. What is prepared is still handed back."""
        jobs = list(self._begun)
        for begun in self._begun.values():
            self._completer.end(begun)
        self._begun.clear()
        return jobs

    def close(self) -> None:
        """End the threads."""
        for _ in self._threads:
            self._unprepared.put(None)

    def _prepare(self, job: Job) -> None:
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._prepare_all, name="prompts", daemon=True)
                for _ in range(PREPARING)
            ]
            for thread in self._threads:
                thread.start()
        self._preparing.add(job)
        self._unprepared.put(job)

    def _prepare_all(self) -> None:
        while (job := self._unprepared.get()) is not None:
            self._hand_back(self._prepared(job))

    def _prepared(self, job: Job) -> Prepared:
        try:
            if job.cancelled:
                raise Cancelled
            return Prepared(job, self._completer.prepare(named_for_client(job)))
        except Exception as error:  # the outer edge: reported, logged and answered by the loop
            return Prepared(job, error)

    def _begin(self, prepared: Prepared) -> None:
        job, result = prepared.job, prepared.result
        try:
            if job.cancelled:
                raise Cancelled
            if isinstance(result, Exception):
                raise result
            self._begun[job] = self._completer.begin(result)
        except Exception as error:  # the outer edge, as above
            self._done(job, error)

    def _leave(self, job: Job, result: Completion | Exception) -> None:
        self._completer.end(self._begun.pop(job))
        self._done(job, result)


def named_for_client(job: Job) -> Complete:
    """The request with a document's name that no other client's document has."""
    return replace(job.request, document=f"{job.client.hex()} {job.request.document}")
