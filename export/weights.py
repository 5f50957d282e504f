"""One file of weights that several graphs share. Knows tensors and bytes, no transformer.

Every constant of more than a kilobyte goes to the file once, equal bytes once whatever their
shape: so the tied embedding serves GatherBlockQuantized and the head's MatMulNBits, and both the
CPU's and the GPU's graph. Small constants stay inside the graphs.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from autocoder.export.graph import Array

INLINE_BYTES = 1024
ALIGNMENT = 4096  # of the operating system's pages, so that a runtime can map the file


class WeightsFile:
    """Writes constants to a file; gives initializers that point into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] = path.open("wb")
        self._places: dict[tuple[bytes, int], int] = {}

    def __enter__(self) -> "WeightsFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def initializers(self, constants: Mapping[str, Array]) -> list[TensorProto]:
        """Store the constants of one graph; returns its initializers in order."""
        return [self._initializer(name, value) for name, value in constants.items()]

    def place(self, value: Array) -> int:
        """Where the bytes of a constant begin in the file; they are stored if they are not yet."""
        return self._store(np.asarray(value, order="C"))

    def _initializer(self, name: str, value: Array) -> TensorProto:
        value = np.asarray(value, order="C")
        if value.nbytes <= INLINE_BYTES:
            return numpy_helper.from_array(value, name)
        tensor = TensorProto(name=name, dims=value.shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(value.dtype)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": self.path.name, "offset": self._store(value), "length": value.nbytes}
        for key, entry in place.items():
            tensor.external_data.add(key=key, value=str(entry))
        return tensor

    def _store(self, value: Array) -> int:
        data = value.tobytes()
        key = (hashlib.sha256(data).digest(), len(data))
        if key not in self._places:
            self._file.write(b"\0" * (-self._file.tell() % ALIGNMENT))
            self._places[key] = self._file.tell()
            self._file.write(data)
        return self._places[key]
