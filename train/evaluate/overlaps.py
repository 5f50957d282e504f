"""The longest verbatim overlap of each of a few texts with a stream of many: bytes, exact.

Every run of SEED bytes of the texts is hashed; a document that streams past is hashed at every byte
by the same polynomial, in numpy, and only where a hash is found are bytes compared and the match
extended. Memory: the texts, their hashes, and one document. Seeds that are mostly blank are left
out, since indentation is nobody's secret. Knows bytes; knows no model.

The hash is that of Karp and Rabin, "Efficient randomized pattern-matching algorithms" (1987).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SEED = 32  # bytes; shorter overlaps are not looked for
FEWEST_VISIBLE = 12  # bytes of a seed that are no blanks
BASE = 0x9E3779B97F4A7C15  # odd, its bits well mixed
TABLE_BITS = 22
BLANKS = np.frombuffer(b" \t\r\n", np.uint8)


@dataclass(frozen=True)
class Overlap:
    """`length` bytes of a text, from `start` on, stand verbatim in the document `where`."""

    length: int = 0
    start: int = 0
    where: str = ""


class Overlaps:
    """Finds overlaps of `texts`; `longest` has one for each of them, of length 0 where none.

    What stands in the text of `known` with the same number is no overlap: a prompt may be copied.
    """

    def __init__(self, texts: Sequence[str], known: Sequence[str] | None = None) -> None:
        self.texts = [text.encode() for text in texts]
        self._known = [text.encode() for text in known or [""] * len(texts)]
        self.longest = [Overlap() for _ in texts]
        self._places: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._table = np.zeros(1 << TABLE_BITS, np.bool_)
        for number, text in enumerate(self.texts):
            self._add(number, text)

    def _add(self, number: int, text: bytes) -> None:
        data = np.frombuffer(text, np.uint8)
        visible = np.concatenate([[0], np.cumsum(~np.isin(data, BLANKS))])
        for at, value in enumerate(hashes(data)):
            if visible[at + SEED] - visible[at] >= FEWEST_VISIBLE:
                self._places[int(value)].append((number, at))
                self._table[_slot(value)] = True

    def feed(self, document: str, where: str) -> None:
        """Look for the texts in one document."""
        data = document.encode()
        found = hashes(np.frombuffer(data, np.uint8))
        ends: dict[tuple[int, int], int] = {}  # (text, offset of document to text) → match's end
        for at in np.flatnonzero(self._table[_slot(found)]):
            for number, start in self._places.get(int(found[at]), ()):
                if ends.get((number, at - start), 0) <= at:
                    ends[number, at - start] = self._extend(data, int(at), number, start, where)

    def _extend(self, data: bytes, at: int, number: int, start: int, where: str) -> int:
        """Compare around a seed; remember the match if it is the text's longest. Its end."""
        text = self.texts[number]
        if data[at : at + SEED] != text[start : start + SEED]:
            return 0
        before = _common(data[:at][::-1], text[:start][::-1])
        after = _common(data[at:], text[start:])
        found = text[start - before : start + after]
        if len(found) > self.longest[number].length and found not in self._known[number]:
            self.longest[number] = Overlap(before + after, start - before, where)
        return at + after


def hashes(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The polynomial hash of every run of SEED bytes, built by doubling."""
    values = data.astype(np.uint64) + np.uint64(1)
    factor, width = BASE, 1
    while width < SEED:
        if len(values) <= width:
            return np.empty(0, np.uint64)
        values = values[:-width] + values[width:] * np.uint64(factor)
        factor, width = factor * factor % 2**64, 2 * width
    return values


def _slot(values: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    return np.asarray(values) >> np.uint64(64 - TABLE_BITS)


def _common(one: bytes, other: bytes) -> int:
    """Length of the common beginning."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(
        np.frombuffer(one, np.uint8, length) != np.frombuffer(other, np.uint8, length)
    )
    return int(differ[0]) if len(differ) else length
