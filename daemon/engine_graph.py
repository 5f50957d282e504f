"""A forward pass through ONNX Runtime, by the graph contract of docs/architecture.md.

The cache's buffers are bound once, as input and as output, so that no pass copies keys or values;
only the new ids go in and one row of logits comes out. Knows arrays; knows no text, no sockets.

On a CPU the buffers are zero pages that cost memory only where tokens were written. CUDA graphs
would need fixed addresses for `input_ids` and `past_length` as well: `OnnxGraph.run` is the place.
"""

import re
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
EXPORT_AGAIN = "export the model again with this version"


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


@dataclass(frozen=True)
class BoundCache:
    """One sequence's buffers, bound. ONNX Runtime does not keep the arrays alive: this does."""

    binding: Any
    buffers: tuple[Any, ...]


class OnnxGraph:
    """A session as a `Graph`. Raises ModelError if its inputs and outputs break the contract."""

    def __init__(self, session: Any, capacity: int, *, cuda: bool = False) -> None:
        self.capacity = capacity
        self.shape = cache_shape(session)
        self._session = session
        self._device = "cuda" if cuda else "cpu"
        self._last = np.zeros(1, np.int64)
        self._past = np.zeros(1, np.int32)
        self.vocabulary = vocabulary(session)
        self._logits: NDArray[np.float32] = np.zeros((1, 1, self.vocabulary), np.float32)

    def new_cache(self) -> BoundCache:
        """Zeros, bound as `past` and as `present`, and the place for the logits."""
        from onnxruntime import OrtValue

        binding = self._session.io_binding()
        logits = OrtValue.ortvalue_from_numpy(self._logits)
        binding.bind_ortvalue_output("logits", logits)
        buffers = [logits]
        for layer in range(self.shape.layers):
            for part in ("key", "value"):
                zeros = np.zeros(self.shape.buffer(self.capacity), self.shape.dtype)
                buffer = OrtValue.ortvalue_from_numpy(zeros, self._device, 0)
                binding.bind_ortvalue_input(f"past.{layer}.{part}", buffer)
                binding.bind_ortvalue_output(f"present.{layer}.{part}", buffer)
                buffers.append(buffer)
        return BoundCache(binding, tuple(buffers))

    def run(self, cache: BoundCache, past: int, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Graph.run`."""
        if not 0 <= ids.min() <= ids.max() < self.vocabulary:  # the runtime would not notice
            raise ModelError(f"a token id outside 0…{self.vocabulary - 1}; {EXPORT_AGAIN}")
        self._last[0] = len(ids) - 1
        self._past[0] = past
        try:
            cache.binding.bind_cpu_input("input_ids", ids[None, :])
            cache.binding.bind_cpu_input("past_length", self._past)
            cache.binding.bind_cpu_input("rows", self._last)
            self._session.run_with_iobinding(cache.binding)
        except Exception as error:  # the runtime has an exception class for each status code
            raise ModelError(f"the model's forward pass failed: {error}") from error
        logits: NDArray[np.float32] = self._logits[0, 0]
        return logits


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


def vocabulary(session: Any) -> int:
    """The size of the vocabulary, from the shape of `logits`."""
    shapes = {node.name: node.shape for node in session.get_outputs()}
    size = shapes.get("logits", [None])[-1]
    if not isinstance(size, int):
        raise ModelError(f"the graph's logits have no fixed vocabulary; {EXPORT_AGAIN}")
    return size
