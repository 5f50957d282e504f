"""Which lane a prompt continues, on a GPU: the pool of sequences, each at its fixed place.

As in `engine.py`, a prompt continues the sequence that shares its longest beginning, and one that
would lose much is left alone and copied from. Here the number of places is fixed; those in use are
the lowest, since a step runs all lanes up to the highest that takes part. Knows token ids and the
names of documents; knows no arrays, no text.
"""

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autocoder.daemon.cuda_graph import STEPPED
from autocoder.daemon.engine import REDONE
from autocoder.daemon.errors import ModelError

WIDTHS = STEPPED[1:]  # one person's few sequences are not worth a step of one lane
HEAD = 8  # tokens by which lanes are found
LITTLE = 12  # tokens that are fed along with what others decode

Copy = Callable[[int, int], bool]
"""Copies the keys and values of one lane to another; False where that cannot be done."""


@dataclass(eq=False)
class Lane:
    """A sequence and its place; `prompt_length` tokens of it were the last prompt."""

    number: int
    ids: list[int] = field(default_factory=list)
    document: str = ""
    prompt_length: int = 0
    used: int = 0
    busy: bool = False
    head: tuple[int, ...] = ()

    def lost(self, shared: int) -> int:
        """How many tokens of a prompt a roll-back to `shared` throws away."""
        return min(self.prompt_length, len(self.ids)) - shared


class Lanes:
    """`count` lanes of at most `capacity` tokens each."""

    guesses = True  # several rows of a chunk can be had at once

    def __init__(
        self, count: int, capacity: int, copy: Copy = lambda source, target: False
    ) -> None:
        self.all = [Lane(number) for number in range(count)]
        self._capacity = capacity
        self._copy = copy
        self._clock = 0
        self._busy = 0
        self._latest: dict[str, int] = {}  # when a document was claimed for last
        self._by_head: dict[tuple[int, ...], list[Lane]] = {}

    def resting(self, start: int = 0, stop: int | None = None) -> list[int]:
        """The first tokens of lanes; 0 where nothing was written yet."""
        return [lane.ids[0] if lane.ids else 0 for lane in self.all[start:stop]]

    def others(self, lane: Lane, most: int = 8) -> list[list[int]]:
        """The token ids of the lanes used last but one, the longest unused first."""
        used = sorted((each for each in self.all if each.ids), key=lambda each: each.used)
        return [each.ids for each in used[-most - 1 :] if each is not lane][-most:]

    def claim(self, ids: Sequence[int], document: str) -> Lane | None:
        """A lane that holds the beginning of `ids`, all but one token at most; it is busy until
        `release`. None where every lane is.

        Raises ModelError where `ids` is empty or longer than a lane.
        """
        if not 0 < len(ids) <= self._capacity:
            raise ModelError(
                f"a prompt of {len(ids)} tokens; this model takes 1 to {self._capacity}"
            )
        if self._busy == len(self.all):
            return None
        shared, best = self._best(list(ids), document)
        if best is None or best.lost(shared) > min(REDONE, shared):
            best = self._begun(best, shared)
        else:
            del best.ids[shared:]
        self._clock += 1
        self._file(best, tuple(ids[:HEAD]))
        if self._latest.get(best.document) == best.used:
            del self._latest[best.document]
        best.document, best.prompt_length, best.used = document, len(ids), self._clock
        self._latest[document], best.busy = self._clock, True
        self._busy += 1
        return best

    def release(self, lane: Lane) -> None:
        """Nobody works on the lane any more; what it holds stays."""
        lane.busy = False
        self._busy -= 1

    def _file(self, lane: Lane, head: tuple[int, ...]) -> None:
        """A lane is found by the first tokens of its prompt, and no longer by others."""
        if lane.head == head:
            return
        others = self._by_head.get(lane.head, [])
        if lane in others:
            others.remove(lane)
            if not others:
                del self._by_head[lane.head]
        lane.head = head
        self._by_head.setdefault(head, []).append(lane)

    def _best(self, ids: list[int], document: str) -> tuple[int, Lane | None]:
        """The longest beginning, and the idle lane that has it; none where nobody has HEAD tokens
        of it, or all of a shorter prompt. A document that lacks little of its prompt need not look
        at those of others."""
        alike = [lane for lane in self._by_head.get(tuple(ids[:HEAD]), ()) if not lane.busy]
        for lane in alike:
            if lane.document == document and lane.used == self._latest.get(document):
                shared = common_beginning(lane.ids, ids)
                if len(ids) - shared <= LITTLE:
                    return min(shared, len(ids) - 1), lane
        rated = [(common_beginning(lane.ids, ids), lane) for lane in alike]
        shared, best = max(
            rated,
            key=lambda pair: (pair[0], pair[1].document == document, pair[1].used),
            default=(0, None),
        )
        shared = min(shared, len(ids) - 1)
        return (shared, best) if shared else (0, None)

    def _begun(self, source: Lane | None, shared: int) -> Lane:
        """Another lane, with what it shares copied; `source` itself where there is no other.

        Lanes that nobody misses go first, and of them those that make no step wider.
        """

        def worth(lane: Lane) -> tuple[bool, int, bool, int, int]:
            missed = bool(lane.ids) and lane.used == self._latest.get(lane.document)
            width = 0 if missed else bisect(WIDTHS, lane.number)
            return missed, width, bool(lane.ids), lane.used, lane.number

        idle = [lane for lane in self.all if not lane.busy and lane is not source]
        if source is not None and not idle:
            del source.ids[shared:]
            return source
        chosen = min(idle, key=worth)
        if source is not None and self._copy(source.number, chosen.number):
            chosen.ids = source.ids[:shared]
        else:
            chosen.ids = []
        return chosen


def common_beginning(one: list[int], other: list[int]) -> int:
    """How many tokens two lists have in common from the start; fast where they differ early."""
    if one[:8] != other[:8]:
        return next((at for at in range(8) if one[at : at + 1] != other[at : at + 1]), 8)
    same, limit = 8, min(len(one), len(other))
    while same < limit:
        middle = (same + limit + 1) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            limit = middle - 1
    return min(same, limit)
