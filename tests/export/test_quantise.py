"""The int4 grid is part of a model's definition: pre-training trains through it."""

import numpy as np
import pytest
import torch

from autocoder.daemon.errors import ConfigError
from autocoder.export.quantise import BLOCK, BLOCK_KEY, quantise, trained_block
from autocoder.train.pretrain.fake_quantise import to_grid


def row(*leading: float) -> np.ndarray:
    """One block: the given weights, then zeros."""
    return np.array([[*leading, *[0.0] * (BLOCK - len(leading))]], np.float32)


def steps(grid) -> list[int]:
    flat = grid.packed.reshape(-1)
    return np.stack([flat & 15, flat >> 4], axis=1).reshape(-1).tolist()


def test_by_hand() -> None:
    grid = quantise(row(-8.0, 7.0, 2.5, 3.5, -0.4))
    assert grid.scales.tolist() == [[1.0]]
    assert steps(grid)[:6] == [0, 15, 10, 12, 8, 8]  # half to even: 2.5 to 2, 3.5 to 4
    assert grid.dequantised()[0, :5].tolist() == [-8.0, 7.0, 2.0, 4.0, 0.0]


def test_the_largest_magnitude_sits_at_zero_whatever_its_sign() -> None:
    grid = quantise(row(4.0, -4.0, 2.0))
    assert grid.scales.tolist() == [[-0.5]]  # 4 comes first, and 4 / -8 is the scale
    assert steps(grid)[:3] == [0, 15, 4]  # -4 would need 16
    assert grid.dequantised()[0, :3].tolist() == [4.0, -3.5, 2.0]


def test_a_block_of_zeros() -> None:
    grid = quantise(row())
    assert set(steps(grid)) == {8}
    assert not grid.dequantised().any()


@pytest.mark.parametrize("block", [32, 64])
@pytest.mark.parametrize("bits", [4, 8])
def test_round_trip_is_a_projection(bits: int, block: int) -> None:
    weights = np.random.default_rng(0).normal(0, 0.05, (48, 192)).astype(np.float32)
    once = quantise(weights, bits, block)
    assert once.block == block and once.columns == 192
    again = quantise(once.dequantised(), bits, block)
    assert np.array_equal(again.dequantised(), once.dequantised())
    blocks = np.abs(once.dequantised() - weights).reshape(48, -1, block)
    step = np.abs(once.scales.astype(np.float32))[..., None]
    assert (blocks <= step * 1.01).all()
    assert np.median(blocks / step) < 0.5


@pytest.mark.parametrize("block", [32, 64])
def test_training_and_export_share_the_grid(block: int) -> None:
    chance = np.random.default_rng(1)
    weights = chance.normal(0, 0.02, (64, 320)).astype(np.float32)
    weights[0] = np.round(weights[0] * 50) / 50  # ties
    weights[1, :32] = 0
    weights[2, :32] = 1e-9  # a scale that rounds to zero in float16
    assert np.array_equal(
        quantise(weights, block=block).dequantised(),
        to_grid(torch.from_numpy(weights), block).numpy(),
    )


@pytest.mark.parametrize("block", ["x", None, 0, -1, True, 16, 48, 32.5])
def test_a_checkpoint_with_a_nonsensical_block_is_refused(block: object) -> None:
    with pytest.raises(ConfigError, match="quantisation_block"):
        trained_block({BLOCK_KEY: block})


def test_smaller_blocks_hold_the_same_values() -> None:
    weights = np.random.default_rng(3).normal(0, 0.1, (24, 256)).astype(np.float32)
    large = quantise(weights, 4, 64)
    small = large.divided(32)
    assert small.block == 32 and np.array_equal(small.dequantised(), large.dequantised())
    again = quantise(large.dequantised(), 4, 32)  # a new scale for each: not the same at all
    assert not np.array_equal(again.dequantised(), large.dequantised())


def test_a_width_that_32_does_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="--quantise none"):
        quantise(np.zeros((2, 40), np.float32))
