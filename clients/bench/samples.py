"""What was measured of keystrokes, and the figures made of it. Pure; knows no daemon."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autocoder.daemon.protocol import Completion

IN_TIME_MS = 100.0


@dataclass(frozen=True)
class Sample:
    """One keystroke: milliseconds until its answer, and the answer; None if it was superseded."""

    latency_ms: float
    completion: Completion | None


def quantile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank quantile; None of nothing."""
    ordered = sorted(values)
    return round(ordered[round(share * (len(ordered) - 1))], 2) if ordered else None


def latencies(samples: Sequence[Sample]) -> dict[str, float | None]:
    """p50, p95 and p99 of the answered keystrokes, in milliseconds."""
    values = [sample.latency_ms for sample in samples if sample.completion]
    return {f"p{share}_ms": quantile(values, share / 100) for share in (50, 95, 99)}


def typing_figures(samples: Sequence[Sample]) -> dict[str, Any]:
    """The figures of a typist. Shares are 0…1; tokens and characters are means per answer.

    `cached_share` of all prompt tokens were found in the daemon's cache; `tokens_per_key` had to
    be computed: the rest of the prompt, what was decoded, and what was guessed in vain.
    """
    answers = [sample.completion for sample in samples if sample.completion]
    chars = [len(answer.suggestions[0].text) for answer in answers if answer.suggestions]
    prompt = sum(answer.prompt_tokens for answer in answers)
    cached = sum(answer.cached_tokens for answer in answers)
    generated = sum(answer.generated_tokens for answer in answers)
    drafted = sum(answer.drafted_tokens for answer in answers)
    accepted = sum(answer.accepted_tokens for answer in answers)
    computed = prompt - cached + generated + drafted - accepted
    return {
        **latencies(samples),
        "nonempty_share": _ratio(len(chars), len(answers)),
        "context_tokens": _ratio(prompt, len(answers)),
        "mean_chars": _ratio(sum(chars), len(chars)),
        "cached_share": _ratio(cached, prompt),
        "tokens_per_key": _ratio(computed, len(answers)),
        "prompt_tokens_per_key": _ratio(prompt - cached, len(answers)),
        "generated_tokens_per_key": _ratio(generated, len(answers)),
        "drafts_accepted_share": _ratio(accepted, drafted),
        "keys": len(samples),
        "superseded_share": _ratio(len(samples) - len(answers), len(samples)),
        "in_time_share": in_time_share(samples),
    }


def in_time_share(samples: Sequence[Sample]) -> float | None:
    """The share of all keystrokes that were answered within 100 ms."""
    in_time = sum(sample.latency_ms <= IN_TIME_MS for sample in samples if sample.completion)
    return _ratio(in_time, len(samples))


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None
