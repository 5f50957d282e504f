"""A trained model with wider MLPs that computes the same as before: the next stage fills them.

The new neurons read at random, as spread as the trained ones, and write nothing yet: their columns
of `down_proj` are zero (Chen et al., "Net2Net", 2016, for growth that keeps the function). Knows
weights; knows no training.
"""

from dataclasses import replace

import torch
from torch import Tensor

from autocoder.daemon.errors import ConfigError
from autocoder.train.pretrain.model import CodeModel, ModelConfig


def grown(model: CodeModel, wanted: ModelConfig) -> CodeModel:
    """The model with MLPs of `wanted.intermediate_size`; the same object where it has that shape.

    Raises ConfigError where more than the width of the MLPs differs, or that would shrink.
    """
    if model.config == wanted:
        return model
    widened = replace(model.config, intermediate_size=wanted.intermediate_size)
    if widened != wanted or wanted.intermediate_size < model.config.intermediate_size:
        raise ConfigError(_difference(model.config, wanted))
    larger = CodeModel(wanted)
    state = larger.state_dict()
    for name, value in model.state_dict().items():
        state[name] = value if value.shape == state[name].shape else _padded(value, state[name])
    larger.load_state_dict(state)
    return larger


def _padded(value: Tensor, wider: Tensor) -> Tensor:
    """`value` in the corner of a matrix of `wider`'s shape: random rows below, zero columns."""
    rows, columns = value.shape
    padded = torch.zeros_like(wider)
    padded[rows:].normal_(std=float(value.std()))
    padded[:rows, :columns] = value
    return padded


def _difference(found: ModelConfig, wanted: ModelConfig) -> str:
    names = [n for n in vars(wanted) if getattr(found, n) != getattr(wanted, n)]
    pairs = ", ".join(f"{n} {getattr(found, n)} instead of {getattr(wanted, n)}" for n in names)
    return (
        f"the checkpoint to begin from has {pairs}. Only the width of the MLPs can grow: write "
        "the checkpoint's values into the recipe's [model], or begin without --init."
    )
