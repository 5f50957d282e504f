"""Guesses change the time and nothing else."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autocoder.daemon import completer as completer_module
from autocoder.daemon.completer import ModelCompleter, load_completer
from autocoder.daemon.drafting import Drafter, Guess
from autocoder.daemon.live_sequence import LiveSequence
from autocoder.daemon.lookahead import FIRST_COSTS, LONGEST_MATCH, MOST_GUESSES, Lookahead
from autocoder.daemon.protocol import Complete
from autocoder.daemon.speculation import Speculation, Tally

REPEATED = "    total = total + weights[index] * values[index]\n"


def never() -> bool:
    return False


def go_on() -> None:
    """Interrupts nothing."""


# Guessing


def test_what_followed_the_longest_match_is_guessed() -> None:
    drafter = Drafter([1, 2, 3, 9, 5, 2, 3, 7, 1, 2, 3])
    assert drafter.guess(2) == Guess((9, 5), 3)


def test_of_equal_matches_the_latest_counts() -> None:
    assert Drafter([3, 5, 3, 6, 3]).guess(1) == Guess((6,), 1)


def test_other_texts_are_searched_and_not_run_together() -> None:
    assert Drafter([8, 1, 2], others=[[7, 1, 2, 4], [6, 6]]).guess(4) == Guess((4,), 2)
    assert Drafter([9], others=[[7, 9], [4, 4]]).guess(4) == Guess()


def test_what_is_chosen_joins_the_text() -> None:
    drafter = Drafter([1, 2, 3], room=3)
    assert drafter.guess(3) == Guess()
    drafter.push(1)
    assert drafter.guess(2) == Guess((2, 3), 1)
    drafter.push(2)
    assert drafter.guess(9) == Guess((3, 1, 2), 2)
    drafter.reset()
    assert drafter.guess(3) == Guess()


@pytest.mark.parametrize("text", [[], [1]])
def test_nothing_to_guess_from(text: list[int]) -> None:
    assert Drafter(text).guess(5) == Guess()
    assert Drafter([1, 1], room=0).guess(0) == Guess()


# How many


def test_better_matches_are_worth_more_guesses() -> None:
    lookahead = Lookahead()
    counts = [lookahead.guesses(matched) for matched in range(LONGEST_MATCH + 2)]
    assert counts == sorted(counts)
    assert counts[0] == 1 and 4 <= counts[-1] <= MOST_GUESSES


def test_guesses_that_fail_are_not_made_again() -> None:
    lookahead = Lookahead()
    for _ in range(200):
        lookahead.judged(5, accepted=0, guesses=lookahead.guesses(5))
    assert lookahead.guesses(5) == 1
    for _ in range(400):
        lookahead.judged(5, accepted=3, guesses=3)
    assert lookahead.guesses(5) > 6


def test_where_long_passes_are_cheap_more_is_guessed() -> None:
    usual, wide = Lookahead(), Lookahead()
    for _ in range(300):
        for tokens in range(1, len(FIRST_COSTS) + 1):
            wide.took(tokens, 10.0)
    assert wide.guesses(4) > usual.guesses(4)


# Choosing


def test_each_choice_sees_the_logits_it_would_see_without_guesses(fake_graph: Any) -> None:
    def answer(past: tuple[int, ...]) -> dict[int, float]:
        return {(sum(past) * 7 + len(past)) % 11: 0.9}

    def run(guesses: list[Guess]) -> tuple[list[int], list[np.ndarray]]:
        sequence = LiveSequence(fake_graph(answer, 11), 8)
        rows = sequence.extend_guessing([1, 2, 3], (), go_on)
        drafter = Drafter([1, 2, 3]) if guesses else None
        if drafter:
            drafter.guess = lambda most: guesses.pop() if guesses else Guess()  # type: ignore[method-assign]
        ahead = Speculation(sequence, rows, Guess(), drafter, Lookahead(), Tally())
        chosen, seen = [], []
        for _ in range(12):
            seen.append(ahead.logits.copy())
            chosen.append(int(ahead.logits.argmax()))
            ahead.choose(chosen[-1], lambda some: some, go_on)
            assert ahead.ids == [1, 2, 3, *chosen]
        ahead.finish()
        assert sequence.ids == [1, 2, 3, *chosen]
        return chosen, seen

    plain, logits = run([])
    chance = random.Random(2)
    for _ in range(20):
        guesses = []
        for start in range(12):
            right = plain[start + 1 : start + 1 + chance.randint(0, 4)]
            guesses.append(Guess((*right, chance.randrange(11)), chance.randint(1, 8)))
        chance.shuffle(guesses)
        chosen, seen = run(guesses)
        assert chosen == plain
        assert all(np.array_equal(one, other) for one, other in zip(logits, seen, strict=True))


# The bundled model


def source() -> str:
    return Path(completer_module.__file__).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def guessing() -> ModelCompleter:
    return load_completer()


@pytest.fixture(scope="module")
def plain() -> ModelCompleter:
    made = load_completer()
    made.guesses = False
    return made


@pytest.mark.parametrize("lines", [1, 0])
def test_the_answer_is_that_of_plain_decoding_to_the_last_bit(
    guessing: ModelCompleter, plain: ModelCompleter, lines: int
) -> None:
    text, chance = source(), random.Random(lines)
    accepted = 0
    for number in range(8):
        cursor = chance.randrange(len(text))
        request = Complete(
            text[max(0, cursor - 800) : cursor],
            text[cursor:][:300] if number % 2 else "",
            language="python",
            max_lines=lines,
            max_tokens=32,
            temperature=0.8 if number % 3 == 2 else 0.0,
            seed=number,
        )
        with_guesses = guessing.complete(request, never)
        assert with_guesses.suggestions == plain.complete(request, never).suggestions
        accepted += with_guesses.accepted_tokens
    assert accepted > 0


def test_repeated_text_takes_few_passes(guessing: ModelCompleter, monkeypatch: Any) -> None:
    passes = []
    run = LiveSequence._run
    monkeypatch.setattr(LiveSequence, "_run", lambda *given: passes.append(1) or run(*given))
    request = Complete(REPEATED * 8, language="python", max_lines=0, max_tokens=64)
    answer = guessing.complete(request, never)
    assert answer.generated_tokens >= 10
    assert len(passes) - answer.prompt_tokens // 64 < answer.generated_tokens / 2


def test_nothing_is_judged_beyond_the_stop(guessing: ModelCompleter) -> None:
    request = Complete(REPEATED * 8 + "    total = total + ", language="python", max_lines=1)
    guessing.complete(request, never)
    sequence = guessing._engine._pool[-1].sequence
    said = b"".join(map(guessing._detokenizer.bytes_of, sequence.ids)).decode()
    assert said.count("\n") == 8
