"""The prefix cache: what is shared is not computed again, and the answer is the same."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from autocoder.daemon.engine import Engine, common_prefix
from autocoder.daemon.errors import ModelError

VOCABULARY = 50


def pseudo_random(past: tuple[int, ...]) -> Mapping[int, float]:
    """An answer that depends on every token of the past."""
    chance = random.Random(str(past))
    weights = [chance.random() for _ in range(VOCABULARY)]
    return {token: weight / sum(weights) for token, weight in enumerate(weights)}


def go_on() -> None:
    """Interrupts nothing."""


@pytest.fixture
def graph(fake_graph: Any) -> Any:
    return fake_graph(pseudo_random, VOCABULARY, capacity=200)


def fresh_logits(graph: Any, ids: Sequence[int]) -> np.ndarray:
    return graph.run(graph.new_cache(), 0, np.asarray(ids))


def test_a_prompt_is_run_in_chunks(graph: Any) -> None:
    _, cached, logits = Engine(graph, chunk=8).prefill(range(20), go_on)
    assert cached == 0
    assert graph.passes == [(0, 8), (8, 8), (16, 4)]
    assert np.array_equal(logits, fresh_logits(graph, range(20)))


def test_typing_computes_only_the_new_tokens(graph: Any) -> None:
    engine = Engine(graph)
    engine.prefill([*range(30), 49], go_on)
    graph.passes.clear()
    _, cached, logits = engine.prefill([*range(32), 49], go_on)
    assert cached == 30
    assert graph.passes == [(30, 3)]
    assert np.array_equal(logits, fresh_logits(graph, [*range(32), 49]))


def test_the_same_prompt_again_costs_one_token(graph: Any) -> None:
    engine = Engine(graph)
    first = engine.prefill(range(20), go_on)[2]
    graph.passes.clear()
    _, cached, again = engine.prefill(range(20), go_on)
    assert cached == 19
    assert graph.passes == [(19, 1)]
    assert np.array_equal(first, again)


def test_rolling_back_forgets_what_was_decoded(graph: Any) -> None:
    engine = Engine(graph)
    sequence, _, before = engine.prefill(range(10), go_on)
    sequence.extend([1, 2, 3], go_on)
    sequence.rewind(9)
    assert np.array_equal(sequence.extend([9], go_on), before)
    assert sequence.ids == list(range(10))


def test_two_documents_keep_their_caches(graph: Any) -> None:
    engine = Engine(graph, sequences=2)
    one, other = [0, *range(1, 20)], [0, *range(30, 49)]
    engine.prefill(one, go_on)
    engine.prefill(other, go_on)
    assert engine.prefill([*one, 5], go_on)[1] == len(one)
    assert engine.prefill([*other, 5], go_on)[1] == len(other)


def test_the_longest_unused_sequence_makes_room(graph: Any) -> None:
    engine = Engine(graph, sequences=2)
    documents = [[first] * 20 for first in range(3)]
    for document in (documents[0], documents[1], documents[0], documents[2]):
        engine.prefill(document, go_on)
    assert engine.prefill(documents[0], go_on)[1] == 19
    assert engine.prefill(documents[1], go_on)[1] == 0


def test_an_interrupt_stops_within_one_pass_and_keeps_what_is_done(graph: Any) -> None:
    engine = Engine(graph, chunk=8)

    def after_two_passes() -> None:
        if len(graph.passes) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        engine.prefill(range(100), after_two_passes)
    assert graph.passes == [(0, 8), (8, 8)]
    _, cached, logits = engine.prefill(range(100), go_on)
    assert cached == 16
    assert np.array_equal(logits, fresh_logits(graph, range(100)))


def test_a_failed_pass_leaves_the_cache_valid(graph: Any, monkeypatch: Any) -> None:
    engine = Engine(graph, chunk=8)
    run = graph.run

    def fail(cache: Any, past: int, ids: Any) -> Any:
        cache[past] = 7  # what a pass broken off in its midst leaves behind
        raise ModelError("out of memory")

    engine.prefill(range(8), go_on)
    monkeypatch.setattr(graph, "run", fail)
    with pytest.raises(ModelError):
        engine.prefill(range(20), go_on)
    monkeypatch.setattr(graph, "run", run)
    _, cached, logits = engine.prefill(range(20), go_on)
    assert cached == 8
    assert np.array_equal(logits, fresh_logits(graph, range(20)))


def test_random_edits_always_give_the_fresh_answer(graph: Any) -> None:
    engine, chance = Engine(graph, sequences=2, chunk=7), random.Random(3)
    ids = [1]
    for _ in range(60):
        ids = ids[: chance.randint(1, len(ids))]
        ids += [chance.randrange(VOCABULARY) for _ in range(chance.randint(0, 15))]
        assert np.array_equal(engine.prefill(ids, go_on)[2], fresh_logits(graph, ids))


@pytest.mark.parametrize("length", [0, 201])
def test_a_prompt_must_fit(graph: Any, length: int) -> None:
    with pytest.raises(ModelError, match=f"{length} tokens"):
        Engine(graph).prefill([1] * length, go_on)


def test_a_full_cache_takes_no_more(graph: Any) -> None:
    sequence, _, _ = Engine(graph).prefill([1] * 200, go_on)
    assert sequence.room == 0
    with pytest.raises(ModelError, match="do not fit"):
        sequence.extend([1], go_on)


def test_common_prefix() -> None:
    assert common_prefix([1, 2, 3], [1, 2, 4]) == 2
    assert common_prefix([], [1]) == 0
    assert common_prefix([1, 2], [1, 2, 3]) == 2
