"""A forward pass through ONNX Runtime, by the graph contract of docs/architecture.md.

The cache's buffers are bound once, as input and as output, so that no pass copies keys or values;
only the new ids go in and one row of logits comes out. Knows arrays; knows no text, no sockets.

On a CPU the buffers are zero pages that cost memory only where tokens were written, and go back to
the system with the cache. On CUDA this serves only where the lanes of `cuda_graph.py` are not to
be had.

On a CPU, passes agree to the last bit however the tokens are shared out among them, so that what is
generated depends not on what was guessed. Attention by single query heads would break that: the
runtime multiplies one row by another kernel than several, whose rounding differs (by up to 0.3 in
a logit, the activations being int8). Graphs whose heads share keys therefore take several rows a
token (`KEYS_PER_TOKEN`, export/grouped.py); of the others, serving asks for no pass of fewer than
`least` tokens.

Most of a long prompt goes through a graph of its own, once that is loaded (`widen`): twice as fast,
and rounded otherwise. The tokens whose logits are wanted never do.
"""

import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.errors import ModelError

ELEMENT_TYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
}
KEYS_PER_TOKEN = "keys_per_token"  # in a graph's metadata: what grouped attention needs
EXPORT_AGAIN = "export the model again with this version"
FEWEST_PREFILLED = 40  # tokens: below, the prefill graph is no faster (docs/performance.md)


@dataclass(frozen=True)
class CacheShape:
    """The layers' keys and values: (1, heads, capacity, size) of `dtype` each."""

    layers: int
    heads: int
    size: int
    dtype: np.dtype[Any]

    def buffer(self, capacity: int) -> tuple[int, int, int, int]:
        return (1, self.heads, capacity, self.size)

    def bytes_at(self, capacity: int) -> int:
        """Bytes of one sequence's cache."""
        return 2 * self.layers * prod(self.buffer(capacity)) * self.dtype.itemsize


@dataclass
class BoundCache:
    """One sequence's buffers, bound. ONNX Runtime does not keep the arrays alive: this does."""

    binding: Any
    buffers: Mapping[str, Any]  # by the names of the layers' keys and values, "0.key" and so on
    arrays: tuple[NDArray[Any], ...]  # (1, K, C, H) each, the memory itself; none on CUDA
    prefill: Any = None  # the same buffers bound to the prefill graph, once it was used


class OnnxGraph:
    """A session as a `Graph`. Raises ModelError if its inputs and outputs break the contract."""

    def __init__(self, session: Any, capacity: int, *, cuda: bool = False) -> None:
        self.capacity = capacity
        self.shape = cache_shape(session)
        self.vocabulary = vocabulary(session)
        self._session = session
        self._prefill: Any = None
        self._cuda = cuda
        self.least = 1 if cuda or keys_per_token(session) else 2
        self._longest = longest_pass(session, capacity)
        self._past = np.zeros(1, np.int32)
        self._logits: dict[int, tuple[Any, NDArray[np.float32]]] = {}

    def widen(self, prefill: Any) -> None:
        """Take a session of the prefill graph. Callable from any thread, between any two passes."""
        self._prefill = prefill

    def new_cache(self) -> BoundCache:
        """Zeros, bound as `past` and as `present`."""
        from onnxruntime import OrtValue

        names = [f"{i}.{part}" for i in range(self.shape.layers) for part in ("key", "value")]
        arrays = zero_pages(len(names), self.shape.buffer(self.capacity), self.shape.dtype)
        device = "cuda" if self._cuda else "cpu"
        buffers = {
            name: OrtValue.ortvalue_from_numpy(zeros, device, 0)
            for name, zeros in zip(names, arrays, strict=True)
        }
        return BoundCache(bound(self._session, buffers), buffers, () if self._cuda else arrays)

    def copy_cache(self, source: BoundCache, target: BoundCache, length: int) -> bool:
        """See `ServingGraph.copy_cache`."""
        for one, other in zip(source.arrays, target.arrays, strict=True):
            other[:, :, :length] = one[:, :, :length]
        return bool(source.arrays)

    def read_cache(self, cache: BoundCache, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        """Copies of the keys and values of some tokens; none where the device keeps them."""
        return tuple(array[:, :, start:stop].copy() for array in cache.arrays)

    def write_cache(self, cache: BoundCache, start: int, kept: tuple[NDArray[Any], ...]) -> None:
        """Put such copies back."""
        for array, part in zip(cache.arrays, kept, strict=True):
            array[:, :, start : start + part.shape[2]] = part

    def cache_bytes(self, length: int) -> int:
        """See `ServingGraph.cache_bytes`."""
        if self._cuda:
            return self.shape.bytes_at(self.capacity)
        head = length * self.shape.size * self.shape.dtype.itemsize
        return 2 * self.shape.layers * self.shape.heads * whole_pages(head)

    def run(self, cache: BoundCache, past: int, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Graph.run`."""
        row: NDArray[np.float32] = self.run_rows(cache, past, ids, 1)[0]
        return row

    def run_rows(
        self, cache: BoundCache, past: int, ids: NDArray[np.int64], rows: int
    ) -> NDArray[np.float32]:
        """See `ServingGraph.run_rows`."""
        given = ids.tolist()
        if not 0 <= min(given) <= max(given) < self.vocabulary:  # the runtime would not notice
            raise ModelError(f"a token id outside 0…{self.vocabulary - 1}; {EXPORT_AGAIN}")
        # Where rows are wanted, `least` tokens go through the first graph even if none is guessed.
        prefilled = len(ids) - (rows - 1 + self.least if rows else 0)
        if prefilled >= FEWEST_PREFILLED and self._prefill is not None:
            if cache.prefill is None:
                cache.prefill = bound(self._prefill, cache.buffers)
            found = self._pass(self._prefill, cache.prefill, past, ids[:prefilled], 1)
            past, ids = past + prefilled, ids[prefilled:]
        while len(ids) > max(self._longest, rows):
            part = min(self._longest, len(ids) - rows)
            self._pass(self._session, cache.binding, past, ids[:part], 1)
            past, ids = past + part, ids[part:]
        if len(ids) > self._longest:
            return self._in_parts(cache, past, ids)
        if len(ids):
            found = self._pass(self._session, cache.binding, past, ids, max(rows, 1))
        return found

    def _in_parts(
        self, cache: BoundCache, past: int, ids: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The logits of every token, of more than a pass may have: where the capacity is small."""
        parts = np.split(ids, range(self._longest, len(ids), self._longest))
        starts = range(past, past + len(ids), self._longest)
        found = [
            self._pass(self._session, cache.binding, start, part, len(part)).copy()
            for start, part in zip(starts, parts, strict=True)
        ]
        return np.concatenate(found)

    def _pass(
        self, session: Any, binding: Any, past: int, ids: NDArray[np.int64], rows: int
    ) -> NDArray[np.float32]:
        """One run of one session; logits (R, V) of the last `rows` tokens."""
        self._past[0] = past
        place, logits = self._place_for(rows)
        try:
            binding.bind_cpu_input("input_ids", ids[None, :])
            binding.bind_cpu_input("past_length", self._past)
            binding.bind_cpu_input("rows", np.arange(len(ids) - rows, len(ids)))
            binding.bind_ortvalue_output("logits", place)
            session.run_with_iobinding(binding)
        except Exception as error:  # the runtime has an exception class for each status code
            raise ModelError(f"the model's forward pass failed: {error}") from error
        return logits

    def _place_for(self, rows: int) -> tuple[Any, NDArray[np.float32]]:
        """Where the logits of so many rows are written, the same place each time; they (R, V)."""
        from onnxruntime import OrtValue

        if rows not in self._logits:
            zeros = np.zeros((1, rows, self.vocabulary), np.float32)
            place = OrtValue.ortvalue_from_numpy(zeros)
            self._logits[rows] = place, place.numpy()[0]
        return self._logits[rows]


def bound(session: Any, buffers: Mapping[str, Any]) -> Any:
    """A binding of one sequence's keys and values, in place, to a session."""
    binding = session.io_binding()
    for name, buffer in buffers.items():
        binding.bind_ortvalue_input(f"past.{name}", buffer)
        binding.bind_ortvalue_output(f"present.{name}", buffer)
    return binding


def zero_pages(
    count: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[NDArray[Any], ...]:
    """Arrays of zeros in one mapping of their own, whose pages take memory when first written."""
    size = whole_pages(prod(shape) * dtype.itemsize)
    memory = mmap.mmap(-1, count * size)
    flat = (np.frombuffer(memory, dtype, prod(shape), number * size) for number in range(count))
    return tuple(array.reshape(shape) for array in flat)


def whole_pages(size: int) -> int:
    """`size` bytes, rounded up to pages."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def cache_shape(session: Any) -> CacheShape:
    """What the session's `past.{i}.key` inputs say. Raises ModelError where there are none."""
    inputs = {node.name: node for node in session.get_inputs()}
    layers = sum(1 for name in inputs if re.fullmatch(r"past\.\d+\.key", name))
    missing = {"input_ids", "past_length", "rows", "past.0.key", "past.0.value"} - set(inputs)
    if missing:
        raise ModelError(f"the graph has no input {min(missing)!r}; {EXPORT_AGAIN}")
    first = inputs["past.0.key"]
    _, heads, _, size = first.shape
    if first.type not in ELEMENT_TYPES or not (isinstance(heads, int) and isinstance(size, int)):
        raise ModelError(f"past.0.key is a {first.type} of {first.shape}; {EXPORT_AGAIN}")
    return CacheShape(layers, heads, size, ELEMENT_TYPES[first.type])


def keys_per_token(session: Any) -> int:
    """How much room in the cache each token of a pass needs; 0 where attention is not grouped."""
    return int(session.get_modelmeta().custom_metadata_map.get(KEYS_PER_TOKEN, 0))


def longest_pass(session: Any, capacity: int) -> int:
    """The most tokens of one pass."""
    return max(1, capacity // (keys_per_token(session) or 1))


def vocabulary(session: Any) -> int:
    """The size of the vocabulary, from the shape of `logits`."""
    shapes = {node.name: node.shape for node in session.get_outputs()}
    size = shapes.get("logits", [None])[-1]
    if not isinstance(size, int):
        raise ModelError(f"the graph's logits have no fixed vocabulary; {EXPORT_AGAIN}")
    return size
