"""Choosing tokens: greedy, truncated, penalised, drawn; and the probability that is reported."""

from collections import Counter
from random import Random

import numpy as np
import pytest

from autocoder.daemon.errors import ModelError
from autocoder.daemon.sampling import (
    Sampling,
    choose,
    distribution,
    most_probable,
    penalised,
    probability,
)


def logits(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_greedy_takes_the_highest() -> None:
    assert choose(logits(0.1, 3, 2.9), [], Sampling(), Random(0)) == 1
    assert choose(logits(1, 3, 3), [], Sampling(temperature=2, top_k=1), Random(0)) == 1


def test_drawing_follows_the_softmax() -> None:
    scores = np.random.default_rng(1).normal(size=6).astype(np.float32)
    chance = Random(7)
    draws = Counter(choose(scores, [], Sampling(temperature=0.7), chance) for _ in range(20_000))
    expected = np.exp(scores / 0.7) / np.exp(scores / 0.7).sum()
    for token in range(6):
        assert draws[token] / 20_000 == pytest.approx(expected[token], abs=0.012)


def test_top_k_keeps_the_k_best() -> None:
    tokens, weights = distribution(logits(1, 4, 2, 3), Sampling(temperature=1, top_k=2))
    assert tokens.tolist() == [1, 3]
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.0, [2]), (0.5, [2]), (0.51, [2, 0]), (0.8, [2, 0]), (1.0, [2, 0, 1])]
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p: float, kept: list[int]) -> None:
    scores = np.log(logits(0.3, 0.2, 0.5))
    tokens, _ = distribution(scores, Sampling(temperature=1, top_p=top_p))
    assert tokens.tolist() == kept


def test_a_tiny_temperature_is_greedy() -> None:
    assert choose(logits(1, 1.001, 0), [], Sampling(temperature=1e-300), Random(3)) == 1


def test_the_same_seed_draws_the_same_tokens() -> None:
    scores = np.zeros(1000, np.float32)
    draws = [
        [choose(scores, [], Sampling(temperature=1), chance) for _ in range(20)]
        for chance in (Random(5), Random(5), Random(6))
    ]
    assert draws[0] == draws[1] != draws[2]


def test_the_penalty_lowers_seen_tokens_of_either_sign() -> None:
    scores = logits(2, -2, 1)
    assert penalised(scores, [0, 1, 0], 2.0).tolist() == [1, -4, 1]
    assert scores.tolist() == [2, -2, 1]
    assert choose(scores, [0], Sampling(repetition_penalty=4), Random(0)) == 2


def test_probability_is_the_softmax_of_the_untouched_logits() -> None:
    scores = np.random.default_rng(2).normal(0, 5, 24_576).astype(np.float32)
    exact = np.exp(scores.astype(np.float64) - scores.max())
    exact /= exact.sum()
    for token in (0, 17, int(scores.argmax())):
        assert probability(scores, token) == pytest.approx(exact[token], rel=1e-5)


def test_logits_that_are_not_numbers_are_an_error() -> None:
    with pytest.raises(ModelError, match="finite"):
        probability(logits(1, float("nan")), 0)


def test_the_most_probable_come_in_order() -> None:
    assert most_probable(logits(1, 5, 3, 5, 4), 3) == [1, 3, 4]
    assert most_probable(logits(1, 2), 9) == [1, 0]
