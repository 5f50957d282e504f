"""All cleaned documents as columns of numbers: where each text lies, how large, its hashes.

Texts stay on disk and are read one at a time. Memory: some 400 bytes a document.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autocoder.daemon.errors import ConfigError
from autocoder.train.corpus.cache import DAMAGE, cache_folder, facts_of
from autocoder.train.corpus.manifest import Repository
from autocoder.train.corpus.split import SPLITS


@dataclass(frozen=True)
class Index:
    """One row for each document of all repositories, splits in the order of SPLITS."""

    repositories: tuple[Repository, ...]
    folders: tuple[Path, ...]
    counts: tuple[dict[str, Any], ...]  # counts.json of each repository
    repository: np.ndarray  # number in `repositories`
    columns: dict[str, np.ndarray]  # those of index.npz

    def __len__(self) -> int:
        return len(self.repository)


def load_index(cache: Path, repositories: Sequence[Repository]) -> Index:
    """The index of cleaned repositories, those to be measured on first."""
    ordered = tuple(sorted(repositories, key=order))
    folders = tuple(cache_folder(cache, row) for row in ordered)
    parts = [load_part(folder) for folder in folders]
    counts = tuple(facts_of(folder) for folder in folders)
    numbers = [np.full(len(part["offset"]), i, np.int32) for i, part in enumerate(parts)]
    filled = [part for part in parts if len(part["offset"])] or parts[:1]  # empty ones lack shapes
    names = filled[0] if filled else {}
    columns = {name: np.concatenate([part[name] for part in filled]) for name in names}
    return Index(
        ordered, folders, counts, np.concatenate([*numbers, np.empty(0, np.int32)]), columns
    )


def order(row: Repository) -> tuple[int, str, str]:
    return SPLITS.index(row.split), row.name, row.url


def load_part(folder: Path) -> dict[str, np.ndarray]:
    """The columns of one cleaned repository. Raises ConfigError where they are damaged."""
    try:
        with np.load(folder / "index.npz") as part:
            return dict(part)
    except DAMAGE as error:
        raise ConfigError(f"{folder} is damaged ({error}). Remove it and run again.") from error


class Reader:
    """Reads documents by their row, keeping each repository's file open. Use it in a `with`."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._files: dict[int, Any] = {}

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def line(self, row: int) -> bytes:
        """The JSON line of a document, with its line break."""
        number = int(self._index.repository[row])
        if number not in self._files:
            self._files[number] = (self._index.folders[number] / "documents.jsonl").open("rb")
        file = self._files[number]
        file.seek(int(self._index.columns["offset"][row]))
        return bytes(file.read(int(self._index.columns["length"][row])))
