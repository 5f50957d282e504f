"""Who is served next: one request at a time, the active client first, and nobody starves.

Pure bookkeeping: knows no sockets, threads or models. The caller tells the time, but for how long
a job has run.
"""

import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from autocoder.daemon.errors import ProtocolError
from autocoder.daemon.protocol import Complete

MOST_WAITING = 64
PATIENCE_S = 0.5
FIRST_SLICE_S, LAST_SLICE_S = 0.05, 1.0  # what a job that gave way before may run undisturbed


@dataclass(eq=False)
class Job:
    """A `complete` under way. The loop sets `cancelled` and `yielding`; the completer asks.

    A job that yields to another client's is put back and begins anew: what it had computed of its
    prompt is in the cache by then, what it had said is not. So it takes one step at least, and a
    time that doubles from turn to turn, before it yields again.
    """

    client: bytes
    id: str
    request: Complete
    arrived: float
    cancelled: bool = field(default=False)
    yielding: bool = field(default=False)
    turns: int = field(default=0)  # in which it has given way
    waiting_since: float = field(default=0.0)
    grace: float = field(default=0.0)  # seconds before it yields to what waits already
    _asked: bool = field(default=False)
    _started: float = field(default=0.0)

    def __post_init__(self) -> None:
        self.waiting_since = self.arrived

    def is_interrupted(self) -> bool:
        """Asked before every step: is the job to end here, for good or for now?"""
        if not self._asked:
            self._asked, self._started = True, time.monotonic()
            return self.cancelled
        return self.cancelled or (self.yielding and time.monotonic() - self._started >= self.slice)

    @property
    def slice(self) -> float:
        """Seconds for which it need not give way."""
        turn = min(FIRST_SLICE_S * 2**self.turns, LAST_SLICE_S) if self.turns else 0.0
        return max(turn, self.grace)

    def put_back(self, now: float) -> None:
        """It has yielded and waits again."""
        self.yielding, self._asked, self.waiting_since = False, False, now
        self.grace = 0.0
        self.turns += 1


class Scheduler:
    """The waiting jobs of every client, and the one that runs."""

    def __init__(self) -> None:
        self.running: Job | None = None
        # Least recently active client first; each client's jobs oldest first.
        self._waiting: OrderedDict[bytes, deque[Job]] = OrderedDict()

    def submit(self, job: Job) -> list[Job]:
        """Queue a job; returns the waiting ones that it supersedes. A running one is flagged.

        Another client's running one yields to it.

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
        running = self.running
        if running and running.client == newer.client:
            running.cancelled |= running.request.document == newer.request.document
        elif running:
            running.yielding, running.grace = True, 0.0

    def next(self, now: float) -> Job | None:
        """Take the job to run, or None if one runs already or none waits.

        The oldest job of the most recently active client, unless some job has waited longer than
        PATIENCE_S: then the oldest of all.
        """
        heads = [queue[0] for queue in self._waiting.values() if queue]
        if self.running is not None or not heads:
            return None
        oldest = min(heads, key=lambda job: job.waiting_since)
        chosen = oldest if now - oldest.waiting_since > PATIENCE_S else heads[-1]
        self._let_fresh_ones_in(chosen, heads)
        self._take(chosen)
        self.running = chosen
        return chosen

    @staticmethod
    def _let_fresh_ones_in(chosen: Job, heads: list[Job]) -> None:
        """Others wait already, so none flags `chosen`: it yields after a step, or its longer turn,
        or, if its client is the active one, after PATIENCE_S. Not to those that have yielded
        themselves: two long ones would take turns for ever."""
        if any(not head.turns for head in heads if head is not chosen):
            chosen.yielding = True
            chosen.grace = PATIENCE_S if chosen is heads[-1] else 0.0

    def _take(self, job: Job) -> None:
        queue = self._waiting[job.client]
        queue.remove(job)
        if not queue:
            del self._waiting[job.client]

    def finish(self) -> None:
        """The running job is over."""
        self.running = None

    def put_back(self, job: Job, now: float) -> None:
        """The running job has yielded: it waits again, the first of its client."""
        self.running = None
        job.put_back(now)
        active = list(self._waiting)
        self._waiting.setdefault(job.client, deque()).appendleft(job)
        if job.client not in active:
            self._waiting.move_to_end(job.client, last=False)

    def cancel(self, client: bytes, id: str) -> tuple[bool, Job | None]:
        """Cancel by id: whether it was under way, and the job if it only waited.

        A running job is flagged; its end comes through whoever runs it.
        """
        if self.running and (self.running.client, self.running.id) == (client, id):
            self.running.cancelled = True
            return True, None
        for job in self._waiting.get(client, ()):
            if job.id == id:
                self._take(job)
                return True, job
        return False, None

    def knows(self, client: bytes, id: str) -> bool:
        """Is a job of this client and id under way?"""
        running = [self.running] if self.running else []
        jobs = [*running, *self._waiting.get(client, ())]
        return any((job.client, job.id) == (client, id) for job in jobs)

    def forget(self, client: bytes) -> None:
        """The client is gone: nobody wants its answers."""
        self._waiting.pop(client, None)
        if self.running and self.running.client == client:
            self.running.cancelled = True

    def drain(self) -> list[Job]:
        """Take every waiting job, and flag the running one."""
        jobs = [job for queue in self._waiting.values() for job in queue]
        self._waiting.clear()
        if self.running:
            self.running.cancelled = True
        return jobs
