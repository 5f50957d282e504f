"""What is made of measured keystrokes, and how idle time is shortened without changing them."""

import pytest

from autocoder.clients.bench.samples import Sample, quantile, typing_figures
from autocoder.clients.bench.typist import Pace
from autocoder.daemon.protocol import Completion, Suggestion


def answered(ms: float, text: str, *, prompt: int, cached: int, generated: int) -> Sample:
    suggestions = (Suggestion(text, 0.5, (0.5,), "line"),) if text else ()
    return Sample(ms, Completion(suggestions, prompt, cached, generated))


def test_quantiles_are_values_that_occurred() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile(list(range(1, 101)), 0.95) == 95
    assert quantile([], 0.5) is None


def test_figures_of_three_answers_and_a_superseded_key() -> None:
    found = typing_figures(
        [
            answered(10.0, "abcd", prompt=100, cached=0, generated=4),
            answered(20.0, "ab", prompt=100, cached=98, generated=2),
            answered(120.0, "", prompt=100, cached=97, generated=0),
            Sample(500.0, None),
        ]
    )
    assert found["p50_ms"] == 20.0 and found["p99_ms"] == 120.0
    assert found["nonempty_share"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["context_tokens"] == 100 and found["mean_chars"] == 3
    assert found["cached_share"] == 0.65
    assert found["tokens_per_key"] == pytest.approx((105 + 6) / 3, abs=1e-3)
    assert found["superseded_share"] == 0.25 and found["in_time_share"] == 0.5


def test_nothing_measured_gives_none_and_no_division() -> None:
    assert typing_figures([])["p50_ms"] is None


def test_speed_shortens_the_rest_behind_an_answer_only() -> None:
    assert Pace(10).rest_s(pause_s=1.0, answered_after_s=0.4) == pytest.approx(0.06)
    assert Pace(10).rest_s(pause_s=0.2, answered_after_s=0.3) == 0.0
    assert Pace().rest_s(pause_s=0.2, answered_after_s=0.05) == pytest.approx(0.15)
