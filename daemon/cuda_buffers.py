"""Buffers at addresses that do not change, as captured CUDA graphs need them.

Knows arrays and ONNX Runtime's bindings; knows no lanes and no tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Form:
    """What a pass runs on: `tokens` each in `lanes` lanes from `first` on, and logits of `rows`."""

    first: int
    lanes: int
    tokens: int
    rows: int


def fixed(array: NDArray[Any], device: str) -> Any:
    """A buffer on a device, with the values of an array, written in place from then on."""
    from onnxruntime import OrtValue

    return OrtValue.ortvalue_from_numpy(array, device, 0)


def run_options(graph: int | None = None, captures: bool = True) -> Any:
    """The options of a run that is captured as `graph` and replayed, or never captured."""
    from onnxruntime import RunOptions

    options = RunOptions()
    if captures:
        options.add_run_config_entry("gpu_graph_id", str(-1 if graph is None else graph))
    return options


class Bound:
    """The buffers of one form: `told` (B, R, 2) and the small inputs; how often it was run."""

    def __init__(self, binding: Any, inputs: Mapping[str, Any], told: Any, options: Any) -> None:
        self.binding = binding
        self.options = options
        self.told = told
        self.uses = 0
        self.captured = False
        self._inputs = inputs

    @staticmethod
    def of(
        binding: Any, form: Form, most: Any, device: str, learnt: bool, captures: bool
    ) -> "Bound":
        """Bind all but the caches, the logits and the mask."""
        tokens = np.zeros((form.lanes, form.tokens), np.int64)
        arrays: dict[str, NDArray[Any]] = {
            "input_ids": tokens,
            "last": np.zeros(form.lanes, np.int32),
            "rows": np.zeros(form.rows, np.int64),
        }
        if learnt:
            arrays["positions"] = tokens.copy()
        inputs = {name: fixed(array, device) for name, array in arrays.items()}
        told = fixed(np.zeros((form.lanes, form.rows, 2), np.float32), device)
        for name, value in {**inputs, "most": most}.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output("told", told)
        return Bound(binding, inputs, told, run_options(None, captures))

    def capture_as(self, number: int) -> None:
        """The next run is captured under this number, and those after it replay it."""
        self.captured, self.options = True, run_options(number)

    def write(
        self, ids: NDArray[np.int64], last: NDArray[np.int32], rows: NDArray[np.int64]
    ) -> None:
        """The inputs of the next run."""
        self._inputs["input_ids"].update_inplace(ids)
        self._inputs["last"].update_inplace(last)
        if ids.shape[1] > 1:
            self._inputs["rows"].update_inplace(rows)
        if "positions" in self._inputs:
            before = np.arange(ids.shape[1] - 1, -1, -1)
            self._inputs["positions"].update_inplace(last.astype(np.int64)[:, None] - before)


class Mask:
    """Which of V tokens each of some rows may choose: all, unless told otherwise."""

    def __init__(self, session: Any, rows: int, vocabulary: int, device: str) -> None:
        self._all = np.ones(vocabulary, np.bool_)
        self._buffer = fixed(np.ones((rows, vocabulary), np.bool_), device)
        self._device = device
        self._session = session
        self._rows: dict[int, Any] = {}
        self._masked: set[int] = set()

    @property
    def place(self) -> int:
        """Its address."""
        return int(self._buffer.data_ptr())

    def allow(self, allowed: Mapping[int, NDArray[np.int64]]) -> None:
        """From now on these rows may choose these tokens only, and all others any."""
        for row in self._masked - set(allowed):
            self._row(row).update_inplace(self._all)
        for row, tokens in allowed.items():
            mask = np.zeros_like(self._all)
            mask[tokens] = True
            self._row(row).update_inplace(mask)
        self._masked = set(allowed)

    def _row(self, row: int) -> Any:
        """One row as a buffer: a binding makes it of an address."""
        if row not in self._rows:
            binding = self._session.io_binding()
            size = len(self._all)
            binding.bind_output("told", self._device, 0, np.bool_, [size], self.place + row * size)
            (self._rows[row],) = binding.get_outputs()
        return self._rows[row]
