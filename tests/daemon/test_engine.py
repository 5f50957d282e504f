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
    run = graph.run_rows

    def fail(cache: Any, past: int, ids: Any, rows: int) -> Any:
        cache[past] = 7  # what a pass broken off in its midst leaves behind
        raise ModelError("out of memory")

    engine.prefill(range(8), go_on)
    monkeypatch.setattr(graph, "run_rows", fail)
    with pytest.raises(ModelError):
        engine.prefill(range(20), go_on)
    monkeypatch.setattr(graph, "run_rows", run)
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


# One pool for all documents


def document(first: int, length: int = 40) -> list[int]:
    return [first, *(token % VOCABULARY for token in range(first, first + length - 1))]


def test_four_buffers_typed_in_alternately_never_begin_anew(graph: Any) -> None:
    engine = Engine(graph)
    buffers = {name: document(number) for number, name in enumerate("abcd")}
    for name, ids in buffers.items():
        engine.prefill(ids, go_on, name)
    graph.passes.clear()
    for key in range(20):
        for name, ids in buffers.items():
            ids.append(key)
            engine.prefill(ids, go_on, name)
    assert all(tokens <= 2 for _, tokens in graph.passes)


def test_a_branch_copies_what_is_shared_and_leaves_the_other_alone(graph: Any) -> None:
    engine, trunk = Engine(graph), list(range(40))
    here, there = [*trunk, *[7] * 100], [*trunk, *[8] * 100]
    engine.prefill(here, go_on, "a")
    _, cached, logits = engine.prefill(there, go_on, "a")
    assert cached == 40
    assert np.array_equal(logits, fresh_logits(graph, there))
    _, cached, logits = engine.prefill(here, go_on, "a")
    assert cached == 139
    assert np.array_equal(logits, fresh_logits(graph, here))


def test_a_few_tokens_taken_back_need_no_second_sequence(graph: Any) -> None:
    engine = Engine(graph)
    for length in (100, 90, 95, 60):
        engine.prefill(range(length), go_on)
    assert len(engine) == 1


def test_what_was_generated_is_no_loss(graph: Any) -> None:
    engine = Engine(graph)
    sequence, _, _ = engine.prefill(range(60), go_on)
    sequence.extend([1] * 60, go_on)
    claim = engine.claim([*range(60), 5])
    assert claim.cached == 60
    assert len(engine) == 1


def test_jumping_about_in_one_document_evicts_no_other(graph: Any) -> None:
    engine = Engine(graph, cache_bytes=1000)
    quiet = [1] * 100
    engine.prefill(quiet, go_on, "quiet")
    for number in range(2, 40):
        engine.prefill([number] * 100, go_on, "jumpy")
        assert engine.bytes <= 1000
    assert engine.prefill(quiet, go_on, "quiet")[1] == 99


def test_the_budget_is_kept_however_small(graph: Any) -> None:
    engine, chance = Engine(graph, cache_bytes=1), random.Random(4)
    for _ in range(20):
        ids = [chance.randrange(3) for _ in range(chance.randint(1, 199))]
        assert np.array_equal(engine.prefill(ids, go_on)[2], fresh_logits(graph, ids))
        assert len(engine) == 1


def test_a_device_that_copies_nothing_computes_it_again(graph: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(graph, "copy_cache", lambda source, target, length: False)
    engine = Engine(graph)
    engine.prefill([*range(40), *[7] * 100], go_on)
    ids = [*range(40), *[8] * 100]
    _, cached, logits = engine.prefill(ids, go_on)
    assert cached == 0
    assert np.array_equal(logits, fresh_logits(graph, ids))


def test_a_graph_that_runs_one_row_only_is_served_too(graph: Any) -> None:
    class OneRow:
        capacity = graph.capacity
        new_cache = staticmethod(graph.new_cache)
        run = staticmethod(graph.run)

    engine = Engine(OneRow(), sequences=1)
    for ids in (range(50), [1, 2, 3], range(60)):
        assert np.array_equal(engine.prefill(list(ids), go_on)[2], fresh_logits(graph, list(ids)))
    assert not engine.guesses and len(engine) == 1


def test_no_pass_is_shorter_than_the_graph_wants(graph: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(graph, "least", 2)
    engine = Engine(graph, chunk=8)
    sequence, _, _ = engine.prefill(range(17), go_on)
    assert np.array_equal(sequence.extend([3], go_on), fresh_logits(graph, [*range(17), 3]))
    assert graph.passes[:4] == [(0, 8), (8, 8), (15, 2), (16, 2)]


def test_guesses_are_judged_in_one_pass(graph: Any) -> None:
    sequence, _, _ = Engine(graph).prefill(range(10), go_on)
    graph.passes.clear()
    rows = sequence.extend_guessing([1], [2, 3], go_on)
    assert graph.passes == [(10, 3)]
    for number, ids in enumerate(([1], [1, 2], [1, 2, 3])):
        assert np.array_equal(rows[number], fresh_logits(graph, [*range(10), *ids]))
