"""N-grams of token ids in sorted order: what followed the last few tokens in a body of text.

Knows token ids; knows no files and no model.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.drafting import GAP, LONGEST_MATCH, Guess, longest_match

ORDER = 3  # tokens that are sorted by
FEWEST = 2  # that must match; behind a single one, one guess in ten comes true
BITS = 21  # of a token
MOST_PLACES = 64

Ids = NDArray[np.int32]


class Ngrams:
    """Texts of token ids, each closed by GAP, sorted by the ORDER tokens that precede each place.

    The last of them counts most, so that those that share one, two or three are neighbours.
    """

    def __init__(self, texts: Sequence[Ids]) -> None:
        self._ids = np.concatenate(texts)
        keys = _keys(self._ids)
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._ends = (order + ORDER - 1).astype(np.int32)

    def __len__(self) -> int:
        return len(self._ids)

    def follow(self, ids: Sequence[int], most: int) -> Guess:
        """See `NgramSource.follow`.

        Behind ORDER tokens or more the longest match is continued; behind FEWEST, what most often
        followed is the one guess.
        """
        wanted = np.asarray(ids[-LONGEST_MATCH:], np.int32)
        for length in range(min(ORDER, len(wanted)), FEWEST - 1, -1):
            places = self._places(wanted[-length:])
            if len(places) and length == ORDER:
                return self._longest(places, wanted, most)
            if len(places):
                return self._usual(places, length)
        return Guess()

    def _places(self, last: Ids) -> NDArray[np.int64]:
        """Where these tokens stand; each place is that of the last of them."""
        if (last == GAP).any():
            return np.zeros(0, np.int64)
        low = _key(last)
        high = low + (1 << BITS * (ORDER - len(last)))
        first, after = np.searchsorted(self._keys, [low, high])
        return self._ends[first:after].astype(np.int64)

    def _longest(self, places: NDArray[np.int64], wanted: Ids, most: int) -> Guess:
        matched, place = longest_match(self._ids, places[-MOST_PLACES:], wanted)
        following = self._ids[place + 1 : place + 1 + most].tolist()
        tokens = following[: following.index(GAP)] if GAP in following else following
        return Guess(tuple(tokens), matched, far=True)

    def _usual(self, places: NDArray[np.int64], matched: int) -> Guess:
        some = places[:: max(1, len(places) // MOST_PLACES)]
        tokens, counts = np.unique(self._ids[some + 1], return_counts=True)
        token = int(tokens[counts.argmax()])
        return Guess((token,), matched, far=True) if token != GAP else Guess()


def _keys(ids: Ids) -> NDArray[np.int64]:
    """One number for each run of ORDER tokens, whose ids are below 2²¹."""
    wide = ids.astype(np.int64) + 1
    count = max(len(ids) - ORDER + 1, 0)
    keys = np.zeros(count, np.int64)
    for offset in reversed(range(ORDER)):
        keys = (keys << BITS) | wide[offset : offset + count]
    return keys


def _key(last: Ids) -> int:
    """The least key of a run that ends in these tokens."""
    key = 0
    for token in reversed(last.tolist()):
        key = (key << BITS) | (token + 1)
    return key << BITS * (ORDER - len(last))
