"""Compares an exported model with torch, and refuses one that differs beyond stated bounds.

Two questions, kept apart. Is the graph right? Its exact twin (float32 products) must agree with
torch, given the same weights on the same grid, to within float32's rounding; the graphs that ship,
which round activations to int8 (CPU) or float16 (CUDA), to within theirs. And what does the
quantisation cost? The shipped graph's loss on a text, against torch with the original weights.
Knows torch and the exported folder; builds nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers.pytorch_utils import Conv1D

from autocoder.daemon.errors import ModelError
from autocoder.export.checkpoint import Checkpoint
from autocoder.export.decoder_session import DecoderSession
from autocoder.export.quantise import BLOCK, Quantised, quantise
from autocoder.export.sample import SAMPLE
from autocoder.export.verify_steps import check_steps

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Bounds:
    """Largest allowed differences of logits, as a share of the largest logit's magnitude.

    `tolerance`: the exact graph (float32 throughout). `rounding`: the shipped graphs, whose
    activations are int8 or float16. `max_loss`: how much worse, as a share of the original's nats
    per token, the shipped CPU graph may be on the sample.
    """

    tolerance: float = 1e-3
    rounding: float = 0.08
    max_loss: float = 0.10


@dataclass(frozen=True)
class Difference:
    """How far logits lie from torch's. `scale` is the largest magnitude among torch's."""

    largest: float
    mean: float
    scale: float


@dataclass(frozen=True)
class Report:
    """What verification found; goes into the manifest's results."""

    exact: Difference
    cpu: Difference
    prefill: Difference | None
    cuda: Difference
    rolled_back: float
    greedy_tokens: int
    greedy_same: int
    nats_original: float
    nats_shipped: float
    nats_prefill: float | None
    sample_tokens: int

    @property
    def loss(self) -> float:
        """The share by which the shipped model's nats exceed the original's, at the worst."""
        return max(self.nats_shipped, self.nats_prefill or 0.0) / self.nats_original - 1

    def to_manifest(self) -> dict[str, Any]:
        """Plain JSON, rounded to four digits."""
        return dict(_rounded({**asdict(self), "loss": self.loss}))


def verify(
    checkpoint: Checkpoint,
    grids: Mapping[str, Quantised],
    folder: Path,
    exact: Path,
    bounds: Bounds,
    sample: str | None = None,
) -> Report:
    """Compare the graphs in `folder` and the `exact` one with the checkpoint's torch model.

    Puts the quantised weights into the torch model. Raises ModelError beyond a bound.
    """
    windows = _windows(checkpoint, sample or SAMPLE)
    original = [torch_logits(checkpoint.model, ids) for ids in windows]
    grid = next(iter(grids.values()), None)
    if grid is not None:
        put_on_grid(checkpoint.model, grid.bits, max(grid.block, checkpoint.block))
    reference = [torch_logits(checkpoint.model, ids) for ids in windows]
    capacity = checkpoint.context
    sessions = {
        "exact": DecoderSession(exact, capacity),
        "cpu": DecoderSession(folder / "cpu.onnx", capacity),
        "cuda": DecoderSession(folder / "cuda.onnx", capacity),
    }
    if (folder / "cpu-prefill.onnx").exists():
        sessions["prefill"] = DecoderSession(folder / "cpu-prefill.onnx", capacity)
    logits = {
        name: [session.feed(ids, at=0) for ids in windows] for name, session in sessions.items()
    }
    found = {name: difference(values, reference) for name, values in logits.items()}
    _refuse_beyond(found, bounds)
    rolled_back = roll_back(sessions["exact"], windows[0], logits["exact"][0])
    _refuse_roll_back(rolled_back, found["exact"], bounds)
    check_steps(folder, windows, logits["cuda"], 2 * bounds.rounding)
    tokens, same = _greedy(checkpoint.model, sessions["cpu"], windows, found["cpu"], bounds)
    report = Report(
        found["exact"],
        found["cpu"],
        found.get("prefill"),
        found["cuda"],
        rolled_back,
        tokens,
        same,
        nats(original, windows),
        nats(logits["cpu"], windows),
        nats(logits["prefill"], windows) if "prefill" in logits else None,
        sum(len(ids) for ids in windows),
    )
    _refuse_loss(report, bounds)
    return report


def torch_logits(model: Any, ids: list[int]) -> Logits:
    """Logits (T, V) of one sequence."""
    with torch.inference_mode():
        logits: Logits = model(torch.tensor([ids])).logits[0].float().numpy()
    return logits


def put_on_grid(model: Any, bits: int, block: int = BLOCK) -> None:
    """Replace the weights that export quantises by their values on the grid.

    Finds them by itself: every linear layer and the token embedding.
    """
    done: set[int] = set()
    for module in model.modules():
        linear = isinstance(module, nn.Linear | Conv1D)
        if not linear and module is not model.get_input_embeddings():
            continue
        if module.weight.data_ptr() in done:
            continue
        weight = module.weight.data.T if isinstance(module, Conv1D) else module.weight.data
        values = torch.from_numpy(quantise(weight.numpy(), bits, block).dequantised())
        weight.copy_(values)
        done.add(module.weight.data_ptr())


def difference(found: list[Logits], wanted: list[Logits]) -> Difference:
    """Largest and mean absolute difference over several sequences."""
    gaps = [np.abs(a - b) for a, b in zip(found, wanted, strict=True)]
    scale = max(float(np.abs(b).max()) for b in wanted)
    largest = max(float(gap.max()) for gap in gaps)
    return Difference(largest, float(np.mean([gap.mean() for gap in gaps])), scale)


def roll_back(session: DecoderSession, ids: list[int], wanted: Logits) -> float:
    """Feed in uneven chunks, then junk, then roll back by length and feed the rest once more.

    Returns the largest difference from the logits of feeding all at once.
    """
    third = max(1, len(ids) // 3)
    first = session.feed(ids[:third], at=0)
    second = session.feed(ids[third:])
    session.feed(list(reversed(ids))[:third], at=third)
    again = session.feed(ids[third:], at=third)
    gaps = (first - wanted[:third], second - wanted[third:], again - wanted[third:])
    return max(float(np.abs(gap).max(initial=0)) for gap in gaps)


def nats(logits: list[Logits], windows: list[list[int]]) -> float:
    """Mean negative log-likelihood per token, in nats."""
    total, count = 0.0, 0
    for rows, ids in zip(logits, windows, strict=True):
        scores = torch.log_softmax(torch.from_numpy(rows[:-1]), dim=-1)
        total -= scores.gather(1, torch.tensor(ids[1:])[:, None]).sum().item()
        count += len(ids) - 1
    return total / count


def _windows(checkpoint: Checkpoint, text: str) -> list[list[int]]:
    """The sample's tokens in up to eight sequences of at most 256, each opened as a prompt is."""
    ids = checkpoint.tokenizer.encode(text, add_special_tokens=False).ids
    opening = _opening(checkpoint)
    length = min(256, checkpoint.context) - len(opening)
    cut = [[*opening, *ids[at : at + length]] for at in range(0, len(ids), length)]
    found = [window for window in cut if len(window) > 3][:8]
    if not found:
        raise ModelError(
            "the sample for verification has fewer than four tokens; give a longer one"
        )
    return found


def _opening(checkpoint: Checkpoint) -> list[int]:
    """A control code, that of the sample's language where there is one: trained with them, a model
    never saw text without. (The first token draws attention, with the largest activations of all.)
    """
    codes = checkpoint.prompt.controls
    code = codes.get("python") or next(iter(codes.values()), None)
    known = checkpoint.tokenizer.token_to_id(code) if code else None
    return [] if known is None else [known]


def _greedy(
    model: Any, session: DecoderSession, windows: list[list[int]], found: Difference, bounds: Bounds
) -> tuple[int, int]:
    """Continue several prompts; returns how many tokens, and how many are torch's own choice.

    Any other token must be within rounding of torch's best: twice the bound on a logit.
    """
    tokens = same = 0
    for ids in windows[:4]:
        prompt = ids[: max(1, len(ids) // 2)]
        chosen = session.greedy(prompt, min(24, len(ids) - len(prompt)))
        rows = torch_logits(model, [*prompt, *chosen])[len(prompt) - 1 : -1]
        gaps = rows.max(axis=1) - rows[np.arange(len(chosen)), chosen]
        if gaps.max() > 2 * bounds.rounding * found.scale:
            raise ModelError(
                f"the exported model chose a token {gaps.max():.3f} below torch's best logit; "
                f"not written. The graph is wrong: please report it with the model's config.json"
            )
        tokens, same = tokens + len(chosen), same + int((gaps == 0).sum())
    return tokens, same


def _refuse_beyond(found: Mapping[str, Difference], bounds: Bounds) -> None:
    for name, gap in found.items():
        share = bounds.tolerance if name == "exact" else bounds.rounding
        if not gap.largest <= share * gap.scale:
            option = "tolerance" if name == "exact" else "rounding"
            raise ModelError(
                f"the {name} graph's logits differ from torch's by up to {gap.largest:.4g}, more "
                f"than {share:g} of the largest logit ({gap.scale:.4g}); not written. Raise "
                f"--verify-{option} only if you know why"
            )


def _refuse_roll_back(gap: float, exact: Difference, bounds: Bounds) -> None:
    if not gap <= bounds.tolerance * exact.scale:
        raise ModelError(f"chunks and roll-back change the logits by {gap:.4g}; not written")


def _refuse_loss(report: Report, bounds: Bounds) -> None:
    if not report.loss <= bounds.max_loss:
        raise ModelError(
            f"quantisation makes the model {report.loss:.1%} worse on the sample "
            f"({report.nats_original:.4f} to {report.nats_shipped:.4f} nats a token), more than "
            f"{bounds.max_loss:.1%}; not written. Try --quantise int8, or raise --max-loss"
        )


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else str(value)
    return value
