"""Finds files of evaluation sets and reserved repositories by hashes, without reading those.

`evaluation.u64`: every window of HumanEval, MBPP and their kin; two hits condemn a file.
`reserved-sampled.u64`: windows of the reserved repositories, only hashes divisible by 8; a file
falls when more than 20 % of its own such hashes are hits. Both are sorted little-endian uint64.
"""

from dataclasses import dataclass
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


def load(folder: Path = LISTS) -> Contamination:
    """Both lists of a folder. Raises ConfigError where one is missing."""
    return Contamination(
        load_list(folder / "evaluation.u64"), load_list(folder / "reserved-sampled.u64")
    )


def load_list(path: Path) -> Hashes:
    if not path.is_file():
        raise ConfigError(f"No list of hashes at {path}. Give its folder by --decontamination DIR.")
    return np.fromfile(path, "<u8")


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
