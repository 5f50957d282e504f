"""Parts files or windows between training and measuring, 9:1, each language by itself.

By file: no file has windows on both sides, and `duplicates` removed near-copies before. By window:
what the 2020 blog did. Its windows overlap by 244 of 254 tokens, so nearly every token it measured
on was trained on; kept to show the difference. Knows offsets and hashes only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autocoder.daemon.errors import ConfigError
from autocoder.train.corpus.duplicates import (
    PERMUTATIONS,
    exact_duplicates,
    exact_hash,
    near_duplicates,
    sketch,
)
from autocoder.train.corpus.shingles import window_hashes
from autocoder.train.finetune.windows import WINDOW, Windows, windows_of_file

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class File:
    """A tokenised file: where its tokens lie, and the hashes by which copies are found.

    `sketch` is its MinHash, None for a file of fewer than 20 tokens of code.
    """

    name: str
    language: int
    start: int
    tokens: int
    exact: int
    sketch: npt.NDArray[np.uint32] | None


def fingerprint(text: str) -> tuple[int, npt.NDArray[np.uint32] | None]:
    """The exact hash of a text and its MinHash. (64,)"""
    hashes = window_hashes(text)
    return exact_hash(text), sketch(hashes) if len(hashes) else None


def duplicates(files: Sequence[File]) -> Flags:
    """True for each file that is a copy, or nearly one, of an earlier file. (n,)"""
    flags = exact_duplicates(np.array([file.exact for file in files], np.uint64))
    rows = [i for i, file in enumerate(files) if not flags[i] and file.sketch is not None]
    sketches = np.empty((len(rows), PERMUTATIONS), np.uint32)
    for place, row in enumerate(rows):
        sketches[place] = files[row].sketch
    flags[np.array(rows, np.intp)] = near_duplicates(sketches)
    return flags


def split(
    files: Sequence[File], by: str, dev_share: float, length: int, stride: int, seed: int
) -> tuple[Windows, Windows]:
    """Training and dev windows, ordered by offset. `by` is one of the recipe's SPLITS.

    Raises ConfigError where a split by file has no second file to measure on.
    """
    chance = np.random.default_rng(seed)
    parts: tuple[list[Windows], list[Windows]] = ([], [])
    for language in sorted({file.language for file in files}):
        own = [file for file in files if file.language == language]
        divide = _by_file if by == "file" else _by_window
        for part, windows in zip(
            parts, divide(own, dev_share, length, stride, chance), strict=True
        ):
            part.append(windows)
    train, dev = (_joined(part) for part in parts)
    if by == "file" and not len(dev):
        raise ConfigError(
            f"{len(files)} files are too few to split by file: give more source code, or ask for "
            "the split by window"
        )
    return train, dev


def _by_file(
    files: Sequence[File], share: float, length: int, stride: int, chance: np.random.Generator
) -> tuple[Windows, Windows]:
    """Shuffled files go to dev as long as they fit into its share of the windows.

    At least one file goes there (the smallest with a window), except where there is but one.
    """
    made = [
        windows_of_file(file.start, file.tokens, file.language, length, stride) for file in files
    ]
    made = [windows for windows in made if len(windows)]
    room = share * sum(map(len, made))
    measured: set[int] = set()
    for index in chance.permutation(len(made)).tolist():
        if len(made[index]) <= room:
            measured.add(index)
            room -= len(made[index])
    if not measured and len(made) > 1:
        measured = {min(range(len(made)), key=lambda index: len(made[index]))}
    train = [windows for index, windows in enumerate(made) if index not in measured]
    return _joined(train), _joined([made[index] for index in sorted(measured)])


def _by_window(
    files: Sequence[File], share: float, length: int, stride: int, chance: np.random.Generator
) -> tuple[Windows, Windows]:
    windows = _joined(
        [windows_of_file(file.start, file.tokens, file.language, length, stride) for file in files]
    )
    measured = np.zeros(len(windows), bool)
    measured[chance.permutation(len(windows))[: round(share * len(windows))]] = True
    return windows[~measured], windows[measured]


def _joined(parts: Sequence[Windows]) -> Windows:
    return np.concatenate([np.empty(0, WINDOW), *parts])
