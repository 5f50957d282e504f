"""Finds exact and near duplicates among documents, by hashes only; the first of its kind stays.

Exact: the same text but for white space. Near: MinHash (Broder 1997, by `datasketch`) over the
20-token windows of shingles.py, banded; a pair counts where the estimated Jaccard similarity
reaches the threshold. Twenty tokens are a long shingle: one changed token breaks twenty of them,
so 0.6 here means that all but every 40th token or so agrees. Memory: 280 bytes a document.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from autocoder.train.corpus.shingles import Hashes

PERMUTATIONS = 64
BAND = 4  # rows; 16 bands of 4 find 9 of 10 pairs of similarity 0.6
THRESHOLD = 0.6

Sketches = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]


def exact_hash(text: str) -> int:
    """A 64-bit hash of the text without its white space."""
    squeezed = "".join(text.split()).encode()
    return int.from_bytes(hashlib.blake2b(squeezed, digest_size=8).digest(), "little")


def sketch(hashes: Hashes) -> Sketches:
    """The MinHash of a document's windows. (PERMUTATIONS,)"""
    from datasketch import MinHash

    minhash = MinHash(num_perm=PERMUTATIONS, hashfunc=int)
    minhash.update_batch(np.unique(hashes & 0xFFFFFFFF).tolist())
    return minhash.hashvalues.astype(np.uint32)


def exact_duplicates(hashes: Hashes) -> Flags:
    """True for each document whose hash stood earlier in the row. (n,)"""
    flags = np.ones(len(hashes), bool)
    flags[np.unique(hashes, return_index=True)[1]] = False
    return flags


def near_duplicates(sketches: Sketches, threshold: float = THRESHOLD) -> Flags:
    """True for each document that resembles an earlier one of the same bucket. (n,)

    Documents without windows (all sketches at their upper bound) must not be passed.
    """
    flags = np.zeros(len(sketches), bool)
    for start in range(0, PERMUTATIONS, BAND):
        for bucket in buckets(sketches[:, start : start + BAND]):
            flag_bucket(bucket, sketches, threshold, flags)
    return flags


def buckets(band: Sketches) -> list[npt.NDArray[np.intp]]:
    """The groups of two and more rows that are equal; each in ascending order."""
    if len(band) < 2:
        return []
    keys = np.ascontiguousarray(band).view(np.dtype((np.void, band.dtype.itemsize * BAND))).ravel()
    _, numbers = np.unique(keys, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    return [group for group in groups if len(group) > 1]


def flag_bucket(
    bucket: npt.NDArray[np.intp], sketches: Sketches, threshold: float, flags: Flags
) -> None:
    """Flag the documents of one bucket that resemble one kept before them."""
    rest = bucket[~flags[bucket]]
    while len(rest) > 1:
        first, rest = rest[0], rest[1:]
        similar = (sketches[rest] == sketches[first]).mean(axis=1) >= threshold
        flags[rest[similar]] = True
        rest = rest[~similar]
