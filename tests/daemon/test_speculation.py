"""Guesses change the time and nothing else."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autocoder.daemon import completer as completer_module
from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.drafting import Drafter, Guess
from autocoder.daemon.live_sequence import LiveSequence
from autocoder.daemon.loading import load_completer
from autocoder.daemon.lookahead import (
    FIRST_COSTS,
    LONGEST_MATCH,
    MOST_GUESSES,
    TRIED_AGAIN,
    Lookahead,
    Luck,
)
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
    assert drafter.guesses(2) == [Guess((9, 5), 3)]


def test_of_equal_matches_the_latest_counts() -> None:
    assert Drafter([3, 5, 3, 6, 3]).guesses(1) == [Guess((6,), 1)]


def test_behind_a_single_token_comes_what_comes_mostly() -> None:
    assert Drafter([3, 5, 9, 3, 5, 8, 3, 6, 7, 3]).guesses(2) == [Guess((5, 8), 1)]


def test_other_texts_are_searched_and_not_run_together() -> None:
    assert Drafter([8, 1, 2], others=[[7, 1, 2, 4], [6, 6]]).guesses(4) == [Guess((4,), 2)]
    assert Drafter([9], others=[[7, 9], [4, 4]]).guesses(4) == []


def test_what_is_chosen_joins_the_text() -> None:
    drafter = Drafter([1, 2, 3], room=3)
    assert drafter.guesses(3) == []
    drafter.push(1)
    assert drafter.guesses(2) == [Guess((2, 3), 1)]
    drafter.push(2)
    assert drafter.guesses(9) == [Guess((3, 1, 2), 2)]
    drafter.reset()
    assert drafter.guesses(3) == []


def test_the_library_is_asked_where_little_matches_nearby() -> None:
    class Library:
        def follow(self, ids: Sequence[int], most: int) -> Guess:
            asked.append(list(ids))
            return Guess((7,), 2, far=True)

    asked: list[list[int]] = []
    assert Drafter([1, 2, 3], library=Library()).guesses(1) == [Guess((7,), 2, far=True)]
    assert asked == [[1, 2, 3]]
    long = [*range(1, 9), *range(1, 8)]
    assert Drafter(long, library=Library()).guesses(1) == [Guess((8,), 7)]
    assert len(asked) == 1


@pytest.mark.parametrize("text", [[], [1]])
def test_nothing_to_guess_from(text: list[int]) -> None:
    assert Drafter(text).guesses(5) == []
    assert Drafter([1, 1], room=0).guesses(0) == []


# How many

TOKENS = tuple(range(MOST_GUESSES))


def worth(lookahead: Lookahead, matched: int, luck: Luck | None = None) -> int:
    return len(lookahead.best([Guess(TOKENS, matched)], luck).tokens)


def test_better_matches_are_worth_more_guesses() -> None:
    counts = [worth(Lookahead(), matched) for matched in range(LONGEST_MATCH + 2)]
    assert counts == sorted(counts)
    assert counts[0] == 0 and 4 <= counts[-1] <= MOST_GUESSES


def test_the_likelier_guess_is_taken() -> None:
    near, far = Guess((1, 2), 2), Guess((3, 4), 8, far=True)
    lookahead = Lookahead()
    assert lookahead.best([near, far]).tokens[0] == 3
    for _ in range(200):
        lookahead.judged(far, accepted=0)
    assert lookahead.best([near, far]).tokens[0] == 1
    assert lookahead.best([]) == Guess()


def test_guesses_that_fail_are_seldom_made_again() -> None:
    lookahead = Lookahead()
    for _ in range(200):
        lookahead.judged(Guess(TOKENS, 5), accepted=0)
    assert sorted(worth(lookahead, 5) for _ in range(TRIED_AGAIN)) == [0] * (TRIED_AGAIN - 1) + [1]
    for _ in range(400):
        lookahead.judged(Guess(TOKENS[:3], 5), accepted=3)
    assert worth(lookahead, 5) > 6


def test_a_text_that_repeats_itself_is_guessed_far_ahead_and_one_that_does_not_is_not() -> None:
    lookahead, copied, odd = Lookahead(), Luck(), Luck()
    before = worth(lookahead, 12)
    for _ in range(3):
        copied.add(Guess(TOKENS[:8], 12), accepted=8)
        odd.add(Guess(TOKENS[:8], 12), accepted=0)
    assert worth(lookahead, 12, copied) > 2 * before > 4 * worth(lookahead, 12, odd)
    assert worth(lookahead, 2, odd) == worth(lookahead, 2)


def test_where_long_passes_are_cheap_more_is_guessed() -> None:
    wide = Lookahead()
    for _ in range(300):
        for tokens in range(1, len(FIRST_COSTS) + 1):
            wide.took(tokens, 10.0)
    assert worth(wide, 4) > worth(Lookahead(), 4)


# Choosing


def test_each_choice_sees_the_logits_it_would_see_without_guesses(fake_graph: Any) -> None:
    def answer(past: tuple[int, ...]) -> dict[int, float]:
        return {(sum(past) * 7 + len(past)) % 11: 0.9}

    def run(guesses: list[Guess]) -> tuple[list[int], list[np.ndarray]]:
        sequence = LiveSequence(fake_graph(answer, 11), 8)
        rows = sequence.extend_guessing([1, 2, 3], (), go_on)
        drafter = Drafter([1, 2, 3]) if guesses else None
        if drafter:
            drafter.guesses = lambda most: guesses[-1:] and [guesses.pop()]  # type: ignore[method-assign]
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
    line = "    report(total, number, values, average=total / max(1, len(values)), name=None)\n"
    request = Complete((REPEATED + line) * 6 + REPEATED + line[:11], language="python")
    answer = guessing.complete(request, never)
    assert answer.generated_tokens >= 10
    assert len(passes) - answer.prompt_tokens // 64 < answer.generated_tokens / 2


def test_nothing_is_judged_beyond_the_stop(guessing: ModelCompleter) -> None:
    request = Complete(REPEATED * 8 + "    total = total + ", language="python", max_lines=1)
    guessing.complete(request, never)
    sequence = guessing._engine._pool[-1].sequence
    said = b"".join(map(guessing._detokenizer.bytes_of, sequence.ids)).decode()
    assert said.count("\n") == 8
