"""Token healing: the tokens before the cursor are given back, and their text chosen anew.

A cursor in mid-word splits tokens as training seldom saw: behind `enum` the model has no good way
to say `enumerate`, which is a token of its own, and behind `self.` none to say `.items`. So the
tokens of the unfinished word, or the mark or blanks that the text ends in, are taken off the
prompt, and the first tokens chosen must agree with their bytes: each is the token that was typed
there, or one that begins with all that is left of the text. Shorter ones would agree too, but spell
the text as no tokenizer does, and what follows them goes astray (`fac`, `tor`, `ia`, `load`).

Knows bytes and token ids; knows no tokenizer's rules, no model. The idea is that of S. Lundberg,
"The Art of Prompt Design: Prompt Boundaries and Token Healing" (2023).
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]  # (V,)
MOST_TOKENS = 8  # given back at most


def unfinished(pieces: Sequence[bytes], *, marks: bool = True) -> int:
    """How many of the last tokens, given by their bytes, the text may yet make others of.

    Those of the word that it ends in; else, with `marks`, the last one, unless that breaks the
    line: behind an indentation nothing was gained.
    """
    count, inside = 0, True
    while inside and count < min(len(pieces), MOST_TOKENS):
        piece = pieces[-1 - count]
        count += bool(piece) and _in_word(piece[-1])
        inside = bool(piece) and all(map(_in_word, piece))
    if marks and not count and pieces and pieces[-1] and b"\n" not in pieces[-1]:
        return 1
    return count


def _in_word(byte: int) -> bool:
    """A letter, digit or underscore, or a byte of any character beyond ASCII."""
    return byte >= 0x80 or byte == 0x5F or chr(byte).isalnum()


class Vocabulary:
    """The tokens of a model by their bytes, `pieces[token]`; those without any are never found."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        found = [token for token, piece in enumerate(pieces) if piece]
        found.sort(key=pieces.__getitem__)
        self._pieces = [pieces[token] for token in found]
        self._tokens = np.asarray(found, np.int64)

    def beginning_with(self, text: bytes) -> NDArray[np.int64]:
        """The tokens that begin with `text`."""
        last = text.rstrip(b"\xff")
        after = last[:-1] + bytes([last[-1] + 1]) if last else None
        end = len(self._pieces) if after is None else bisect_left(self._pieces, after)
        return self._tokens[bisect_left(self._pieces, text) : end]


@dataclass(frozen=True)
class Agreement:
    """The text with which what is decoded must begin: that of the tokens taken off the prompt.

    `typed` are those tokens and their bytes, in order.
    """

    typed: Sequence[tuple[int, bytes]]
    vocabulary: Vocabulary

    @cached_property
    def text(self) -> bytes:
        return b"".join(piece for _, piece in self.typed)

    def allowed(self, written: int) -> NDArray[np.int64] | None:
        """The tokens that agree after `written` bytes; None where all do."""
        if written >= len(self.text):
            return None
        covering = self.vocabulary.beginning_with(self.text[written:])
        return np.append(covering, self._typed_at[written])

    def weighed(self, logits: Logits, written: int) -> Logits:
        """The logits after `written` bytes, those of tokens that disagree at minus infinity."""
        allowed = self.allowed(written)
        if allowed is None:
            return logits
        weighed = np.full_like(logits, -np.inf)
        weighed[allowed] = logits[allowed]
        return weighed

    @cached_property
    def _typed_at(self) -> dict[int, int]:
        """Where each typed token begins, in bytes."""
        starts = accumulate((len(piece) for _, piece in self.typed), initial=0)
        return {start: token for start, (token, _) in zip(starts, self.typed, strict=False)}
