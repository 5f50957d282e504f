"""Token ids in, logits out, recomputing only what no cached sequence already holds.

A `LiveSequence` is a run of token ids whose keys and values lie in one cache. The engine keeps a
few of them, continues the one that shares the longest beginning with the new ids, rolls it back
by its length alone, and runs only the rest, in chunks, so that a newer request can interrupt.

Knows token ids and a `Graph`; knows no text, no sockets, no ONNX.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.errors import ModelError

Interrupt = Callable[[], None]
"""Called before every pass; whatever it raises ends the work, and the cache stays valid."""


class Graph(Protocol):
    """A model's forward pass over keys and values that stay in place (docs/architecture.md)."""

    capacity: int

    def new_cache(self) -> Any:
        """Room for the keys and values of one sequence of at most `capacity` tokens."""
        ...

    def run(self, cache: Any, past: int, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Append `ids` (T,) after the `past` tokens of `cache`; the last one's logits (V,).

        The result is overwritten by the next run. Raises ModelError if the pass fails.
        """
        ...


class LiveSequence:
    """Token ids whose keys and values are in the cache."""

    def __init__(self, graph: Graph, chunk: int) -> None:
        self.ids: list[int] = []
        self._graph = graph
        self._chunk = chunk
        self._cache = graph.new_cache()

    @property
    def room(self) -> int:
        """How many tokens still fit."""
        return self._graph.capacity - len(self.ids)

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens; their keys and values stay as they are."""
        del self.ids[length:]

    def extend(self, ids: Sequence[int], interrupt: Interrupt) -> NDArray[np.float32]:
        """Append at least one token; the logits (V,) after the last, until the next pass.

        Raises ModelError if they do not fit, and whatever `interrupt` raises between two chunks;
        the chunks done by then stay.
        """
        if not 0 < len(ids) <= self.room:
            raise ModelError(
                f"{len(ids)} tokens do not fit behind the {len(self.ids)} of "
                f"{self._graph.capacity}; send a shorter prefix or lower the context budget"
            )
        for start in range(0, len(ids), self._chunk):
            interrupt()
            part = ids[start : start + self._chunk]
            logits = self._graph.run(self._cache, len(self.ids), np.asarray(part, np.int64))
            self.ids += part
        return logits


class Engine:
    """A graph and the sequences kept for it, at most `sequences`, the longest unused replaced."""

    def __init__(self, graph: Graph, *, sequences: int = 3, chunk: int = 64) -> None:
        self.capacity = graph.capacity
        self._graph = graph
        self._limit = sequences
        self._chunk = chunk
        self._live: list[LiveSequence] = []  # the most recently used last

    def prefill(
        self, ids: Sequence[int], interrupt: Interrupt
    ) -> tuple[LiveSequence, int, NDArray[np.float32]]:
        """A sequence holding exactly `ids`, how many of them were cached, the last one's logits.

        Raises ModelError where `ids` is empty or longer than the capacity.
        """
        if not 0 < len(ids) <= self.capacity:
            raise ModelError(
                f"a prompt of {len(ids)} tokens; this model takes 1 to {self.capacity}"
            )
        sequence = self._sequence_for(ids)
        # The last token is run again even where it is cached: its logits are wanted.
        cached = min(common_prefix(sequence.ids, ids), len(ids) - 1)
        sequence.rewind(cached)
        return sequence, cached, sequence.extend(ids[cached:], interrupt)

    def _sequence_for(self, ids: Sequence[int]) -> LiveSequence:
        """The best match if it shares half of the shorter one, else a new one, else the oldest.

        Half, because two documents of one language share their first tokens, and one must not
        cost the other its cache for so little.
        """
        best = max(self._live, key=lambda live: common_prefix(live.ids, ids), default=None)
        if best is None or 2 * common_prefix(best.ids, ids) < min(len(best.ids), len(ids)):
            best = self._new_sequence()
        if best in self._live:
            self._live.remove(best)
        self._live.append(best)
        return best

    def _new_sequence(self) -> LiveSequence:
        if len(self._live) < self._limit:
            return LiveSequence(self._graph, self._chunk)
        return self._live[0]


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens the two have in common from the start."""
    limit = min(len(one), len(other))
    return next((at for at in range(limit) if one[at] != other[at]), limit)
