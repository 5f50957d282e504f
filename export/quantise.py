"""Weights on the grids that MatMulNBits and GatherBlockQuantized store. Knows numpy only.

Pre-training trains through the int4 grid, so it is part of a model's definition: per block of
consecutive weights along the input dimension (32 of them, or 64, …), m is the element of largest
magnitude (the first of several), scale = float16(m / -8), q = clip(round(w / scale) + 8, 0, 15)
with round half to even in float32, q = 8 where scale is 0, and the weight's value is
(q - 8) * scale. Letting m itself sit at q = 0, whatever its sign, uses all sixteen levels (the
trick of llama.cpp's Q4_0).

The int8 grid is the same with 128 in place of 8 and 255 in place of 15.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.errors import ConfigError

BLOCK = 32  # where a checkpoint's config.json names no `quantisation_block`, and what ships
BLOCK_KEY = "quantisation_block"  # its name in config.json
BLOCKS = (32, 64, 128, 256)
KINDS = {"int4": 4, "int8": 8}


@dataclass(frozen=True)
class Quantised:
    """A matrix of N rows (outputs) by K columns (inputs) on a grid of `bits` bits.

    `packed` is (N, K/block, block·bits/8) uint8, low nibble first for int4: MatMulNBits's layout.
    `scales` is (N, K/block) float16.
    """

    bits: int
    packed: NDArray[np.uint8]
    scales: NDArray[np.float16]

    @property
    def rows(self) -> int:
        return int(self.scales.shape[0])

    @property
    def block(self) -> int:
        return int(self.packed.shape[-1]) * 8 // self.bits

    @property
    def columns(self) -> int:
        return int(self.scales.shape[1]) * self.block

    def divided(self, block: int) -> "Quantised":
        """The same values in smaller blocks, which share their scales."""
        packed = self.packed.reshape(self.rows, -1, block * self.bits // 8)
        return Quantised(self.bits, packed, np.repeat(self.scales, self.block // block, axis=1))

    def dequantised(self) -> NDArray[np.float32]:
        """The (N, K) float32 values that the kernels compute with."""
        steps = self.packed
        if self.bits == 4:
            steps = np.stack([self.packed & 15, self.packed >> 4], axis=-1)
        blocks = steps.reshape(*self.scales.shape, self.block).astype(np.float32) - _zero(self.bits)
        values: NDArray[np.float32] = blocks * self.scales.astype(np.float32)[..., None]
        return values.reshape(self.rows, self.columns)


def quantise(weights: NDArray[Any], bits: int = 4, block: int = BLOCK) -> Quantised:
    """Put an (N, K) matrix on the grid. Raises ConfigError where `block` does not divide K."""
    if weights.shape[1] % block:
        raise ConfigError(
            f"a weight matrix of input width {weights.shape[1]} does not divide into blocks of "
            f"{block}; export with a smaller --block, or with --quantise none"
        )
    zero = _zero(bits)
    blocks = np.ascontiguousarray(weights, dtype=np.float32).reshape(len(weights), -1, block)
    scales = _scales(blocks, zero)
    safe = np.where(scales == 0, np.float32(1), scales.astype(np.float32))[..., None]
    steps = np.clip(np.round(blocks / safe) + zero, 0, 2 * zero - 1)
    steps = np.where(scales[..., None] == 0, zero, steps)
    return Quantised(bits, _pack(steps.astype(np.uint8), bits), scales)


def trained_block(config: Mapping[str, Any]) -> int:
    """What a checkpoint's config.json says of its grid. Raises ConfigError for nonsense."""
    block = config.get(BLOCK_KEY, BLOCK)
    if isinstance(block, bool) or block not in BLOCKS:
        raise ConfigError(f"config.json: {BLOCK_KEY} = {block!r} must be one of {BLOCKS}")
    return int(block)


def _zero(bits: int) -> np.float32:
    return np.float32(1 << (bits - 1))


def _scales(blocks: NDArray[np.float32], zero: np.float32) -> NDArray[np.float16]:
    at = np.argmax(np.abs(blocks), axis=-1)[..., None]
    largest = np.take_along_axis(blocks, at, axis=-1)[..., 0]
    return (largest / -zero).astype(np.float16)


def _pack(steps: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    if bits == 8:
        return steps
    packed: NDArray[np.uint8] = steps[..., 0::2] | (steps[..., 1::2] << np.uint8(4))
    return packed
