"""Cross entropy and perplexity of windows, per token, in all and by language.

Knows a model and windows; knows no optimiser and no files.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.functional import cross_entropy

from autocoder.train.finetune.windows import IGNORED, Segments, Windows


@dataclass(frozen=True)
class Evaluation:
    """`loss` is the mean negative log likelihood of a token, in nats."""

    loss: float
    by_language: Mapping[str, float]

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 80.0))


def row_losses(model: Any, ids: Tensor, labels: Tensor) -> Tensor:
    """The summed negative log likelihood of each row's labels, in nats. (B, T), (B, T) → (B,)

    No attention mask: padding stands on the right, where a causal model does not look.
    """
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]  # (B, T - 1, V)
    targets = labels[:, 1:]
    losses = cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(targets.shape).sum(dim=1)


def tensors(segments: Segments, rows: Windows, device: Any) -> tuple[Tensor, Tensor]:
    """Ids and labels of windows on a device. (B, T), (B, T)"""
    ids, labels = segments.batch(rows)
    return torch.from_numpy(ids).to(device), torch.from_numpy(labels).to(device)


def measured_windows(dev: Windows, limit: int) -> Windows:
    """At most `limit` windows spread evenly over the dev set; all for 0. Longest first, so that
    a batch holds windows of about one length."""
    count = min(limit or len(dev), len(dev))
    chosen = dev[np.linspace(0, len(dev) - 1, count).astype(np.int64)]
    return chosen[np.argsort(chosen["length"], kind="stable")[::-1]]


@torch.no_grad()
def evaluate(
    model: Any, segments: Segments, windows: Windows, batch: int, accelerator: Accelerator
) -> Evaluation:
    """Measure a model on windows; every process takes its part, all get the same answer."""
    model.eval()
    own = windows[accelerator.process_index :: accelerator.num_processes]
    kinds = len(segments.languages)
    sums = np.zeros((kinds, 2))  # nats, tokens
    for start in range(0, len(own), batch):
        rows = own[start : start + batch]
        losses = row_losses(model, *tensors(segments, rows, accelerator.device))
        np.add.at(sums[:, 0], rows["language"], losses.double().cpu().numpy())
        np.add.at(sums[:, 1], rows["language"], rows["length"].astype(np.float64) + 1)
    model.train()
    return _answer(_everywhere(sums, accelerator), segments.languages)


def _everywhere(sums: Any, accelerator: Accelerator) -> Any:
    """The sum over all processes; float32 where the device has no float64."""
    kind = torch.float32 if accelerator.device.type == "mps" else torch.float64
    local = torch.tensor(sums, dtype=kind, device=accelerator.device)
    return accelerator.reduce(local, "sum").double().cpu().numpy()


def _answer(sums: Any, languages: tuple[str, ...]) -> Evaluation:
    by_language = {
        name: float(nats / count)
        for name, (nats, count) in zip(languages, sums, strict=True)
        if count
    }
    nats, count = sums.sum(axis=0)
    return Evaluation(float(nats / count), by_language)
