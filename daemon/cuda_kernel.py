"""Passes of few tokens in one kernel of our own (`cuda_kernel.cu`), where a model has the shape it
was written for.

A graph's step starts some 150 kernels, which takes longer than what they do. `cuda-kernel.json`
beside the graph, made by `autocoder.export.cuda_kernel`, says which sizes the model has and where
its weights lie in the weights file. Up to MOST tokens go in one pass, of one lane or of several.

Knows weights, lanes and rows; knows no requests. The lanes and logits are those of a `StepGraph`.
"""

import ctypes
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.cuda_buffers import fixed
from autocoder.daemon.errors import ModelError

SOURCE = Path(__file__).with_name("cuda_kernel.cu")
RECORD = "cuda-kernel.json"
MOST = 8  # tokens of a pass
THREADS, HEAD, BLOCK, STRIDE, SPLITS, PART = 256, 64, 32, 36, 13, 66  # as in SOURCE
WEIGHTS = (
    *("norm", "qkv", "qkv_scales", "out", "out_scales"),
    *("second_norm", "gate_up", "gate_up_scales", "down", "down_scales"),
)
BEFORE, BEHIND = ("embedding", "embedding_scales", "cos", "sin"), ("norm", "head", "head_scales")


class Row(ctypes.Structure):
    """A token, its place in its sequence, and how many elements of a cache lie before its lane."""

    _fields_ = [("token", ctypes.c_int), ("place", ctypes.c_int), ("lane", ctypes.c_longlong)]


def pass_of(rows: int) -> Any:
    """What a launch of `rows` is told."""
    fields = [("capacity", ctypes.c_int), ("count", ctypes.c_int), ("arrivals", ctypes.c_uint)]
    return type("Pass", (ctypes.Structure,), {"_fields_": [*fields, ("rows", Row * rows)]})()


@dataclass(frozen=True)
class KernelRecord:
    """The macros that SOURCE is compiled with, and offsets in the weights file: by name, and for
    each layer by the names WEIGHTS."""

    weights: Path
    sizes: Mapping[str, float]
    places: Mapping[str, int]
    layers: Sequence[Mapping[str, int]]

    @staticmethod
    def read(path: Path) -> "KernelRecord":
        """Raises ModelError where it is damaged."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            weights = path.with_name(found["weights"])
            return KernelRecord(weights, found["sizes"], found["places"], found["layers"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"cannot read {path}: {error}; export the model again") from error

    def at(self, size: str) -> int:
        """A size, as a number of elements."""
        return int(self.sizes[size])

    @property
    def macros(self) -> dict[str, str]:
        """The sizes, as SOURCE takes them."""
        return {
            name: f"{size}f" if isinstance(size, float) else str(size)
            for name, size in self.sizes.items()
        }


@dataclass(frozen=True)
class Buffers:
    """Where a graph's lanes (each (heads, `capacity`, HEAD) float16, of which `lane` elements),
    the mask and the logits of its rows lie."""

    capacity: int
    lane: int
    caches: Mapping[str, int]
    allowed: int
    logits: int


class Launcher(Protocol):
    """A `cuda_driver.Device`, or what stands in for it."""

    def pinned(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], int]: ...

    def function(self, image: bytes, name: str, shared_bytes: int) -> Any: ...

    def launch(
        self, function: Any, blocks: int, threads: int, shared_bytes: int, arguments: Sequence[Any]
    ) -> None: ...


class Kernel:
    """The kernel of one model on the buffers of its graph, with `blocks` to a launch.

    Raises ModelError where it cannot be had.
    """

    def __init__(
        self,
        record: KernelRecord,
        image: bytes,
        buffers: Buffers,
        launcher: Launcher,
        blocks: int,
        device: str = "cuda",
    ) -> None:
        self._launcher, self._blocks, self._buffers = launcher, blocks, buffers
        self._told, told = launcher.pinned((MOST, 2))
        self._weights = fixed(np.fromfile(record.weights, np.uint8), device)
        self._scratch = fixed(np.zeros(scratch_floats(record, blocks), np.float32), device)
        self._arrived = fixed(np.zeros(4, np.int32), device)
        self._arrivals = 0
        self._each = blocks * (2 + 5 * record.at("LAYERS"))  # times that blocks wait in a launch
        ends = (told, self._scratch.data_ptr(), self._arrived.data_ptr())
        self._model = model_of(record, self._weights.data_ptr(), buffers, ends)
        self._forms = {rows: self._form(image, record, rows) for rows in (1, MOST)}

    def _form(self, image: bytes, record: KernelRecord, rows: int) -> tuple[Any, int, Any]:
        shared = shared_bytes(record, rows)
        function = self._launcher.function(image, f"rows_{rows}", shared)
        return function, shared, pass_of(rows)

    def run(self, rows: Sequence[tuple[int, int, int]]) -> NDArray[np.float32]:
        """Run up to MOST tokens, each (lane, place, token); `told` (N, 2), as a step's.

        Tokens of one lane must be in order. Row n of the logits is that of token n, which is chosen
        among what row n of the mask allows. Raises CudaFailed.
        """
        size = 1 if len(rows) == 1 else MOST
        function, shared, told = self._forms[size]
        told.capacity, told.count, told.arrivals = self._buffers.capacity, len(rows), self._arrivals
        for number in range(size):  # filled up with the last
            lane, place, token = rows[min(number, len(rows) - 1)]
            row = told.rows[number]
            row.token, row.place, row.lane = token, place, lane * self._buffers.lane
        arguments = (self._model, told)
        self._launcher.launch(function, self._blocks, THREADS, shared, arguments)
        self._arrivals = (self._arrivals + self._each) % 2**32
        return self._told[: len(rows)].copy()


def model_of(
    record: KernelRecord, weights: int, buffers: Buffers, ends: Sequence[int]
) -> ctypes.Array[ctypes.c_uint64]:
    """SOURCE's `Model`: the address of everything, in order."""
    words = [weights + record.places[name] for name in BEFORE]
    for number, layer in enumerate(record.layers):
        words += [weights + layer[name] for name in WEIGHTS]
        words += [buffers.caches[f"{number}.{part}"] for part in ("key", "value")]
    words += [weights + record.places[name] for name in BEHIND]
    words += [buffers.allowed, buffers.logits, *ends]
    return (ctypes.c_uint64 * len(words))(*words)


def shared_bytes(record: KernelRecord, rows: int) -> int:
    """The memory that a block of threads shares: activations, and what its warps put together."""
    attended = record.at("HEADS") * HEAD
    widest = max(record.at("HIDDEN"), record.at("MLP"), attended) // BLOCK * STRIDE
    splits = SPLITS if rows == 1 else 1
    return 4 * (rows * widest + THREADS // 32 * PART + rows * record.at("HEADS") * splits)


def scratch_floats(record: KernelRecord, blocks: int) -> int:
    """What blocks of threads tell each other."""
    heads = record.at("HEADS")
    row = record.at("HIDDEN") + heads * HEAD + record.at("MLP") + heads * SPLITS * PART
    return MOST * (row + 3 * blocks)
