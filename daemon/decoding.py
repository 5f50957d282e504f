"""Continues a sequence token by token until the text stops. Knows no prompt and no request."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from random import Random

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.detokenizer import Detokenizer
from autocoder.daemon.healing import Agreement
from autocoder.daemon.live_sequence import Interrupt, Logits
from autocoder.daemon.sampling import Sampling, choose, probability
from autocoder.daemon.speculation import Speculation
from autocoder.daemon.stopping import StopRules


@dataclass(frozen=True)
class Continuation:
    """The tokens chosen, a closing one included, and why the text ended.

    Of each but a closing one, the bytes and the probability. The first `repeated` bytes are text
    from before the cursor, chosen anew; `length` bytes behind them are kept. `rows`: the logits
    (V,) that each token was chosen from.
    """

    tokens: tuple[int, ...]
    pieces: tuple[bytes, ...]
    probabilities: tuple[float, ...]
    repeated: int
    length: int
    stopped_by: str
    rows: tuple[Logits, ...] = field(default=(), repr=False, compare=False)

    @property
    def kept(self) -> bytes:
        return b"".join(self.pieces)[self.repeated :][: self.length]

    def probabilities_within(self, length: int) -> tuple[float, ...]:
        """Those of the tokens of which any byte lies in the first `length` kept, each in whole."""
        ends = [end - self.repeated for end in accumulate(map(len, self.pieces))]
        starts = [0, *ends]  # the last one starts nothing
        triples = zip(self.probabilities, starts, ends, strict=False)
        return tuple(chance for chance, start, end in triples if start < length and end > 0)


@dataclass(frozen=True)
class Decoding:
    """How one request wants its sequences continued."""

    detokenizer: Detokenizer
    stop_ids: Set[int]
    rules: StopRules
    sampling: Sampling
    max_tokens: int
    agreement: Agreement
    interrupt: Interrupt

    def continuation(
        self, ahead: Speculation, chance: Random, first: int | None = None
    ) -> Continuation:
        """Continue a sequence; `first` is the first token, if fixed.

        Raises ModelError where the model fails, and whatever `interrupt` raises.
        """
        tokens: list[int] = []
        pieces: list[bytes] = []
        probabilities: list[float] = []
        end: tuple[int, str] | None = None
        while end is None:
            logits = self.agreement.weighed(ahead.logits, sum(map(len, pieces)))
            token = choose(logits, ahead.ids, self.sampling, chance) if first is None else first
            first = None
            tokens.append(token)
            if token in self.stop_ids:
                end = len(self.new_text(pieces)), "end"
                break
            pieces.append(self.detokenizer.bytes_of(token))
            probabilities.append(probability(logits, token))
            end = self.end(pieces, ahead.room)
            if end is None:
                ahead.choose(token, lambda guesses: self.worth(pieces, guesses), self.interrupt)
        repeated = len(self.agreement.text)
        said = (tuple(tokens), tuple(pieces), tuple(probabilities))
        return Continuation(*said, repeated, *end, rows=tuple(ahead.seen))

    def worth(self, pieces: Sequence[bytes], guesses: Sequence[int]) -> Sequence[int]:
        """The guesses up to the one behind which the text would end: its logits are not needed."""
        text = list(pieces)
        for number, guess in enumerate(guesses):
            text.append(self.detokenizer.bytes_of(guess))
            if guess in self.stop_ids or self.end(text, 1) is not None:
                return guesses[:number]
        return guesses

    def closing(self, pieces: Sequence[bytes]) -> NDArray[np.int64]:
        """The tokens that would end the text here without adding to it."""
        end = self.end((*pieces, b"\n"), 1)
        return self._closing[end is not None and end[1] == "line"]

    @cached_property
    def _closing(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The closing tokens, and those with line breaks."""
        stops, breaks = self.stop_ids, self.stop_ids | self.detokenizer.breaks
        return np.array(sorted(stops), np.int64), np.array(sorted(breaks), np.int64)

    def _said(self, pieces: Sequence[bytes]) -> int:
        """How many of the tokens reach beyond the text that was there."""
        there = len(self.agreement.text)
        return sum(end > there for end in accumulate(map(len, pieces))) if there else len(pieces)

    def new_text(self, pieces: Sequence[bytes]) -> bytes:
        """What tokens say beyond the text that was there."""
        return b"".join(pieces)[len(self.agreement.text) :]

    def end(self, pieces: Sequence[bytes], room: int) -> tuple[int, str] | None:
        """How many bytes to keep and why the text ends here, or None to go on."""
        text = self.new_text(pieces)
        cut = self.rules.cut(text) if text else None
        if cut is not None:
            return cut
        if self._said(pieces) >= self.max_tokens:
            return len(text), "length"
        return None if room else (len(text), "context")
