"""The continuations of one prompt, one after the other: the greedy one, branches, or drawn ones.

Knows sequences and requests; knows no text and no filters.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np

from autocoder.daemon.decoding import Continuation, Decoding
from autocoder.daemon.drafting import Drafter, Guess
from autocoder.daemon.live_sequence import Branches, LiveSequence, Rows
from autocoder.daemon.lookahead import Lookahead
from autocoder.daemon.protocol import Complete
from autocoder.daemon.sampling import Logits, most_probable, penalised
from autocoder.daemon.speculation import Speculation, Tally


@dataclass(frozen=True)
class Start:
    """The end of a prompt, from which every candidate sets out. `recalled`: rows and guess are an
    earlier answer's, and so may `branches` be: what is known of other ways to go on."""

    sequence: LiveSequence
    rows: Sequence[Logits] | Rows
    guess: Guess
    drafter: Drafter | None
    lookahead: Lookahead
    tally: Tally
    recalled: bool = False
    branches: Branches = field(default_factory=dict)


def continuations(request: Complete, decoding: Decoding, start: Start) -> Iterator[Continuation]:
    """Continuations of a prompt, one after the other, each after rolling the last one back.

    Twice as many as candidates are wanted, since some will be empty or alike. Greedily, they
    branch at the first token, the most probable one first; sampled, each has its own seed.
    """
    length = len(start.sequence.ids) - len(start.guess.tokens)
    seed = secrets.randbits(64) if request.seed is None else request.seed
    attempts = 1 if request.candidates == 1 else 2 * request.candidates
    firsts: list[int | None] = [None] * attempts
    again = start
    if attempts > 1:
        again = replace(start, rows=[start.rows[0].copy()], guess=Guess(), recalled=True)
        if request.temperature <= 0:
            logits = decoding.agreement.weighed(again.rows[0], 0)
            firsts = list(first_tokens(decoding, start.sequence.ids[:length], logits, attempts))
    for number, first in enumerate(firsts):
        if number:
            start = again
            start.sequence.rewind(length)
            if start.drafter:
                start.drafter.reset()
        ahead = Speculation(
            start.sequence,
            start.rows,
            start.guess,
            start.drafter,
            start.lookahead,
            start.tally,
            lasting=start.recalled,
        )
        found = decoding.continuation(ahead, Random(f"{seed} {number}"), first)
        ahead.finish()
        yield found


def first_tokens(
    decoding: Decoding, ids: Sequence[int], logits: Logits, count: int
) -> Iterator[int]:
    """The greedy choice, then the next best tokens that do not end the text at once."""
    logits = penalised(logits, ids, decoding.sampling.repetition_penalty)
    best, *others = most_probable(logits, count + len(decoding.stop_ids))
    yield best
    others = [t for t in others if t not in decoding.stop_ids and np.isfinite(logits[t])]
    yield from others[: count - 1]
