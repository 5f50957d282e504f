"""How near an answer comes to what stood in the hole, and how sure a mean over rows is.

Exact match, first-line match and edit similarity are computed on stripped text, as CodeXGLUE's line
completion does. Intervals are percentile bootstraps (Efron, 1979) over rows. Knows no model.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = 1000
NAME = re.compile(r"[^\W\d]\w*")
LITERAL = re.compile(r"\d[\w.]*|\"[^\"\n]*\"|'[^'\n]*'")
FAULTS = ("none", "empty", "too_short", "too_long", "other_name", "other_literal", "different")


@dataclass(frozen=True)
class Score:
    """One row's result: three figures in 0…1, milliseconds, what was wrong, nats over bytes.

    `fault` is one of FAULTS; `nats` is the surprise of the wanted text with the closing token,
    None where it was not asked for.
    """

    exact_match: float
    first_line: float
    edit_similarity: float
    ms: float
    fault: str
    size: int
    nats: float | None = None


def score(answer: str, wanted: str, ms: float, nats: float | None = None) -> Score:
    """Compare an answer with the text that stood in the hole.

    `nats` are the surprise of `wanted`, whose bytes count: give what the cursor was asked for
    (`asking.as_cursor`), without the line breaks that stand behind it.
    """
    size = len(wanted.encode())
    answer, wanted = answer.strip(), wanted.strip()
    return Score(
        exact_match=float(answer == wanted),
        first_line=float(_first_line(answer) == _first_line(wanted)),
        edit_similarity=edit_similarity(answer, wanted),
        ms=ms,
        fault=fault(answer, wanted),
        size=size,
        nats=nats,
    )


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].strip()


def fault(answer: str, wanted: str) -> str:
    """Where a stripped answer fails; the first that fits of FAULTS, in their order."""
    if answer == wanted:
        return "none"
    if not answer:
        return "empty"
    if wanted.startswith(answer):
        return "too_short"
    if answer.startswith(wanted):
        return "too_long"
    if LITERAL.sub("0", answer) == LITERAL.sub("0", wanted):
        return "other_literal"
    if NAME.sub("x", answer) == NAME.sub("x", wanted):
        return "other_name"
    return "different"


def edit_similarity(one: str, other: str) -> float:
    """1 − Levenshtein distance / length of the longer text; 1 for two empty texts."""
    longest = max(len(one), len(other))
    return 1.0 if one == other else 1.0 - _levenshtein(one, other) / longest


def _levenshtein(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        corner, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (left != right))
    return row[-1]


Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def interval(values: Sequence[float], *, samples: int = SAMPLES, seed: int = 0) -> list[float]:
    """The 95 % percentile bootstrap interval of the mean of `values`."""
    return ratio_interval(values, [1.0] * len(values), samples=samples, seed=seed)


def ratio_interval(
    above: Sequence[float], below: Sequence[float], *, samples: int = SAMPLES, seed: int = 0
) -> list[float]:
    """The 95 % interval of sum(above) / sum(below), rows drawn together.

    Draws in which `below` sums to nothing have no ratio and are left out.
    """
    if not above:
        return [0.0, 0.0]
    chance = np.random.default_rng(seed)
    pairs = np.array([above, below], np.float64)
    draws = (chance.integers(0, len(above), len(above)) for _ in range(samples))
    sums = np.array([pairs[:, draw].sum(axis=1) for draw in draws])
    sums = sums[sums[:, 1] != 0]
    low, high = np.percentile(sums[:, 0] / sums[:, 1], [2.5, 97.5])
    return [float(low), float(high)]


def summary(scores: Sequence[Score]) -> dict[str, Any]:
    """Means, their intervals under `ci`, and the share of every fault: a record of `--json`.

    `bits_per_byte` is left out where no nats are known, or nothing but empty text was wanted.
    """
    names = ("exact_match", "first_line", "edit_similarity")
    columns = {name: [getattr(each, name) for each in scores] for name in names}
    columns["mean_ms"] = [each.ms for each in scores]
    record: dict[str, Any] = {"rows": len(scores)}
    record |= {name: float(np.mean(columns[name])) for name in names}
    ci = {name: interval(column) for name, column in columns.items()}
    known = [each for each in scores if each.nats is not None]
    if any(each.size for each in known):
        bits, sizes = [(each.nats or 0.0) / math.log(2) for each in known], [s.size for s in known]
        record["bits_per_byte"] = sum(bits) / sum(sizes)
        ci["bits_per_byte"] = ratio_interval(bits, sizes)
    record["mean_ms"] = float(np.mean(columns["mean_ms"]))
    return {**record, "ci": ci, "faults": _shares(Counter(each.fault for each in scores))}


def _shares(found: Counter[str]) -> dict[str, float]:
    total = found.total()
    return {name: found[name] / total for name in FAULTS if found[name]}
