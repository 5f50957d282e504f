"""Forward passes on a GPU over many lanes: sequences side by side in one cache, decoded together.

A lane is the place of one sequence's keys and values in buffers that hold all lanes. A step runs
one token in each of the first B lanes; a chunk runs several in one. Both end in the chosen tokens
(`cuda-step.onnx`, made by `autocoder.export.cuda_step`), so that some bytes come back from the
device, and logits never do.

What is run often is captured as a CUDA graph, which ONNX Runtime replays for a tenth of the host's
work. That needs fixed shapes and addresses: so the small inputs have buffers of their own, written
in place, the lanes a graph works on are given as addresses, and a chunk is filled up to the next
size that is captured, with tokens that later ones overwrite. A step leaves no lane out, but a lane
that is not to move runs its first token again, which is there already.

The same passes run on a CPU, for tests. Knows arrays; knows no text and no requests. All calls must
come from one thread, since a captured graph belongs to its thread.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.engine_graph import ELEMENT_TYPES, EXPORT_AGAIN, CacheShape, vocabulary
from autocoder.daemon.errors import ModelError

STEPPED = (1, 8, 32, 64, 128, 256, 512, 1024)  # lanes of a captured step
CHUNKED = (1, 2, 4, 8, 16)  # tokens of a captured chunk
MOST_CAPTURED = 256  # graphs; each takes a few megabytes of the device
FILLER = 0  # a token that nobody reads


@dataclass(frozen=True)
class Chosen:
    """A token, and the probability that the model gave it."""

    token: int
    probability: float


@dataclass(frozen=True)
class Form:
    """What a pass runs on: `tokens` each in `lanes` lanes from `first` on, and logits of `rows`."""

    first: int
    lanes: int
    tokens: int
    rows: int


class CudaFailed(ModelError):
    """The device cannot go on: out of memory, or lost. The CPU can serve instead."""


class StepGraph:
    """A session of `cuda-step.onnx` and the buffers of its lanes.

    `wide` is one of `cuda-wide.onnx`, for passes of more than one token. `device` is "cuda" or
    "cpu"; `captures`: whether the sessions may capture CUDA graphs. Raises ModelError for another
    graph, CudaFailed where the lanes do not fit on the device.
    """

    def __init__(
        self,
        session: Any,
        capacity: int,
        lanes: int,
        *,
        wide: Any = None,
        device: str = "cuda",
        captures: bool = True,
    ) -> None:
        self.capacity = capacity
        self.lanes = lanes
        self.device = device
        self.shape = _cache_shape(session)
        self.vocabulary = vocabulary(session)
        self.passes = 0
        self._row = 0
        self._session = session
        self._wide = wide or session
        self._captures = captures and device == "cuda"
        self._learnt = any(node.name == "positions" for node in session.get_inputs())
        self._caches = self._allocated()
        self._bound: dict[Form, _Bound] = {}
        self._most = self._on_cpu(np.array([capacity], np.int32))
        self.logits: Any = None  # of the last pass: (B, R, V) on the device

    @property
    def bytes(self) -> int:
        """The memory of all lanes on the device."""
        return self.lanes * self.shape.bytes_at(self.capacity)

    def step(
        self,
        fed: Mapping[int, tuple[int, int]],
        resting: Callable[[int, int], Sequence[int]],
    ) -> dict[int, Chosen]:
        """Run one token in each lane of `fed`, lane → (token, its place); what each chose.

        `resting` gives the first token of the lanes from one to another, run again at place 0
        where nothing is fed. Raises CudaFailed.
        """
        first, lanes = self._covering(fed)
        ids = np.array(resting(first, first + lanes), np.int64)[:, None]
        last = np.zeros(lanes, np.int32)
        for lane, (token, place) in fed.items():
            ids[lane - first], last[lane - first] = token, place
        told = self._run(Form(first, lanes, 1, 1), ids, last, _ROW)
        return {lane: _chosen(told[lane - first], 0) for lane in fed}

    def chunk(self, lane: int, past: int, ids: Sequence[int], rows: int = 1) -> list[Chosen]:
        """Append `ids` after the `past` tokens of a lane; the choices after the last `rows`.

        Raises CudaFailed.
        """
        size = self._filled(lane, past, len(ids))
        array = np.full((1, size), FILLER, np.int64)
        array[0, : len(ids)] = ids
        told_rows = size if rows > 1 and size in CHUNKED else rows  # few forms are captured
        start = 0 if told_rows == size else len(ids) - rows
        last = np.array([past + size - 1], np.int32)
        form = Form(lane, 1, size, told_rows)
        told = self._run(form, array, last, np.arange(start, start + told_rows))[0]
        self._row = len(ids) - rows - start
        return [_chosen(told, self._row + row) for row in range(rows)]

    def row(self, number: int) -> int:
        """Which row of `logits` is the `number`th that the last chunk told."""
        return self._row + number

    def _filled(self, lane: int, past: int, count: int) -> int:
        """How many tokens a chunk of `count` is filled up to."""
        size = next((size for size in CHUNKED if size >= count), count)
        if not self._captures or past + size > self.capacity or self._full(lane, size):
            return count
        return size

    def copy(self, source: int, target: int) -> bool:
        """Copy a lane's keys and values to another; False where the runtime cannot."""
        try:
            for one, other in zip(self._views(source), self._views(target), strict=True):
                other.update_inplace(one)
        except (RuntimeError, TypeError, AttributeError):
            return False
        return True

    def _views(self, lane: int) -> list[Any]:
        """One lane's keys and values: a binding makes them of addresses."""
        binding = self._session.io_binding()
        for name, cache in self._caches.items():
            self._bind_cache(binding, name, cache, Form(lane, 1, 1, 1))
        return list(binding.get_outputs())

    def offset(self, lane: int, fed: Mapping[int, Any]) -> int:
        """Which row of `logits` a lane of the last step has."""
        return lane - self._covering(fed)[0]

    def _covering(self, fed: Mapping[int, Any]) -> tuple[int, int]:
        """The lanes that a step runs: one alone, or the first so many."""
        if len(fed) == 1:
            return next(iter(fed)), 1
        needed = max(fed) + 1
        size = next((size for size in STEPPED if size >= needed), needed)
        return 0, min(size, self.lanes)

    def _full(self, lane: int, size: int) -> bool:
        known = Form(lane, 1, size, 1) in self._bound
        return len(self._bound) >= MOST_CAPTURED and not known

    def _run(
        self, form: Form, ids: NDArray[np.int64], last: NDArray[np.int32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """One pass; `told` (B, 2·R)."""
        self.passes += 1
        try:
            bound = self._bound.get(form) or self._bind(form)
            bound.write(ids, last, rows)
            self._serving(form).run_with_iobinding(bound.binding, bound.options)
            self.logits = bound.logits
            told: NDArray[np.float32] = bound.told.numpy()
        except Exception as error:  # the runtime has an exception class for each status code
            raise CudaFailed(f"a pass on the device failed: {error}") from error
        return told

    def _bind(self, form: Form) -> "_Bound":
        """Buffers for a form; kept, where its graph is captured or is used again and again."""
        binding = self._serving(form).io_binding()
        made = _Bound(
            binding,
            self._options(len(self._bound) if self._kept(form) else None),
            self._zeros((form.lanes, form.tokens), np.int64),
            self._zeros((form.lanes,), np.int32),
            self._zeros((form.rows,), np.int64),
            self._zeros((form.lanes, form.tokens), np.int64) if self._learnt else None,
            self._zeros((form.lanes, 2 * form.rows), np.float32),
            self._zeros((form.lanes, form.rows, self.vocabulary), np.float32),
        )
        made.bind(self._most)
        for name, cache in self._caches.items():
            self._bind_cache(binding, name, cache, form)
        if self._kept(form):
            self._bound[form] = made
        return made

    def _serving(self, form: Form) -> Any:
        """The session that a form runs on."""
        return self._wide if form.lanes * form.tokens > 1 else self._session

    def _kept(self, form: Form) -> bool:
        small = form.tokens in CHUNKED
        return small and (len(self._bound) < MOST_CAPTURED or form in self._bound)

    def _bind_cache(self, binding: Any, name: str, cache: Any, form: Form) -> None:
        heads, size = self.shape.heads, self.shape.size
        stride = heads * self.capacity * size * self.shape.dtype.itemsize
        shape = [form.lanes, heads, self.capacity, size]
        place = cache.data_ptr() + form.first * stride
        described = (self.device, 0, self.shape.dtype.type, shape, place)
        binding.bind_input(f"past.{name}", *described)
        binding.bind_output(f"present.{name}", *described)

    def _options(self, number: int | None) -> Any:
        from onnxruntime import RunOptions

        options = RunOptions()
        if self._captures:
            graph = -1 if number is None else number + 1
            options.add_run_config_entry("gpu_graph_id", str(graph))
        return options

    def _allocated(self) -> dict[str, Any]:
        names = [f"{i}.{part}" for i in range(self.shape.layers) for part in ("key", "value")]
        shape = (self.lanes, self.shape.heads, self.capacity, self.shape.size)
        try:
            return {name: self._zeros(shape, self.shape.dtype.type) for name in names}
        except Exception as error:
            raise CudaFailed(f"{self.lanes} sequences do not fit on the device: {error}") from error

    def _zeros(self, shape: tuple[int, ...], kind: Any) -> Any:
        from onnxruntime import OrtValue

        return OrtValue.ortvalue_from_numpy(np.zeros(shape, kind), self.device, 0)

    @staticmethod
    def _on_cpu(array: NDArray[Any]) -> Any:
        from onnxruntime import OrtValue

        return OrtValue.ortvalue_from_numpy(array)


_ROW = np.zeros(1, np.int64)


@dataclass(frozen=True)
class _Bound:
    """The buffers of one form, at addresses that do not change."""

    binding: Any
    options: Any
    ids: Any
    last: Any
    rows: Any
    positions: Any
    told: Any
    logits: Any

    def bind(self, most: Any) -> None:
        """Bind all but the caches."""
        named = {"input_ids": self.ids, "last": self.last, "rows": self.rows, "most": most}
        if self.positions is not None:
            named["positions"] = self.positions
        for name, value in named.items():
            self.binding.bind_ortvalue_input(name, value)
        self.binding.bind_ortvalue_output("told", self.told)
        self.binding.bind_ortvalue_output("logits", self.logits)

    def write(
        self, ids: NDArray[np.int64], last: NDArray[np.int32], rows: NDArray[np.int64]
    ) -> None:
        self.ids.update_inplace(ids)
        self.last.update_inplace(last)
        if ids.shape[1] > 1:
            self.rows.update_inplace(rows)
        if self.positions is not None:
            count = ids.shape[1]
            places = last.astype(np.int64)[:, None] - np.arange(count - 1, -1, -1)
            self.positions.update_inplace(places)


def _chosen(told: NDArray[np.float32], row: int) -> Chosen:
    return Chosen(int(told[row]), float(told[len(told) // 2 + row]))


def _cache_shape(session: Any) -> CacheShape:
    """What the session's `past.{i}.key` inputs say. Raises ModelError where there are none."""
    inputs = {node.name: node for node in session.get_inputs()}
    layers = sum(1 for name in inputs if re.fullmatch(r"past\.\d+\.key", name))
    missing = {"input_ids", "last", "most", "rows", "past.0.key"} - set(inputs)
    if missing:
        raise ModelError(f"the graph for CUDA has no input {min(missing)!r}; {EXPORT_AGAIN}")
    first = inputs["past.0.key"]
    return CacheShape(layers, first.shape[1], first.shape[3], ELEMENT_TYPES[first.type])
