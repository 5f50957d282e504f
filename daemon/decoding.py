"""Continues a sequence token by token until the text stops. Knows no prompt and no request."""

from collections.abc import Set
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from autocoder.daemon.detokenizer import Detokenizer
from autocoder.daemon.live_sequence import Interrupt, LiveSequence
from autocoder.daemon.sampling import Logits, Sampling, choose, probability
from autocoder.daemon.stopping import StopRules


@dataclass(frozen=True)
class Draft:
    """The bytes and the probability of each token, and why the text ended.

    `length` bytes are kept of all; `passes` tokens were chosen, a closing one included.
    """

    pieces: tuple[bytes, ...]
    probabilities: tuple[float, ...]
    length: int
    stopped_by: str
    passes: int

    @property
    def kept(self) -> bytes:
        return b"".join(self.pieces)[: self.length]

    def probabilities_within(self, length: int) -> tuple[float, ...]:
        """Those of the tokens of which any byte lies in the first `length`, each in whole."""
        starts = accumulate(map(len, self.pieces), initial=0)  # the last one starts nothing
        pairs = zip(self.probabilities, starts, strict=False)
        return tuple(probability for probability, start in pairs if start < length)


@dataclass(frozen=True)
class Decoding:
    """How one request wants its sequences continued."""

    detokenizer: Detokenizer
    stop_ids: Set[int]
    rules: StopRules
    sampling: Sampling
    max_tokens: int
    interrupt: Interrupt

    def draft(
        self, sequence: LiveSequence, logits: Logits, chance: Random, first: int | None = None
    ) -> Draft:
        """Continue `sequence`, whose last logits are given; `first` is the first token, if fixed.

        Raises ModelError where the model fails, and whatever `interrupt` raises.
        """
        pieces: list[bytes] = []
        probabilities: list[float] = []
        token = choose(logits, sequence.ids, self.sampling, chance) if first is None else first
        while token not in self.stop_ids:
            pieces.append(self.detokenizer.bytes_of(token))
            probabilities.append(probability(logits, token))
            end = self._end(pieces, sequence.room)
            if end is not None:
                return Draft(tuple(pieces), tuple(probabilities), *end, len(pieces))
            logits = sequence.extend([token], self.interrupt)
            token = choose(logits, sequence.ids, self.sampling, chance)
        length = sum(map(len, pieces))
        return Draft(tuple(pieces), tuple(probabilities), length, "end", len(pieces) + 1)

    def _end(self, pieces: list[bytes], room: int) -> tuple[int, str] | None:
        """How many bytes to keep and why the text ends here, or None to go on."""
        text = b"".join(pieces)
        cut = self.rules.cut(text)
        if cut is not None:
            return cut
        if len(pieces) == self.max_tokens:
            return len(text), "length"
        return None if room else (len(text), "context")
