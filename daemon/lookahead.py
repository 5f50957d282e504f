"""How many guesses are worth judging: what a longer pass costs against what it is likely to bring.

A pass over 1 + k tokens judges k guesses. If each comes true with chance a, it yields
1 + a + a² + … + aᵏ tokens (Leviathan et al., "Fast Inference from Transformers via Speculative
Decoding", 2023), so k is best where that, divided by the pass's cost, is largest; it may be 0. Both
are learned as it goes: the chance by the length of the match behind a guess, and by how guesses
have fared of late in this very text; the cost by the clock.

Knows numbers only.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from autocoder.daemon.drafting import LONGEST_MATCH, Guess

MOST_GUESSES = 16
# What passes of 1…17 tokens cost on two cores in units of one of one, before the clock was read.
FIRST_COSTS = (
    1.0,
    1.1,
    1.37,
    1.57,
    1.8,
    2.0,
    2.2,
    2.4,
    2.6,
    2.8,
    3.0,
    3.2,
    3.4,
    3.6,
    3.8,
    4.0,
    4.2,
)
# The chance that a guess comes true, by the tokens that matched before it: from 0, 1, 2… on.
MATCHES = (0, 1, 2, 3, 4, 6, 8, 12, 16, LONGEST_MATCH, LONGEST_MATCH + 1)
FIRST_CHANCES = (0.05, 0.3, 0.45, 0.55, 0.62, 0.7, 0.75, 0.8, 0.87, 0.93, 0.97)
AGAIN = LONGEST_MATCH + 1  # the match of a guess that continues the very same prompt as before
SURE = 4  # tokens that matched: such guesses fare alike in one text
SLOWNESS = 0.05  # the weight of one observation
PRIOR = 3.0  # guesses in this text that weigh as much as all that were made before
FORGETTING = 0.75  # of what is known of this text, at each pass
TRIED_AGAIN = 12  # one in so many guesses that are not worth it is judged all the same


@dataclass
class Luck:
    """How guesses have fared of late in one text: judged and come true, unsure and sure ones."""

    judged: list[float] = field(default_factory=lambda: [0.0, 0.0])
    right: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def weighed(self, guess: Guess, chance: float) -> float:
        """The chance of a guess's tokens, given what it is elsewhere."""
        sure = guess.matched >= SURE
        return (PRIOR * chance + self.right[sure]) / (PRIOR + self.judged[sure])

    def add(self, guess: Guess, accepted: int) -> None:
        """So many tokens of a guess came true, one after the other."""
        sure = guess.matched >= SURE
        judged = min(accepted + 1, len(guess.tokens))
        self.judged[sure] = FORGETTING * self.judged[sure] + judged
        self.right[sure] = FORGETTING * self.right[sure] + accepted


class Lookahead:
    """The running costs and chances of one machine and model."""

    def __init__(self) -> None:
        self._costs = list(FIRST_COSTS)
        self._chances = {far: list(FIRST_CHANCES) for far in (False, True)}
        self._single_ms = 0.0
        self._forgone = 0

    def best(self, guesses: Iterable[Guess], luck: Luck | None = None) -> Guess:
        """The likeliest of some guesses, cut to what is worth its cost; none of none."""
        text = luck or Luck()
        found = max(guesses, key=self._chance, default=Guess())
        if not found.tokens:
            return Guess()
        worth = self._worth(text.weighed(found, self._chance(found)))
        if not worth:  # what is never judged would never be known to be worth it again
            self._forgone = (self._forgone + 1) % TRIED_AGAIN
            worth = int(self._forgone == 0)
        return replace(found, tokens=found.tokens[:worth])

    def judged(self, guess: Guess, accepted: int) -> None:
        """So many tokens of a guess came true, one after the other."""
        chances, group = self._chances[guess.far], _group(guess.matched)
        for number in range(min(accepted + 1, len(guess.tokens))):
            chances[group] += SLOWNESS * ((number < accepted) - chances[group])

    def _chance(self, guess: Guess) -> float:
        return self._chances[guess.far][_group(guess.matched)]

    def _worth(self, chance: float) -> int:
        """How many guesses to judge."""
        run, hoped, best, most = 1.0, 1.0, 1.0 / self._costs[0], 0
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
        if tokens == 1:
            weight = SLOWNESS if self._single_ms else 1.0
            self._single_ms += weight * (milliseconds - self._single_ms)
        elif self._single_ms:
            first = FIRST_COSTS[tokens - 1]
            cost = min(max(milliseconds / self._single_ms, 1.0), 2.0 * first)
            self._costs[tokens - 1] += SLOWNESS * (cost - self._costs[tokens - 1])


def _group(matched: int) -> int:
    return bisect_right(MATCHES, matched) - 1
