"""Finds files of evaluation sets and reserved repositories by hashes, without reading those.

`evaluation.u64`: every window of HumanEval, MBPP and their kin; two hits condemn a file.
`reserved-sampled.u64`: windows of the reserved repositories, only hashes divisible by 8; a file
falls when more than 20 % of its own such hashes are hits. Both are sorted little-endian uint64.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from autocoder.daemon.errors import ConfigError
from autocoder.train.corpus.shingles import Hashes

LISTS = Path(__file__).parent / "decontamination"
SAMPLED = 8  # one hash in this many stands in the list of the reserved repositories
EVALUATION_HITS = 2
RESERVED_SHARE = 0.2


@dataclass(frozen=True)
class Contamination:
    """The two sorted lists of hashes."""

    evaluation: Hashes
    reserved: Hashes

    @cached_property
    def digest(self) -> str:
        """Tells these lists from others."""
        whole = hashlib.blake2b(digest_size=16)
        for hashes in (self.evaluation, self.reserved):
            whole.update(len(hashes).to_bytes(8, "little"))
            whole.update(hashes.tobytes())
        return whole.hexdigest()


def load(folder: Path = LISTS) -> Contamination:
    """Both lists of a folder. Raises ConfigError where one is missing or damaged."""
    return Contamination(
        load_list(folder / "evaluation.u64"), load_list(folder / "reserved-sampled.u64")
    )


def load_list(path: Path) -> Hashes:
    if not path.is_file():
        raise ConfigError(f"No list of hashes at {path}. Give its folder by --decontamination DIR.")
    hashes = np.fromfile(path, "<u8")
    if path.stat().st_size % hashes.itemsize or (hashes[1:] < hashes[:-1]).any():
        raise ConfigError(
            f"{path} is damaged: it must hold sorted numbers of 8 bytes. Copy it there again, or "
            "give another folder by --decontamination DIR."
        )
    return hashes


def contaminated(hashes: Hashes, lists: Contamination) -> str | None:
    """The reason ("evaluation set", "reserved repository") why a file must go, or None."""
    if np.count_nonzero(found(hashes, lists.evaluation)) >= EVALUATION_HITS:
        return "evaluation set"
    own = hashes[hashes % SAMPLED == 0]
    hits = np.count_nonzero(found(own, lists.reserved))
    return "reserved repository" if hits > RESERVED_SHARE * len(own) else None


def found(hashes: Hashes, known: Hashes) -> np.ndarray:
    """For each hash whether it stands in the sorted list. (n,) bool"""
    if not len(known):
        return np.zeros(len(hashes), bool)
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return known[places] == hashes
