"""Jobs under way together on a model that advances many requests at once.

Between two steps newer jobs join and cancelled ones leave, so a request that is superseded ends
within one step and its successor finds the lane free. Knows jobs and the batching completer; knows
no sockets, no scheduling, no device.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from autocoder.daemon.protocol import Cancelled, Complete, Completion
from autocoder.daemon.scheduler import Job


@runtime_checkable
class Batching(Protocol):
    """A `Completer` that serves up to `places` requests together."""

    places: int

    def begin(self, request: Complete) -> Any:
        """Take a request on. Raises ModelError where it cannot be served."""
        ...

    def advance(self, under_way: Sequence[Any]) -> None:
        """One step for all of them. What it raises ends them all."""
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


class Batch:
    """The jobs under way. `done` is told of each that is over, with its result."""

    def __init__(
        self, completer: Batching, done: Callable[[Job, Completion | Exception], None]
    ) -> None:
        self._completer = completer
        self._done = done
        self._begun: dict[Job, Any] = {}

    def __len__(self) -> int:
        return len(self._begun)

    def join(self, jobs: Sequence[Job]) -> None:
        """Take these on, once those that were cancelled have left."""
        for job in [job for job in self._begun if job.cancelled]:
            self._leave(job, Cancelled())
        for job in jobs:
            try:
                if job.cancelled:
                    raise Cancelled
                self._begun[job] = self._completer.begin(named_for_client(job))
            except Exception as error:  # the outer edge: reported, logged and answered by the loop
                self._done(job, error)

    def step(self) -> None:
        """Advance all. Raises what the device raises; the jobs are then `abandoned`."""
        if not self._begun:
            return
        self._completer.advance(list(self._begun.values()))
        for job, begun in list(self._begun.items()):
            if self._completer.over(begun):
                self._leave(job, self._completer.completion(begun))

    def abandoned(self) -> list[Job]:
        """Give up all that is under way, unanswered."""
        jobs = list(self._begun)
        for begun in self._begun.values():
            self._completer.end(begun)
        self._begun.clear()
        return jobs

    def _leave(self, job: Job, result: Completion | Exception) -> None:
        self._completer.end(self._begun.pop(job))
        self._done(job, result)


def named_for_client(job: Job) -> Complete:
    """The request with a document's name that no other client's document has."""
    return replace(job.request, document=f"{job.client.hex()} {job.request.document}")
