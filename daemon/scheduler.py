"""Who is served next: one request at a time, the active client first, and nobody starves.

A multilevel feedback queue (Corbató et al., 1962): a job that others wait for runs for a slice of
time and is then put back, its next slice twice as long, behind those that had fewer. Bookkeeping
only: knows no sockets, threads or models. The caller tells the time, but for how long a job runs.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from autocoder.daemon.errors import ProtocolError
from autocoder.daemon.protocol import Complete

MOST_WAITING = 64
PATIENCE_S = 0.5
FIRST_SLICE_S = 0.1
LONGEST_SLICE_S = 1.0  # while a job waits that never ran
STARVING_S = 2.0


@dataclass(eq=False)
class Job:
    """A `complete` under way. The loop sets `cancelled` and `slice_s`; the completer asks.

    A job that is put back begins anew: what it had computed of its prompt is in the cache by then,
    what it had said is not. Slices that double let it come to its end all the same.
    """

    client: bytes
    id: str
    request: Complete
    arrived: float
    cancelled: bool = field(default=False)
    slice_s: float | None = field(default=None)  # how long it may run; None: nobody waits
    turns: int = field(default=0)  # after which it was put back
    waiting_since: float = field(default=0.0)
    began: float = field(default=0.0)  # when it was given to the model last
    _started: float | None = field(default=None)

    def __post_init__(self) -> None:
        self.waiting_since = self.arrived

    def is_interrupted(self) -> bool:
        """Asked before every step: is the job to end here, for good or for now? Not at the first,
        for now: each turn takes one step at least."""
        if self._started is None:
            self._started = time.monotonic()
            return self.cancelled
        over = self.slice_s is not None and time.monotonic() - self._started >= self.slice_s
        return self.cancelled or over

    def share_with(self, others: Iterable["Job"]) -> None:
        """These wait; with none of them it may run as long as it takes."""
        turns = [other.turns for other in others]
        slice_s = FIRST_SLICE_S * 2**self.turns
        capped = min(slice_s, LONGEST_SLICE_S) if 0 in turns else slice_s
        self.slice_s = capped if turns else None

    def put_back(self, now: float) -> None:
        """Its slice is over and it waits again."""
        self.slice_s, self._started, self.waiting_since = None, None, now
        self.turns += 1


class Scheduler:
    """The waiting jobs of every client, and those that run: one, or as many as have `places` where
    the model advances many at once. Where there are many, nobody's time is sliced."""

    def __init__(self, places: int = 1) -> None:
        self.places = places
        self._running: list[Job] = []
        # Least recently active client first; each client's jobs oldest first.
        self._waiting: OrderedDict[bytes, deque[Job]] = OrderedDict()

    @property
    def running(self) -> Job | None:
        """The job that has run the longest, if any runs."""
        return self._running[0] if self._running else None

    def submit(self, job: Job) -> list[Job]:
        """Queue a job; returns the waiting ones that it supersedes. A running one is flagged.

        Another client's running one ends with its slice.

        Raises ProtocolError `overloaded` when the client has MOST_WAITING other jobs waiting.
        """
        queue = self._waiting.get(job.client, deque())
        superseded = [old for old in queue if old.request.document == job.request.document]
        if len(queue) - len(superseded) >= MOST_WAITING:  # refused before anything is changed
            raise ProtocolError("overloaded", f"{len(queue)} requests of this client wait already")
        for old in superseded:
            queue.remove(old)
        queue.append(job)
        self._waiting[job.client] = queue
        self._waiting.move_to_end(job.client)
        self._flag_running(job)
        return superseded

    def _flag_running(self, newer: Job) -> None:
        for running in self._running:
            if running.client == newer.client:
                running.cancelled |= running.request.document == newer.request.document
            elif self.places == 1:
                running.share_with([newer])

    def next(self, now: float) -> Job | None:
        """Take the job to run, or None if as many as can run already, or none waits.

        Of the clients' oldest jobs that were put back the fewest times, that of the most recently
        active client, unless one has waited longer than PATIENCE_S: then the oldest of them. One
        that has waited for STARVING_S goes before all.
        """
        heads = [queue[0] for queue in self._waiting.values() if queue]
        if len(self._running) >= self.places or not heads:
            return None
        chosen = _chosen(heads, now)
        self._take(chosen)
        if self.places == 1:
            chosen.share_with(head for head in heads if head is not chosen)
        self._running.append(chosen)
        return chosen

    def _take(self, job: Job) -> None:
        queue = self._waiting[job.client]
        queue.remove(job)
        if not queue:
            del self._waiting[job.client]

    def finish(self, job: Job | None = None) -> None:
        """A running job is over; the only one, where none is named."""
        self._running = [other for other in self._running if job and other is not job]

    def put_back(self, job: Job, now: float) -> None:
        """The running job's slice is over: it waits again, the first of its client."""
        self.finish(job)
        job.put_back(now)
        active = list(self._waiting)
        self._waiting.setdefault(job.client, deque()).appendleft(job)
        if job.client not in active:
            self._waiting.move_to_end(job.client, last=False)

    def cancel(self, client: bytes, id: str) -> tuple[bool, Job | None]:
        """Cancel by id: whether it was under way, and the job if it only waited.

        A running job is flagged; its end comes through whoever runs it.
        """
        for job in self._running:
            if (job.client, job.id) == (client, id):
                job.cancelled = True
                return True, None
        for job in self._waiting.get(client, ()):
            if job.id == id:
                self._take(job)
                return True, job
        return False, None

    def knows(self, client: bytes, id: str) -> bool:
        """Is a job of this client and id under way?"""
        jobs = [*self._running, *self._waiting.get(client, ())]
        return any((job.client, job.id) == (client, id) for job in jobs)

    def forget(self, client: bytes) -> None:
        """The client is gone: nobody wants its answers."""
        self._waiting.pop(client, None)
        for job in self._running:
            job.cancelled |= job.client == client

    def drain(self) -> list[Job]:
        """Take every waiting job, and flag the running ones."""
        jobs = [job for queue in self._waiting.values() for job in queue]
        self._waiting.clear()
        for job in self._running:
            job.cancelled = True
        return jobs

    def left(self) -> list[Job]:
        """The jobs that still run."""
        return list(self._running)


def _chosen(heads: list[Job], now: float) -> Job:
    oldest = min(heads, key=lambda job: job.waiting_since)
    if now - oldest.waiting_since > STARVING_S:
        return oldest
    fewest = min(job.turns for job in heads)
    level = [job for job in heads if job.turns == fewest]
    oldest = min(level, key=lambda job: job.waiting_since)
    return oldest if now - oldest.waiting_since > PATIENCE_S else level[-1]
