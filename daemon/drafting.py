"""Guesses at the next tokens: what followed the same few tokens before, here or nearby.

No second model: code repeats itself, so the longest match of the last tokens in the prompt, in what
was generated, in other documents and in earlier suggestions is continued as it went on there.
Knows token ids; knows no model and no text. After J. Saxena, "Prompt Lookup Decoding" (2023).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

LONGEST_MATCH = 32
MOST_PLACES = 64  # of a token, the latest, that are compared
ENOUGH = 6  # tokens matched nearby: farther away is not looked
REGARDED = 16  # places where one token alone matched, the latest
FADING = 0.8  # what a place counts beside the one after it
GAP = -1  # between two texts; no token


@dataclass(frozen=True)
class Guess:
    """Tokens that may come next, and how many tokens before them matched, 0…LONGEST_MATCH.

    `far`: it is from the library.
    """

    tokens: tuple[int, ...] = ()
    matched: int = 0
    far: bool = False


class NgramSource(Protocol):
    """A larger body of text, already indexed."""

    def follow(self, ids: Sequence[int], most: int) -> Guess:
        """What followed the last tokens of `ids` there."""
        ...


class Drafter:
    """Guesses what follows a growing text, out of that text and of `others`.

    `room` is how many tokens the text may grow by.
    """

    def __init__(
        self,
        text: Sequence[int],
        others: Iterable[Sequence[int]] = (),
        room: int = 512,
        library: NgramSource | None = None,
    ) -> None:
        nearby = [token for other in others for token in (*other, GAP)]
        self._start = len(nearby)
        self._end = len(nearby) + len(text)
        self._all = np.full(self._end + room, GAP, np.int32)
        self._all[: self._start] = nearby
        self._all[self._start : self._end] = text
        self._begun = self._end
        self._library = library

    def push(self, token: int) -> None:
        """The text has grown by a token."""
        if self._end < len(self._all):
            self._all[self._end] = token
            self._end += 1

    def reset(self) -> None:
        """Back to the text at the beginning."""
        self._end = self._begun

    def guesses(self, most: int) -> list[Guess]:
        """What is known from nearby and, where little matches there, from the library.

        At most `most` tokens each; none where the last token never stood before.
        """
        if most < 1 or self._end == self._start:
            return []
        near = self._lookup(most)
        found = [near] if near.tokens else []
        if self._library is not None and near.matched < ENOUGH:
            last = self._all[max(self._start, self._end - LONGEST_MATCH) : self._end].tolist()
            far = self._library.follow(last, most)
            found += [far] if far.tokens else []
        return found

    def _lookup(self, most: int) -> Guess:
        seen = self._all[: self._end]
        places = np.flatnonzero(seen[:-1] == seen[-1])[-MOST_PLACES:]
        matched, place = longest_match(seen, places, seen)
        if matched == 1:
            place = most_usual(seen, places)
        following: NDArray[np.int32] = seen[place + 1 : place + 1 + most] if matched else seen[:0]
        gaps = np.flatnonzero(following == GAP)
        tokens = following[: gaps[0]] if len(gaps) else following
        return Guess(tuple(tokens.tolist()), matched if len(tokens) else 0)


def longest_match(
    text: NDArray[np.int32], places: NDArray[np.int64], ending: NDArray[np.int32]
) -> tuple[int, int]:
    """How many tokens at the end of `ending` stand before and at one of `places`, and which one.

    At all places stands the last token of `ending`. The longest match wins, of equals the last.
    """
    if not len(places):
        return 0, 0
    length, alive = 1, places
    while length < min(LONGEST_MATCH, len(ending)) and ending[-1 - length] != GAP:
        reaching = alive[alive >= length]
        longer = reaching[text[reaching - length] == ending[-1 - length]]
        if not len(longer):
            break
        length, alive = length + 1, longer
    return length, int(alive[-1])


def most_usual(text: NDArray[np.int32], places: NDArray[np.int64]) -> int:
    """Of places, oldest first, the last one that is followed as most are; later ones count more."""
    latest: dict[int, int] = {}
    weights: dict[int, float] = {}
    weight = 1.0
    for place in places[: -1 - REGARDED : -1].tolist():
        token = int(text[place + 1])
        if token != GAP:
            latest.setdefault(token, place)
            weights[token] = weights.get(token, 0.0) + weight
        weight *= FADING
    return latest[max(weights, key=weights.__getitem__)] if weights else int(places[-1])
