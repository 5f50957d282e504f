"""Training through the 4-bit grid that will be shipped (straight-through estimator).

Blocks of 32 (or 64, …) consecutive weights along the input dimension share a float16 scale; with 32
the grid is llama.cpp's Q4_0. `autocoder.export.quantise` writes the same in numpy. Bengio et al.,
"Estimating or propagating gradients", 2013, for the estimator. Knows weights; knows no model.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from autocoder.export.quantise import BLOCK


def to_grid(weight: Tensor, block: int = BLOCK) -> Tensor:
    """The values of (rows, columns) weights on the grid; columns must divide by `block`."""
    blocks = weight.float().reshape(-1, block)
    at = blocks.abs().argmax(dim=1, keepdim=True)
    scale = (blocks.gather(1, at) / -8).half().float()
    q = (blocks / torch.where(scale == 0, 1.0, scale)).round().add(8).clamp(0, 15)
    return ((q - 8) * scale).reshape(weight.shape).to(weight.dtype)


def quantised_parameters(model: nn.Module) -> list[Tensor]:
    """The matrices that ship in 4 bits: every 2-D parameter."""
    return [p for p in model.parameters() if p.ndim == 2]


@contextmanager
def on_grid(parameters: list[Tensor], enabled: bool = True, block: int = BLOCK) -> Iterator[None]:
    """Inside, the parameters hold their grid values; outside, what they were. Gradients pass."""
    if not enabled:
        yield
        return
    with torch.no_grad():
        kept = [p.detach().clone() for p in parameters]
        values = to_grid(torch.cat([p.reshape(-1, block) for p in parameters]), block).flatten()
        parts = values.split([p.numel() for p in parameters])
        torch._foreach_copy_(
            parameters, [part.view_as(p) for part, p in zip(parts, parameters, strict=True)]
        )
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(parameters, kept)
