"""The logits behind each chosen token, computed ahead where the next tokens can be guessed.

Guesses run in the same pass as the token before them. One that is then chosen was free; at the
first that is not, the rest is rolled back. Every choice is made from the very logits that it would
be made from without guesses, so guesses change the time and nothing else. Knows token ids and
logits; what is chosen, and which guesses could matter, is its caller's affair.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from autocoder.daemon.drafting import Drafter, Guess
from autocoder.daemon.live_sequence import Interrupt, LiveSequence, Logits, Rows
from autocoder.daemon.lookahead import MOST_GUESSES, Lookahead, Luck

Worth = Callable[[Sequence[int]], Sequence[int]]
"""The beginning of some guesses that could matter: what comes behind a stop never does."""


@dataclass
class Tally:
    """Tokens guessed, those of them that were chosen, and those of branches (`best_line.py`)."""

    drafted: int = 0
    accepted: int = 0
    branched: int = 0


class Speculation:
    """Continues a sequence whose last logits are `rows[0]`, with `guess` judged by further rows.

    `drafter` None: nothing is guessed. `lasting` rows are those of an earlier answer, kept; others,
    like those of any pass, are overwritten by the next one.
    """

    def __init__(
        self,
        sequence: LiveSequence,
        rows: Sequence[Logits] | Rows,
        guess: Guess,
        drafter: Drafter | None,
        lookahead: Lookahead,
        tally: Tally,
        *,
        lasting: bool = False,
    ) -> None:
        self._sequence = sequence
        self._rows = rows
        self._guess = guess
        self._at = 0  # how many of the guesses came true
        self._drafter = drafter
        self._lookahead = lookahead
        self._tally = tally
        self._luck = Luck()
        self._lasting = lasting
        self._seen: list[Logits] = []

    @property
    def logits(self) -> Logits:
        """Those (V,) behind the last token chosen, until the next pass."""
        row: Logits = self._rows[self._at]
        return row

    @property
    def seen(self) -> list[Logits]:
        """The logits that every token so far was chosen from, and those of now; to be kept."""
        return [*self._seen, self._kept()]

    def _kept(self) -> Logits:
        return self.logits if self._lasting else self.logits.copy()

    @property
    def ids(self) -> list[int]:
        """The tokens of the prompt and those chosen."""
        return self._sequence.ids[: len(self._sequence.ids) - self._pending]

    @property
    def room(self) -> int:
        """How many tokens still fit."""
        return self._sequence.room + self._pending

    @property
    def _pending(self) -> int:
        return len(self._guess.tokens) - self._at

    def choose(self, token: int, worth: Worth, interrupt: Interrupt) -> None:
        """Append a token; `logits` are then those behind it. Raises what a pass raises."""
        self._seen.append(self._kept())
        if self._drafter is not None:
            self._drafter.push(token)
        if self._pending and self._guess.tokens[self._at] == token:
            self._at += 1
            self._tally.accepted += not self._lasting
            return
        self.finish()
        self._guess = self._worth_judging(worth)
        began = perf_counter()
        self._rows = self._sequence.extend_guessing([token], self._guess.tokens, interrupt)
        self._lasting = False
        self._lookahead.took(1 + len(self._guess.tokens), 1000 * (perf_counter() - began))
        self._tally.drafted += len(self._guess.tokens)

    def finish(self) -> None:
        """Roll back the guesses that did not come true."""
        self._sequence.rewind(len(self._sequence.ids) - self._pending)
        if self._guess.tokens and not self._lasting:
            self._lookahead.judged(self._guess, self._at)
            self._luck.add(self._guess, self._at)
        self._guess, self._at = Guess(), 0

    def _worth_judging(self, worth: Worth) -> Guess:
        if self._drafter is None:
            return Guess()
        most = min(MOST_GUESSES, self._sequence.room - 1)
        guess = self._lookahead.best(self._drafter.guesses(most), self._luck)
        return replace(guess, tokens=tuple(worth(guess.tokens)))
