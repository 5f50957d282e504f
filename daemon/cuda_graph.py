"""Forward passes on a GPU over many lanes: sequences side by side in one cache, decoded together.

A lane is the place of one sequence's keys and values in buffers that hold all lanes. A step runs
one token in each of the first B lanes; a chunk runs several in one. Both end in the chosen tokens
(`cuda-step.onnx`, made by `autocoder.export.cuda_step`), so that some bytes come back from the
device, and logits never do. Where the model has a kernel of its own (`cuda_kernel.py`), that runs
what is no more than a few tokens, in half the time.

What is run often is captured as a CUDA graph, which ONNX Runtime replays for a tenth of the host's
work. That needs fixed shapes and addresses: so the small inputs have buffers of their own, written
in place (`cuda_buffers.py`), and the lanes that a graph works on are given as addresses. Passes
come in a few sizes, for each of which cuDNN makes a plan first: a chunk is filled up to the next
one with tokens that later ones overwrite. A step leaves no lane out, but a lane that is not to move
runs its first token again, which is there already.

The same passes run on a CPU, for tests. Knows arrays; knows no text and no requests. All calls must
come from one thread, since a captured graph belongs to its thread.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.cuda_buffers import Bound, Form, Mask, fixed
from autocoder.daemon.cuda_kernel import MOST, Buffers, Kernel
from autocoder.daemon.engine_graph import ELEMENT_TYPES, EXPORT_AGAIN, CacheShape, vocabulary
from autocoder.daemon.errors import CudaFailed, ModelError

STEPPED = (1, 8, 32, 64, 128, 256, 512, 1024)  # lanes of a step
CHUNKED = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)  # tokens of a chunk
LARGEST_CAPTURED = 16  # tokens of a chunk: beyond, the device has more to do than the host
MOST_CAPTURED = 256  # graphs; each takes a few megabytes of the device
NARROW = 8  # tokens in a pass up to which 4-bit blocks are faster than weights spread out
CAPTURING_RUNS = 3  # the runtime captures at the second or third
FILLER = 0  # a token that nobody reads
APART = 0.02  # of their length, that logits of kernel and graph may differ; 0.003 is usual

First = Callable[[int, int], Sequence[int]]
"""The first tokens of the lanes from one to another."""


@dataclass(frozen=True)
class Chosen:
    """A token, and the probability that the model gave it."""

    token: int
    probability: float


class StepGraph:
    """A session of `cuda-step.onnx` and the buffers of its lanes.

    `wide` is one of `cuda-wide.onnx`, for passes of many tokens. `device` is "cuda" or "cpu";
    `captures`: whether the sessions may capture CUDA graphs; `fills`: whether chunks are filled up.
    Raises ModelError for another graph, CudaFailed where the lanes do not fit on the device.
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
        fills: bool = True,
    ) -> None:
        self.capacity = capacity
        self.lanes = lanes
        self.device = device
        self.shape = _cache_shape(session)
        self.vocabulary = vocabulary(session)
        self.passes = 0
        self._session = session
        self._wide = wide or session
        self._captures = captures and device == "cuda"
        self._fills = fills
        self._learnt = any(node.name == "positions" for node in session.get_inputs())
        self._bound: dict[Form, Bound] = {}
        self._captured = 0
        self._kernel: Kernel | None = None
        self._row = 0
        self._offsets: Mapping[int, int] = {}
        self._most = fixed(np.array([capacity], np.int32), "cpu")
        rows = max(lanes, LARGEST_CAPTURED)
        try:
            self._caches = self._allocated()
            # What the last pass left behind: its rows, one after the other.
            self.logits = fixed(np.zeros((rows, self.vocabulary), np.float32), device)
            self._mask = Mask(session, rows, self.vocabulary, device)
        except Exception as error:  # the runtime has an exception class for each status code
            raise CudaFailed(f"{lanes} sequences do not fit on the device: {error}") from error

    @property
    def bytes(self) -> int:
        """The memory of all lanes on the device."""
        return self.lanes * self.shape.bytes_at(self.capacity)

    def take_kernel(self, opened: Callable[[Buffers], Kernel]) -> None:
        """From now on passes of up to MOST tokens run in a kernel, if it says what the graph says.

        Overwrites the first lane. Raises ModelError where it does not, CudaFailed where it fails.
        """
        ids = [int(each) for each in np.linspace(1, self.vocabulary - 1, MOST)]
        self.chunk(0, 0, ids, MOST)
        wanted = self._logits_of(range(self._row, self._row + MOST))
        kernel = opened(self._buffers())
        kernel.run([(0, place, token) for place, token in enumerate(ids)])
        found = self._logits_of(range(MOST))
        kernel.run([(0, MOST - 1, ids[-1])])
        apart = max(_apart(found, wanted), _apart(self._logits_of(range(1)), wanted[-1:]))
        if not apart <= APART:
            raise ModelError(f"the kernel's logits are {apart:.3g} away from the graph's")
        self._kernel = kernel

    def step(
        self,
        fed: Mapping[int, tuple[int, int]],
        resting: First,
        allowed: Mapping[int, NDArray[np.int64]] | None = None,
    ) -> dict[int, Chosen]:
        """Run one token in each lane of `fed`, lane → (token, its place); what each chose.

        `resting` gives the first token of the lanes, run again at place 0 where nothing is fed;
        `allowed` the tokens that a lane may choose, where not all. Raises CudaFailed.
        """
        if self._kernel is not None and len(fed) <= MOST:
            self._offsets = {lane: row for row, lane in enumerate(fed)}
            tokens = [(lane, place, token) for lane, (token, place) in fed.items()]
            rows = {self._offsets[lane]: kept for lane, kept in (allowed or {}).items()}
            told = self._by_kernel(tokens, rows)
            return {lane: _chosen(told[row]) for lane, row in self._offsets.items()}
        first, lanes = self._covering(fed)
        self._offsets = {lane: lane - first for lane in fed}
        ids = np.array(resting(first, first + lanes), np.int64)[:, None]
        last = np.zeros(lanes, np.int32)
        for lane, (token, place) in fed.items():
            ids[lane - first], last[lane - first] = token, place
        rows = {lane - first: tokens for lane, tokens in (allowed or {}).items()}
        told = self._run(Form(first, lanes, 1, 1), ids, last, _ROW, rows)
        return {lane: _chosen(told[row, 0]) for lane, row in self._offsets.items()}

    def chunk(
        self,
        lane: int,
        past: int,
        ids: Sequence[int],
        rows: int = 1,
        allowed: Mapping[int, NDArray[np.int64]] | None = None,
    ) -> list[Chosen]:
        """Append `ids` after the `past` tokens of a lane; the choices after the last `rows`.

        `allowed`: as for a step, by the number of the row. Raises CudaFailed.
        """
        if self._kernel is not None and len(ids) <= MOST:
            self._row = len(ids) - rows
            tokens = [(lane, past + at, token) for at, token in enumerate(ids)]
            masked = {self.row(number): kept for number, kept in (allowed or {}).items()}
            told = self._by_kernel(tokens, masked)
            return [_chosen(each) for each in told[self._row :]]
        size = self._filled(past, len(ids))
        array = np.full((1, size), FILLER, np.int64)
        array[0, : len(ids)] = ids
        told_rows = size if rows > 1 and size <= LARGEST_CAPTURED else rows  # few forms
        start = 0 if told_rows == size else len(ids) - rows
        self._row = len(ids) - rows - start
        form = Form(lane, 1, size, told_rows)
        last = np.array([past + size - 1], np.int32)
        wanted = np.arange(start, start + told_rows)
        masked = {self.row(number): tokens for number, tokens in (allowed or {}).items()}
        told = self._run(form, array, last, wanted, masked)[0]
        return [_chosen(told[self.row(number)]) for number in range(rows)]

    def row(self, number: int) -> int:
        """Which row of `logits` is the `number`th that the last chunk told."""
        return self._row + number

    def offset(self, lane: int) -> int:
        """Which row of `logits` a lane of the last step has."""
        return self._offsets[lane]

    def copy(self, source: int, target: int) -> bool:
        """Copy a lane's keys and values to another; False where the runtime cannot."""
        try:
            for one, other in zip(self._views(source), self._views(target), strict=True):
                other.update_inplace(one)
        except (RuntimeError, TypeError, AttributeError):
            return False
        return True

    def warm_up(self) -> None:
        """Run every size, in lanes that nobody uses yet: plans are made and steps captured now,
        since nobody types on while that is done. Raises CudaFailed.
        """
        for size in CHUNKED:
            if size <= self.capacity:
                self.chunk(0, 0, [FILLER] * size)
        for lanes in sorted({min(size, self.lanes) for size in STEPPED[1:]}):
            ids, last = np.full((lanes, 1), FILLER, np.int64), np.zeros(lanes, np.int32)
            self._run(Form(0, lanes, 1, 1), ids, last, _ROW, {})
        while self.capture_next(lambda lane: [], uses=1):
            pass

    def capture_next(self, held: Callable[[int], Sequence[int]], uses: int = 2) -> bool:
        """Capture one form that was used so often, which takes some 20 ms: while nothing else is to
        be done. False where there is none. What it runs is there already: `held` gives the tokens
        of a lane.

        Raises CudaFailed.
        """
        for form, bound in self._bound.items():
            if bound.captured or bound.uses < uses or not self._may_capture(form):
                continue
            lanes = range(form.first, form.first + form.lanes)
            tokens = [held(lane)[: form.tokens] for lane in lanes]
            if any(0 < len(each) < form.tokens for each in tokens):
                continue
            ids = np.array([list(each) or [FILLER] * form.tokens for each in tokens], np.int64)
            last = np.full(form.lanes, form.tokens - 1, np.int32)
            self._captured += 1
            bound.capture_as(self._captured)
            for _ in range(CAPTURING_RUNS):
                self._run(form, ids, last, np.arange(form.rows), {})
            return True
        return False

    def _covering(self, fed: Iterable[int]) -> tuple[int, int]:
        """The lanes that a step runs: one alone, or the first so many."""
        lanes = list(fed)
        if len(lanes) == 1:
            return lanes[0], 1
        needed = max(lanes) + 1
        size = next((size for size in STEPPED if size >= needed), needed)
        return 0, min(size, self.lanes)

    def _filled(self, past: int, count: int) -> int:
        """How many tokens a chunk of `count` is filled up to."""
        size = next((size for size in CHUNKED if size >= count), count)
        return size if self._fills and past + size <= self.capacity else count

    def _run(
        self,
        form: Form,
        ids: NDArray[np.int64],
        last: NDArray[np.int32],
        rows: NDArray[np.int64],
        allowed: Mapping[int, NDArray[np.int64]],
    ) -> NDArray[np.float32]:
        """One pass; `told` (B, R, 2)."""
        self.passes += 1
        try:
            bound = self._bound.get(form) or self._bind(form)
            bound.write(ids, last, rows)
            self._mask.allow(allowed)
            bound.uses += 1
            self._serving(form).run_with_iobinding(bound.binding, bound.options)
            told: NDArray[np.float32] = bound.told.numpy()
        except Exception as error:  # the runtime has an exception class for each status code
            raise CudaFailed(f"a pass on the device failed: {error}") from error
        return told

    def _by_kernel(
        self, tokens: Sequence[tuple[int, int, int]], allowed: Mapping[int, NDArray[np.int64]]
    ) -> NDArray[np.float32]:
        """One pass of tokens, each (lane, place, token); `told` (N, 2)."""
        assert self._kernel is not None
        self.passes += 1
        try:
            self._mask.allow(allowed)
        except Exception as error:  # as above
            raise CudaFailed(f"a pass on the device failed: {error}") from error
        return self._kernel.run(tokens)

    def _logits_of(self, rows: range) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self.logits.numpy()
        return found[rows.start : rows.stop].copy()

    def _buffers(self) -> Buffers:
        """What a kernel works on."""
        lane = self.shape.heads * self.capacity * self.shape.size
        caches = {name: cache.data_ptr() for name, cache in self._caches.items()}
        return Buffers(self.capacity, lane, caches, self._mask.place, self.logits.data_ptr())

    def _may_capture(self, form: Form) -> bool:
        small = form.tokens <= LARGEST_CAPTURED
        return self._captures and small and self._captured < MOST_CAPTURED

    def _bind(self, form: Form) -> Bound:
        """Buffers for a form; kept, where it comes again and again."""
        binding = self._serving(form).io_binding()
        made = Bound.of(binding, form, self._most, self.device, self._learnt, self._captures)
        shape = [form.lanes, form.rows, self.vocabulary]
        place = self.logits.data_ptr()
        binding.bind_output("logits", self.device, 0, np.float32, shape, place)
        binding.bind_input("allowed", self.device, 0, np.bool_, shape, self._mask.place)
        for name, cache in self._caches.items():
            self._bind_cache(binding, name, cache, form)
        if form.tokens in CHUNKED[:5] and len(self._bound) < 4 * MOST_CAPTURED:
            self._bound[form] = made
        return made

    def _serving(self, form: Form) -> Any:
        """The session that a form runs on."""
        return self._wide if form.lanes * form.tokens > NARROW else self._session

    def _views(self, lane: int) -> list[Any]:
        """One lane's keys and values: a binding makes them of addresses."""
        binding = self._session.io_binding()
        for name, cache in self._caches.items():
            self._bind_cache(binding, name, cache, Form(lane, 1, 1, 1))
        return list(binding.get_outputs())

    def _bind_cache(self, binding: Any, name: str, cache: Any, form: Form) -> None:
        heads, size = self.shape.heads, self.shape.size
        stride = heads * self.capacity * size * self.shape.dtype.itemsize
        shape = [form.lanes, heads, self.capacity, size]
        place = cache.data_ptr() + form.first * stride
        described = (self.device, 0, self.shape.dtype.type, shape, place)
        binding.bind_input(f"past.{name}", *described)
        binding.bind_output(f"present.{name}", *described)

    def _allocated(self) -> dict[str, Any]:
        names = [f"{i}.{part}" for i in range(self.shape.layers) for part in ("key", "value")]
        shape = (self.lanes, self.shape.heads, self.capacity, self.shape.size)
        return {name: fixed(np.zeros(shape, self.shape.dtype), self.device) for name in names}


_ROW = np.zeros(1, np.int64)


def _apart(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """How far the worst row is from what it should be, by its own length; nan where one is."""
    lengths = np.linalg.norm(wanted, axis=-1)
    return float(np.max(np.linalg.norm(found - wanted, axis=-1) / lengths))


def _chosen(told: NDArray[np.float32]) -> Chosen:
    return Chosen(int(told[0]), float(told[1]))


def _cache_shape(session: Any) -> CacheShape:
    """What the session's `past.{i}.key` inputs say. Raises ModelError where there are none."""
    inputs = {node.name: node for node in session.get_inputs()}
    layers = sum(1 for name in inputs if re.fullmatch(r"past\.\d+\.key", name))
    missing = {"input_ids", "last", "most", "rows", "allowed", "past.0.key"} - set(inputs)
    if missing:
        raise ModelError(f"the graph for CUDA has no input {min(missing)!r}; {EXPORT_AGAIN}")
    first = inputs["past.0.key"]
    return CacheShape(layers, first.shape[1], first.shape[3], ELEMENT_TYPES[first.type])
