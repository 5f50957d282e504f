"""The weights of the prefill graph: int8, one scale a column, made from the stored blocks at load.

A prompt is many tokens at once, and there whole-row int8 products are twice as fast as blocks of
weights with a scale each, which suit single tokens. The int8 weights would double a model's size on
disk, so the folder holds the graph and the places of the blocks, and they are made here: for each
column n of a product, scale[n] = max|w| / 127 and round(w / scale[n]).

Knows the stored grid (docs/architecture.md) and arrays; knows no transformer, no prompt.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.errors import ModelError

LARGEST = 127


@dataclass(frozen=True)
class StoredProduct:
    """Where a weight's grid lies in the weights file: N `rows` (outputs) by K `columns` (inputs).

    `packed` and `scales` are offsets in bytes: (N, K/block, block·bits/8) uint8 and (N, K/block)
    float16.
    """

    name: str
    bits: int
    rows: int
    columns: int
    packed: int
    scales: int
    block: int = 32


@dataclass(frozen=True)
class PrefillWeights:
    """The grids that a prefill graph multiplies by, and the file that holds them."""

    file: Path
    products: tuple[StoredProduct, ...]

    @staticmethod
    def read(record: Path) -> "PrefillWeights":
        """Read the list beside a prefill graph. Raises ModelError where it is damaged."""
        try:
            found = json.loads(record.read_text(encoding="utf-8"))
            products = tuple(StoredProduct(**entry) for entry in found["products"])
            return PrefillWeights(record.with_name(found["weights"]), products)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"cannot read {record}: {error}; export the model again") from error

    def initializers(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Name and value of every tensor that the graph lacks: `.int8` (K, N), `.channels` (N,)."""
        stored = np.memmap(self.file, np.uint8, "r")
        for product in self.products:
            steps, channels = whole_rows(*blocks(stored, product))
            yield f"{product.name}.int8", steps
            yield f"{product.name}.channels", channels


def hand_over(record: Path, options: Any) -> tuple[Any, ...]:
    """Let session options give a graph the weights that it lacks; nothing where no record is.

    Keep the result until the session is made, which copies what it needs. Raises ModelError.
    """
    if not record.exists():
        return ()
    from onnxruntime import OrtValue

    names, arrays = zip(*PrefillWeights.read(record).initializers(), strict=True)
    values = [OrtValue.ortvalue_from_numpy(array) for array in arrays]
    options.add_external_initializers(list(names), values)
    return arrays, values


def blocks(
    stored: NDArray[np.uint8], product: StoredProduct
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The grid of a product: signed steps (N, K/block, block), and scales (N, K/block)."""
    block = product.block
    count = product.rows * product.columns // block
    shape = (product.rows, product.columns // block)
    width = block * product.bits // 8
    packed = stored[product.packed : product.packed + count * width].reshape(*shape, width)
    scales = stored[product.scales : product.scales + 2 * count].view(np.float16).reshape(shape)
    steps = packed
    if product.bits == 4:
        steps = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*shape, block)
    signed = (steps ^ (1 << (product.bits - 1))).view(np.int8)  # q - 8 in two's complement…
    if product.bits == 4:
        signed = (signed << 4) >> 4  # …of four bits
    return signed, scales.astype(np.float32)


def whole_rows(
    steps: NDArray[np.int8], scales: NDArray[np.float32]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Blocks (N, K/block, block) with scales (N, K/block) as int8 (K, N) with scales (N,)."""
    largest = np.maximum(steps.max(axis=-1), -steps.min(axis=-1).astype(np.int16))
    channels = (largest * np.abs(scales)).max(axis=1) / LARGEST
    channels[channels == 0] = 1
    values = steps * (scales / channels[:, None])[..., None]
    rounded = np.rint(values, out=values).astype(np.int8).reshape(len(steps), -1)
    return np.ascontiguousarray(rounded.T), channels.astype(np.float32)
