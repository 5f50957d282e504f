"""From logits to a token: greedy or drawn, with the probability the model gave it.

Knows numpy arrays over the vocabulary (V,); knows no model, no cache, no text.

Truncation follows Fan et al., "Hierarchical Neural Story Generation" (2018), for top-k and Holtzman
et al., "The Curious Case of Neural Text Degeneration" (2020), for top-p; the repetition penalty is
that of Keskar et al., "CTRL" (2019), section 4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.errors import ModelError

Logits = NDArray[np.float32]  # (V,)


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen; temperature 0 is greedy, `top_k` 0 and `top_p` 1 truncate nothing."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0


def probability(logits: Logits, token: int) -> float:
    """The softmax of the untouched logits at `token`, in 0…1. Raises ModelError on NaN or inf."""
    highest = float(logits.max())
    if not np.isfinite(highest):
        raise ModelError("the model's logits are not finite; export the model again")
    total = float(np.exp(logits - np.float32(highest)).sum(dtype=np.float64))
    return float(np.exp(float(logits[token]) - highest)) / total


def choose(logits: Logits, seen: Sequence[int], sampling: Sampling, chance: Random) -> int:
    """The next token. `seen` are the tokens so far, which the repetition penalty weighs down."""
    logits = penalised(logits, seen, sampling.repetition_penalty)
    if sampling.temperature <= 0 or sampling.top_k == 1:
        return int(logits.argmax())
    tokens, weights = distribution(logits, sampling)
    at = np.searchsorted(weights.cumsum(), chance.random() * weights.sum(), side="right")
    return int(tokens[min(int(at), len(tokens) - 1)])


def penalised(logits: Logits, seen: Sequence[int], penalty: float) -> Logits:
    """A copy where every token of `seen` is less likely by the factor `penalty`; 1 copies nothing.

    Positive logits are divided and negative ones multiplied, so both fall.
    """
    if penalty == 1 or not seen:
        return logits
    tokens = np.unique(np.asarray(seen, np.int64))
    changed = logits.copy()
    old = logits[tokens]
    changed[tokens] = np.where(old > 0, old / penalty, old * penalty)
    return changed


def distribution(
    logits: Logits, sampling: Sampling
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tokens that may be drawn, most probable first, and their probabilities (sum 1)."""
    order = np.argsort(-logits, kind="stable")
    if sampling.top_k:
        order = order[: sampling.top_k]
    kept = logits[order].astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):  # a tiny temperature: all but the first get 0
        weights = np.exp((kept - kept[0]) / sampling.temperature)
    weights /= weights.sum()
    # a token stays while the mass before it is below top_p: the smallest set that reaches top_p
    inside = max(1, int(np.searchsorted(weights.cumsum() - weights, sampling.top_p, side="left")))
    weights = weights[:inside]
    return order[:inside], weights / weights.sum()


def most_probable(logits: Logits, count: int) -> list[int]:
    """The `count` tokens of the highest logits, highest first; the lower id wins a tie."""
    count = min(count, len(logits))
    least = np.partition(logits, len(logits) - count)[len(logits) - count]
    near = np.flatnonzero(logits >= least)
    ranked = near[np.argsort(-logits[near], kind="stable")]
    return [int(token) for token in ranked[:count]]
