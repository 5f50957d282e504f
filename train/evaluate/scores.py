"""How near an answer comes to what stood in the hole, and how sure a mean over rows is.

Exact match, first-line match and edit similarity are computed on stripped text, as CodeXGLUE's line
completion does. Intervals are percentile bootstraps (Efron, 1979). Knows no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Score:
    """One row's result; the first three in 0…1, the time in milliseconds."""

    exact_match: float
    first_line: float
    edit_similarity: float
    ms: float


def score(answer: str, wanted: str, ms: float) -> Score:
    """Compare an answer with the text that stood in the hole."""
    answer, wanted = answer.strip(), wanted.strip()
    return Score(
        exact_match=float(answer == wanted),
        first_line=float(_first_line(answer) == _first_line(wanted)),
        edit_similarity=edit_similarity(answer, wanted),
        ms=ms,
    )


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].strip()


def edit_similarity(one: str, other: str) -> float:
    """1 − Levenshtein distance / length of the longer text; 1 for two empty texts."""
    longest = max(len(one), len(other))
    return 1.0 if longest == 0 else 1.0 - _levenshtein(one, other) / longest


def _levenshtein(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        corner, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (left != right))
    return row[-1]


def interval(values: Sequence[float], *, samples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the mean of `values`."""
    if not values:
        return (0.0, 0.0)
    chance = np.random.default_rng(seed)
    array = np.asarray(values)
    means = [array[chance.integers(0, len(array), len(array))].mean() for _ in range(samples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return (float(low), float(high))


def summary(scores: Sequence[Score]) -> dict[str, object]:
    """Means and their intervals: the record under one language of `--json`."""
    names = ("exact_match", "first_line", "edit_similarity")
    columns = {name: [getattr(each, name) for each in scores] for name in names}
    return {
        "rows": len(scores),
        **{name: float(np.mean(column)) if column else 0.0 for name, column in columns.items()},
        "mean_ms": float(np.mean([each.ms for each in scores])) if scores else 0.0,
        "ci": {name: interval(column) for name, column in columns.items()},
    }
