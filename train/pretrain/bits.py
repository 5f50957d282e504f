"""Bits per byte of documents under a model: plain windows, each token predicted once.

Every window begins with the language's control code, so a token sees at most the window before it.
Knows the training model; the shipped one is measured by `autocoder.train.evaluate`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from autocoder.daemon.prompt import PromptBuilder
from autocoder.train.pretrain.model import losses
from autocoder.train.pretrain.samples import plain_sample


@torch.no_grad()
def bits_per_byte(
    model: nn.Module,
    texts: list[str],
    language: str,
    builder: PromptBuilder,
    *,
    length: int = 2048,
    batch: int = 32,
    loss: Callable[[nn.Module, Tensor], Tensor] = losses,
) -> float:
    """Bits per byte; shorter windows are padded with the end token, which is not counted."""
    device = next(model.parameters()).device
    windows, real = _windows(texts, language, builder, length)
    nats, row = 0.0, 0
    for start in range(0, len(windows), batch):
        part = windows[start : start + batch].to(device)
        each = loss(model, part).view(len(part), -1).double()
        for number in range(len(part)):
            nats += float(each[number, : real[row] - 1].sum())
            row += 1
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def _windows(
    texts: list[str], language: str, builder: PromptBuilder, length: int
) -> tuple[Tensor, list[int]]:
    rows, real = [], []
    for text in texts:
        ids = plain_sample(text, language, builder)[1:]
        for start in range(0, len(ids), length - 1):
            row = [builder.control_id(language), *ids[start : start + length - 1]]
            real.append(len(row))
            rows.append(row + [builder.end_id] * (length - len(row)))
    return torch.tensor(rows), real
