"""How many guesses are worth judging: what a longer pass costs against what it is likely to bring.

A pass over 1 + k tokens judges k guesses. If each comes true with chance a, it yields
1 + a + a² + … + aᵏ tokens (Leviathan et al., "Fast Inference from Transformers via Speculative
Decoding", 2023), so k is best where that, divided by the pass's cost, is largest. Both are learned
as it goes: the chance by the length of the match behind a guess, the cost by the clock.

Knows numbers only.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace

from autocoder.daemon.drafting import LONGEST_MATCH, Guess

MOST_GUESSES = 16
# What passes of 1…17 tokens cost on two cores in units of one of two, before the clock was read.
FIRST_COSTS = (
    1.0,
    1.0,
    1.15,
    1.3,
    1.45,
    1.7,
    1.9,
    2.1,
    2.3,
    2.5,
    2.7,
    2.9,
    3.1,
    3.3,
    3.5,
    3.7,
    3.9,
)
# The chance that a guess comes true, by the tokens that matched before it: from 0, 1, 2… on.
MATCHES = (0, 1, 2, 3, 4, 6, 8, 12, 16, LONGEST_MATCH, LONGEST_MATCH + 1)
FIRST_CHANCES = (0.05, 0.3, 0.45, 0.55, 0.62, 0.7, 0.75, 0.8, 0.87, 0.93, 0.97)
AGAIN = LONGEST_MATCH + 1  # the match of a guess that continues the very same prompt as before
SLOWNESS = 0.05  # the weight of one observation


class Lookahead:
    """The running costs and chances of one machine and model."""

    def __init__(self) -> None:
        self._costs = list(FIRST_COSTS)
        self._chances = {far: list(FIRST_CHANCES) for far in (False, True)}
        self._pair_ms = 0.0

    def best(self, guesses: Iterable[Guess]) -> Guess:
        """The likeliest of some guesses, cut to what is worth its cost; none of none."""
        found = max(guesses, key=self._chance, default=Guess())
        return replace(found, tokens=found.tokens[: self._worth(self._chance(found))])

    def judged(self, guess: Guess, accepted: int) -> None:
        """So many tokens of a guess came true, one after the other."""
        chances, group = self._chances[guess.far], _group(guess.matched)
        for number in range(min(accepted + 1, len(guess.tokens))):
            chances[group] += SLOWNESS * ((number < accepted) - chances[group])

    def _chance(self, guess: Guess) -> float:
        return self._chances[guess.far][_group(guess.matched)]

    def _worth(self, chance: float) -> int:
        """How many guesses to judge; at least one, a pass having a second place anyway."""
        run, hoped, best, most = 1.0, 1.0, 0.0, 1
        for count in range(1, MOST_GUESSES + 1):
            run *= chance
            hoped += run
            if hoped / self._costs[count] > best:
                best, most = hoped / self._costs[count], count
        return most

    def took(self, tokens: int, milliseconds: float) -> None:
        """A pass of so many tokens was run. One far off the rest says something of the machine."""
        if not 1 <= tokens <= len(self._costs):
            return
        if tokens <= 2:
            self._pair_ms += (SLOWNESS if self._pair_ms else 1.0) * (milliseconds - self._pair_ms)
        elif self._pair_ms:
            cost = min(max(milliseconds / self._pair_ms, 1.0), 2.0 * FIRST_COSTS[tokens - 1])
            self._costs[tokens - 1] += SLOWNESS * (cost - self._costs[tokens - 1])


def _group(matched: int) -> int:
    return bisect_right(MATCHES, matched) - 1
