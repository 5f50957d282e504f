"""A run of token ids whose keys and values lie in one cache: continued, and rolled back by length.

New ids run in chunks, so that a newer request can interrupt; guesses may follow them, and are
judged in the same pass. Knows token ids and a `Graph`; knows no text, no sockets, no ONNX.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.errors import ModelError

Interrupt = Callable[[], None]
"""Called before every pass; whatever it raises ends the work, and the cache stays valid."""

Logits = NDArray[np.float32]  # (V,)
Rows = NDArray[np.float32]  # (R, V): the logits behind each of R tokens
Branches = dict[tuple[int, ...], Logits]
"""The logits behind paths of tokens, all of which set out from one prompt."""


class Graph(Protocol):
    """A model's forward pass over keys and values that stay in place (docs/architecture.md)."""

    capacity: int

    def new_cache(self) -> Any:
        """Room for the keys and values of one sequence of at most `capacity` tokens."""
        ...

    def run(self, cache: Any, past: int, ids: NDArray[np.int64]) -> Logits:
        """Append `ids` (T,) after the `past` tokens of `cache`; the last one's logits (V,).

        The result is overwritten by the next run. Raises ModelError if the pass fails.
        """
        ...


@runtime_checkable
class ServingGraph(Protocol):
    """A `Graph` that serving gets the most of: guesses, copies, and memory that is counted.

    `least` is how many tokens a pass must have for its results not to depend on their number.
    """

    capacity: int
    least: int

    def new_cache(self) -> Any:
        """As `Graph.new_cache`."""
        ...

    def copy_cache(self, source: Any, target: Any, length: int) -> bool:
        """Copy the first `length` tokens' keys and values; False where the device does not."""
        ...

    def cache_bytes(self, length: int) -> int:
        """The memory of a cache into which `length` tokens were written."""
        ...

    def run_rows(self, cache: Any, past: int, ids: NDArray[np.int64], rows: int) -> Rows:
        """As `Graph.run`, with the logits (R, V) of the last `rows` tokens; 0 if none is read."""
        ...


@runtime_checkable
class KeepingGraph(Protocol):
    """A graph whose keys and values can be read, and written back, at a hundredth of a pass."""

    def read_cache(self, cache: Any, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        """Copies of the keys and values of some tokens; none where the device keeps them."""
        ...

    def write_cache(self, cache: Any, start: int, kept: tuple[NDArray[Any], ...]) -> None:
        """Put such copies back."""
        ...


@dataclass(frozen=True)
class Tail:
    """The end of a sequence: its ids from `start` on, with their keys and values."""

    start: int
    ids: tuple[int, ...]
    parts: tuple[NDArray[Any], ...]


class PlainGraph:
    """A `Graph` in the place of a `ServingGraph`: takes no guesses, copies and counts nothing."""

    least = 1

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.capacity = graph.capacity

    def new_cache(self) -> Any:
        return self.graph.new_cache()

    def copy_cache(self, source: Any, target: Any, length: int) -> bool:
        return False

    def cache_bytes(self, length: int) -> int:
        return 0

    def run_rows(self, cache: Any, past: int, ids: NDArray[np.int64], rows: int) -> Rows:
        return self.graph.run(cache, past, ids)[None, :]


class LiveSequence:
    """Token ids whose keys and values are in the cache."""

    def __init__(self, graph: ServingGraph, chunk: int) -> None:
        self.ids: list[int] = []
        self.written = 0  # tokens for which the cache ever took memory
        self.passes = 0  # and copies: what ever wrote into the cache
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

    def take_up(self, ids: Sequence[int]) -> None:
        """Hold tokens that were rewound again. No pass may have written since they were run."""
        self.ids = list(ids)

    def keep(self, start: int) -> Tail | None:
        """What is held from token `start` on, to be put back; None where that cannot be had."""
        if not isinstance(self._graph, KeepingGraph):
            return None
        parts = self._graph.read_cache(self._cache, start, len(self.ids))
        return Tail(start, tuple(self.ids[start:]), parts) if parts else None

    def put_back(self, kept: Tail) -> None:
        """Hold what was kept again. The tokens before it must be those of then."""
        assert isinstance(self._graph, KeepingGraph)
        self._graph.write_cache(self._cache, kept.start, kept.parts)
        self.ids = [*self.ids[: kept.start], *kept.ids]

    def copy_from(self, other: "LiveSequence", length: int) -> None:
        """Begin with the first `length` tokens of another, or with none if that cannot be done."""
        self.passes += 1
        if length and self._graph.copy_cache(other._cache, self._cache, length):
            self.ids = other.ids[:length]
            self.written = max(self.written, length)

    def extend(self, ids: Sequence[int], interrupt: Interrupt) -> Logits:
        """Append at least one token; the logits (V,) after the last, until the next pass.

        Raises ModelError if they do not fit, and whatever `interrupt` raises between two chunks;
        the chunks done by then stay.
        """
        row: Logits = self.extend_guessing(ids, (), interrupt)[0]
        return row

    def extend_guessing(
        self, ids: Sequence[int], guesses: Sequence[int], interrupt: Interrupt
    ) -> Rows:
        """Append at least one token and then `guesses`; (1 + G, V): the logits after the last of
        `ids` and after each guess. What of the guesses is wrong, `rewind` takes away.

        Raises as `extend` does.
        """
        if not ids or len(ids) + len(guesses) > self.room:
            raise ModelError(
                f"{len(ids)} tokens do not fit behind the {len(self.ids)} of "
                f"{self._graph.capacity}; send a shorter prefix or lower the context budget"
            )
        last = (len(ids) - 1) // self._chunk * self._chunk
        for start in range(0, last, self._chunk):
            self._run(ids[start : start + self._chunk], 0, interrupt)
        final = [*ids[last:], *guesses]
        while len(final) < self._graph.least and self.ids:
            final.insert(0, self.ids.pop())  # run again: a pass of one token would round otherwise
        return self._run(final, 1 + len(guesses), interrupt)

    def _run(self, ids: Sequence[int], rows: int, interrupt: Interrupt) -> Rows:
        interrupt()
        self.passes += 1
        self.written = max(self.written, len(self.ids) + len(ids))
        logits = self._graph.run_rows(self._cache, len(self.ids), np.asarray(ids, np.int64), rows)
        self.ids += ids
        return logits
