"""Which cleaned documents enter the corpus: tests thinned, duplicates removed.

Knows hashes, sizes and paths; reads no text.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autocoder.train.corpus.duplicates import exact_duplicates, near_duplicates
from autocoder.train.corpus.index import Index
from autocoder.train.corpus.split import SPLITS, keeps

KEPT, THINNED, EXACT, NEAR = range(4)
FATES = ("kept", "test thinned", "exact duplicate", "near duplicate")


@dataclass(frozen=True)
class Selection:
    """For each document of an index its fate (a number into FATES) and its split (into SPLITS)."""

    fate: np.ndarray
    split: np.ndarray

    def rows(self, split: str) -> np.ndarray:
        """The rows kept in a split, in the order of the index."""
        return np.flatnonzero((self.fate == KEPT) & (self.split == SPLITS.index(split)))


def select(index: Index, test_share: float) -> Selection:
    """Decide about every document; the answer depends on the cleaned documents alone."""
    numbers = np.array([SPLITS.index(row.split) for row in index.repositories], np.int8)
    split = numbers[index.repository]
    fate = np.full(len(index), KEPT, np.int8)
    fate[~kept_by_thinning(index, test_share)] = THINNED
    mark(fate, EXACT, exact_duplicates, index.columns["exact"], np.ones(len(index), bool))
    mark(fate, NEAR, near_duplicates, index.columns["minhash"], index.columns["windows"])
    return Selection(fate, split)


def kept_by_thinning(index: Index, test_share: float) -> np.ndarray:
    columns = zip(index.repository, index.columns["path"], index.columns["test"], strict=True)
    rows = [
        keeps(
            index.repositories[number].split,
            index.repositories[number].name,
            path,
            test,
            test_share,
        )
        for number, path, test in columns
    ]
    return np.array(rows, bool)


def mark(
    fate: np.ndarray,
    number: int,
    find: Callable[[np.ndarray], np.ndarray],
    hashes: np.ndarray,
    fit: np.ndarray,
) -> None:
    """Give a fate to the rows that `find` flags among those still kept and fit for it."""
    rows = np.flatnonzero((fate == KEPT) & fit)
    fate[rows[find(hashes[rows])]] = number
