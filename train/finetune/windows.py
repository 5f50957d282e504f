"""Token windows as views by offset into one flat file of tokens; reads what segments.py wrote.

A window is `[control code] tokens [eos]`. With stride 10 and length 254 every token lies in 25
windows, so windows are never copied: a row of 13 bytes says where each begins. Knows no text and
no model.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autocoder.daemon.errors import ConfigError

VERSION = 1
RECORD, TOKENS, TOKENIZER = "data.json", "tokens.u32", "tokenizer"
WINDOW = np.dtype([("start", "<u8"), ("length", "<u4"), ("language", "u1")])
IGNORED = -100  # label of padding: PyTorch's cross entropy leaves it out

Windows = npt.NDArray[np.void]  # (n,) of WINDOW
Ids = npt.NDArray[np.int64]


def windows_of_file(
    start: int, tokens: int, language: int, segment_length: int, stride: int
) -> Windows:
    """The windows of one file whose tokens lie at start…start+tokens. (tokens // stride,)

    The 2020 blog's rule: window i covers tokens i·stride … i·stride + segment_length, cut at the
    file's end, for i < tokens // stride. So the last windows grow shorter, down to `stride`
    tokens and the remainder, and a file shorter than `stride` has none.
    """
    windows = np.empty(tokens // stride, WINDOW)
    offsets = np.arange(len(windows), dtype=np.uint64) * np.uint64(stride)
    windows["start"] = offsets + np.uint64(start)
    windows["length"] = np.minimum(np.uint64(tokens) - offsets, np.uint64(segment_length))
    windows["language"] = language
    return windows


@dataclass(frozen=True)
class Segments:
    """A data set on disk, memory-mapped. `languages[i]` has the control token id `controls[i]`."""

    folder: Path
    record: Mapping[str, Any]
    tokens: npt.NDArray[np.uint32]
    train: Windows
    dev: Windows
    languages: tuple[str, ...]
    controls: tuple[int, ...]
    end: int

    @staticmethod
    def load(folder: Path) -> "Segments":
        """Open a data set. Raises ConfigError where the folder holds none, or one without
        windows on either side of the split."""
        record = read_record(folder)
        train, dev = (np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("train", "dev"))
        for part, windows in (("train", train), ("dev", dev)):
            if not len(windows):
                raise ConfigError(f"{folder} has no {part} windows; build it from more source code")
        return Segments(
            folder=folder,
            record=record,
            tokens=np.memmap(folder / TOKENS, np.dtype("<u4"), mode="r"),
            train=train,
            dev=dev,
            languages=tuple(record["controls"]),
            controls=tuple(record["control_ids"]),
            end=int(record["end_id"]),
        )

    @property
    def digest(self) -> str:
        """Differs between data sets of other files, tokens or split."""
        return hashlib.sha256((self.folder / RECORD).read_bytes()).hexdigest()

    def window(self, row: np.void) -> Ids:
        """Control code, tokens, end: at most segment_length + 2 ids."""
        start, length = int(row["start"]), int(row["length"])
        ids = np.empty(length + 2, np.int64)
        ids[0], ids[-1] = self.controls[row["language"]], self.end
        ids[1:-1] = self.tokens[start : start + length]
        return ids

    def batch(self, rows: Windows) -> tuple[Ids, Ids]:
        """Ids and labels of windows, padded on the right to the longest. (B, T), (B, T)

        Padding has the label IGNORED. The blog padded too, but counted the padding as correct
        predictions, which flatters the perplexity.
        """
        width = int(rows["length"].max()) + 2
        ids = np.full((len(rows), width), self.end, np.int64)
        labels = np.full((len(rows), width), IGNORED, np.int64)
        for index, row in enumerate(rows):
            window = self.window(row)
            ids[index, : len(window)] = labels[index, : len(window)] = window
        return ids, labels


def is_data(folder: Path) -> bool:
    """Whether a folder holds a data set of `autocoder train segments`."""
    return (folder / RECORD).is_file()


def read_record(folder: Path) -> dict[str, Any]:
    """The data set's record. Raises ConfigError where there is none of this version."""
    if not is_data(folder):
        raise ConfigError(f"{folder} holds no data set; make one with `autocoder train segments`")
    record = dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    if record.get("version") != VERSION:
        raise ConfigError(
            f"{folder} is a data set of version {record.get('version')}, not {VERSION}; "
            "build it anew"
        )
    return record


def seen_share(train: Windows, dev: Windows, size: int) -> float:
    """The share of the dev windows' distinct tokens that also lie in a training window, 0…1.

    `size` is the number of tokens in the data set.
    """
    covered = [coverage(windows, size) for windows in (train, dev)]
    return float((covered[0] & covered[1]).sum() / max(1, covered[1].sum()))


def coverage(windows: Windows, size: int) -> npt.NDArray[np.bool_]:
    """True for each token that lies in one of the windows. (size,)"""
    steps = np.zeros(size + 1, np.int32)
    starts = windows["start"].astype(np.int64)
    np.add.at(steps, starts, 1)
    np.add.at(steps, starts + windows["length"].astype(np.int64), -1)
    return np.cumsum(steps[:-1]) > 0
