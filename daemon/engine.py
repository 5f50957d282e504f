"""Token ids in, logits out, recomputing only what no cached sequence already holds.

A prompt continues the sequence that shares its longest beginning, within a budget of memory.

The sequences of all documents and clients are one pool. Where rolling the best one back would throw
away more than a few tokens, it is left alone, and what is shared is copied into another: copying a
token's keys and values costs a hundredth of computing them. When memory is short, sequences that a
later one of the same document has replaced go first, the longest unused first, so that nobody who
jumps about in one document evicts another's only sequence while there is something else to give.

Knows token ids and the names of documents; knows no text and no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.errors import ModelError
from autocoder.daemon.live_sequence import (
    Graph,
    Interrupt,
    LiveSequence,
    Logits,
    PlainGraph,
    ServingGraph,
)

CACHE_BYTES = 64 * 1024 * 1024
MOST_SEQUENCES = 16
REDONE = 48  # tokens that may be thrown away for the sake of one sequence fewer
ROOM_TO_WRITE = 64  # tokens of a suggestion for which memory is set aside


@dataclass(eq=False)
class Kept:
    """A sequence, the document whose prompt it last held, and how long that prompt was."""

    sequence: LiveSequence
    document: str = ""
    prompt_length: int = 0
    used: int = 0


@dataclass(frozen=True)
class Claim:
    """A sequence that holds the first `cached` ids of a prompt."""

    sequence: LiveSequence
    cached: int


class Engine:
    """A graph and its live sequences: one at least, at most `sequences` and `cache_bytes` of them.

    Memory is counted as the tokens that were written, since the rest of a cache is pages that were
    never touched. `chunk` is how many tokens a pass takes.
    """

    def __init__(
        self,
        graph: Graph | ServingGraph,
        *,
        sequences: int = MOST_SEQUENCES,
        cache_bytes: int = CACHE_BYTES,
        chunk: int = 64,
    ) -> None:
        self.guesses = isinstance(graph, ServingGraph)  # whether several rows can be had at once
        self.capacity = graph.capacity
        self._graph = graph if isinstance(graph, ServingGraph) else PlainGraph(graph)
        self._most = sequences
        self._budget = cache_bytes
        self._chunk = chunk
        self._pool: list[Kept] = []
        self._clock = 0

    @property
    def bytes(self) -> int:
        """The memory of all sequences."""
        return sum(self._bytes(kept) for kept in self._pool)

    def __len__(self) -> int:
        return len(self._pool)

    def prefill(
        self, ids: Sequence[int], interrupt: Interrupt, document: str = ""
    ) -> tuple[LiveSequence, int, Logits]:
        """A sequence holding exactly `ids`, how many of them were cached, the last one's logits.

        Raises as `claim` does, and whatever `interrupt` raises.
        """
        claim = self.claim(ids, document)
        logits = claim.sequence.extend(ids[claim.cached :], interrupt)
        return claim.sequence, claim.cached, logits

    def claim(self, ids: Sequence[int], document: str = "") -> Claim:
        """The sequence to compute the rest of `ids` in: at least their last token is left to run,
        even where it is cached, since its logits are wanted.

        Raises ModelError where `ids` is empty or longer than the capacity.
        """
        if not 0 < len(ids) <= self.capacity:
            raise ModelError(
                f"a prompt of {len(ids)} tokens; this model takes 1 to {self.capacity}"
            )
        best, shared = self._best(ids, document)
        shared = min(shared, len(ids) - 1)
        if best is not None and shared and self._cheap_to_rewind(best, shared):
            best.sequence.rewind(shared)
            self._make_room(best, len(ids))
        else:
            best = self._begun(best, shared, len(ids))
        self._clock += 1
        best.document, best.prompt_length, best.used = document, len(ids), self._clock
        return Claim(best.sequence, len(best.sequence.ids))

    def others(self, sequence: LiveSequence) -> list[list[int]]:
        """The token ids of every sequence but one, the longest unused first."""
        pool = sorted(self._pool, key=lambda kept: kept.used)
        return [kept.sequence.ids for kept in pool if kept.sequence is not sequence]

    def _best(self, ids: Sequence[int], document: str) -> tuple[Kept | None, int]:
        wanted = np.asarray(ids, np.int64)
        rated = [(common_prefix(kept.sequence.ids, wanted), kept) for kept in self._pool]
        shared, best = max(
            rated,
            key=lambda pair: (pair[0], pair[1].document == document, pair[1].used),
            default=(0, None),
        )
        return best, shared

    @staticmethod
    def _cheap_to_rewind(kept: Kept, shared: int) -> bool:
        """Whether little of a prompt is lost. What was generated behind it is not counted."""
        lost = min(kept.prompt_length, len(kept.sequence.ids)) - shared
        return lost <= min(REDONE, shared)

    def _begun(self, source: Kept | None, shared: int, length: int) -> Kept:
        """A new sequence, with what it shares copied from `source`, which stays if there is room.

        Where nothing else can go, `source` itself is rolled back.
        """
        needed = self._graph.cache_bytes(self._reach(length))
        self._evict(needed, source, 1)
        if source is not None and not self._fits(needed, 1):
            source.sequence.rewind(shared)
            return source
        kept = Kept(LiveSequence(self._graph, self._chunk))
        if source is not None:
            kept.sequence.copy_from(source.sequence, shared)
        self._pool.append(kept)
        return kept

    def _make_room(self, kept: Kept, length: int) -> None:
        """Memory for what `kept` is about to write."""
        grown = self._graph.cache_bytes(max(self._reach(length), kept.sequence.written))
        self._evict(grown - self._bytes(kept), kept, 0)

    def _reach(self, length: int) -> int:
        return min(length + ROOM_TO_WRITE, self.capacity)

    def _evict(self, needed: int, spared: Kept | None, more: int) -> None:
        """Drop sequences until `more` of `needed` bytes fit, or only `spared` is left."""
        latest = {kept.document: kept.used for kept in sorted(self._pool, key=lambda k: k.used)}
        for kept in sorted(self._pool, key=lambda k: (latest[k.document] == k.used, k.used)):
            if self._fits(needed, more):
                return
            if kept is not spared:
                self._pool.remove(kept)

    def _fits(self, needed: int, more: int) -> bool:
        return self.bytes + needed <= self._budget and len(self._pool) + more <= self._most

    def _bytes(self, kept: Kept) -> int:
        return self._graph.cache_bytes(kept.sequence.written)


def common_prefix(one: Sequence[int], other: Sequence[int] | NDArray[np.int64]) -> int:
    """How many tokens the two have in common from the start."""
    limit = min(len(one), len(other))
    differ = np.flatnonzero(np.asarray(one[:limit]) != np.asarray(other[:limit]))
    return int(differ[0]) if len(differ) else limit
