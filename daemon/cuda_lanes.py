"""Which lane a prompt continues, on a GPU: the pool of sequences, each at its fixed place.

As in `engine.py`, a prompt continues the sequence that shares its longest beginning, and one that
would lose much is left alone and copied from. Here the number of places is fixed; those in use are
the lowest, since a step runs all lanes up to the highest that takes part. Knows token ids and the
names of documents; knows no arrays, no text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autocoder.daemon.engine import REDONE
from autocoder.daemon.errors import ModelError

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
        self._of: dict[str, list[Lane]] = {}  # the lanes of each document

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
        idle = [lane for lane in self.all if not lane.busy]
        if not idle:
            return None
        shared, best = self._best(idle, list(ids), document)
        if not shared or best.lost(shared) > min(REDONE, shared):
            best = self._begun(idle, best, shared)
        else:
            del best.ids[shared:]
        self._clock += 1
        self._name(best, document)
        best.prompt_length, best.used, best.busy = len(ids), self._clock, True
        return best

    def _name(self, lane: Lane, document: str) -> None:
        """A lane is a document's, and no longer another's."""
        others = self._of.get(lane.document, [])
        if lane in others:
            others.remove(lane)
            if not others:
                del self._of[lane.document]
        lane.document = document
        self._of.setdefault(document, []).append(lane)

    def release(self, lane: Lane) -> None:
        """Nobody works on the lane any more; what it holds stays."""
        lane.busy = False

    def _best(self, idle: Sequence[Lane], ids: list[int], document: str) -> tuple[int, Lane]:
        """The longest beginning, and whose it is; others are looked at if the document's own
        sequences have little of it."""
        own = [lane for lane in self._of.get(document, ()) if not lane.busy]
        for lanes in (own, idle):
            rated = [(common_beginning(lane.ids, ids), lane) for lane in lanes]
            shared, best = max(
                rated,
                key=lambda pair: (pair[0], pair[1].document == document, pair[1].used),
                default=(0, idle[0]),
            )
            if shared >= len(ids) - REDONE:
                break
        return min(shared, len(ids) - 1), best

    def _begun(self, idle: Sequence[Lane], source: Lane, shared: int) -> Lane:
        """Another lane, with what it shares copied; `source` itself where there is no other."""
        latest: dict[str, int] = {}
        for lane in self.all:
            latest[lane.document] = max(latest.get(lane.document, 0), lane.used)

        def worth(lane: Lane) -> tuple[bool, bool, int, int]:
            return bool(lane.ids), lane.used == latest[lane.document], lane.used, lane.number

        others = [lane for lane in idle if lane is not source or not shared]
        chosen = min(others or [source], key=worth)
        if chosen is source and shared:
            del chosen.ids[shared:]
        elif shared and self._copy(source.number, chosen.number):
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
