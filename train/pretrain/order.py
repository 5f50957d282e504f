"""Which windows are in global batch number i: a function of the seed and i alone.

Window shards are read in the order (epoch, shard), shuffled within a shard, waited for while they
are not there yet, and refused where they are of another origin; each process takes its share of
every batch, so that any number of GPUs sees the same batches. Knows arrays and files; knows no
model.
"""

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from autocoder.daemon.errors import ConfigError
from autocoder.train.pretrain import origin
from autocoder.train.pretrain.origin import Origin
from autocoder.train.pretrain.prepare import SLICES

WAIT_S = 0.2
SILENT_S = 3.0  # of waiting, before it is told


def to_stderr(text: str) -> None:
    """On a line of its own, above a bar of progress."""
    tqdm.write(text, file=sys.stderr)


@dataclass(frozen=True)
class Source:
    """Window shards `eE-sNAME-JJ.npy` of a folder: for each epoch, the named shards.

    `made_of` is what they must have been made of; `tell` hears what is waited for, once.
    """

    folder: Path
    shards: tuple[str, ...]
    epochs: int
    seed: int = 0
    patience_s: float = 600.0
    made_of: Origin | None = None
    tell: Callable[[str], None] = to_stderr

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        """Shuffled windows, one array (rows, length) per shard and epoch."""
        self.check()
        told: set[str] = set()
        for epoch in range(self.epochs):
            for name in self.shards:
                rows = self._read(epoch, name, told)
                key = (self.seed, epoch, self.shards.index(name))
                yield rows[np.random.default_rng(key).permutation(len(rows))]

    def check(self) -> bool:
        """Raise ConfigError where the windows are of another origin; False where none is known."""
        return self.made_of is None or origin.check(self.folder, self.made_of)

    def _read(self, epoch: int, name: str, told: set[str]) -> NDArray[np.uint16]:
        paths = [self.folder / f"e{epoch}-s{name}-{part:02}.npy" for part in range(SLICES)]
        self._wait_for(paths, told)
        if not self.check():
            text = f"what the windows in {self.folder} were made of is recorded nowhere"
            self._tell("origin", text, told)
        return np.concatenate([self._load(path) for path in paths])

    def _wait_for(self, paths: list[Path], told: set[str]) -> None:
        began = time.monotonic()
        while missing := [path for path in paths if not path.exists()]:
            waited = time.monotonic() - began
            if waited > self.patience_s:
                raise ConfigError(f"{missing[0]} did not come; is `--prepare` still running?")
            if waited > SILENT_S:
                patience = f"up to {self.patience_s / 60:.0f} minutes"
                text = f"waiting {patience} for {missing[0]}: `--prepare` makes it"
                self._tell("waiting", text, told)
            time.sleep(WAIT_S)

    def _tell(self, kind: str, text: str, told: set[str]) -> None:
        """Say only the first of its kind."""
        if kind not in told:
            told.add(kind)
            self.tell(text)

    def _load(self, path: Path) -> NDArray[np.uint16]:
        try:
            rows: NDArray[np.uint16] = np.load(path)
        except (OSError, ValueError, EOFError) as error:
            raise ConfigError(
                f"{path} is damaged ({error}); delete it and run `--prepare` again"
            ) from error
        if self.made_of and rows.shape[1:] != (self.made_of.length,):
            raise ConfigError(
                f"{path} holds windows of shape {rows.shape[1:]}, the recipe's length needs "
                f"({self.made_of.length},); give another folder by --windows, or delete that one"
            )
        return rows


def batches(
    source: Source, size: int, rank: int = 0, world: int = 1, skip: int = 0
) -> Iterator[NDArray[np.uint16]]:
    """This rank's (size / world, length) share of every global batch from number `skip` on.

    Windows left over at a shard's end are carried into the next shard's first batch.
    """
    if size % world:
        raise ConfigError(f"a batch of {size} windows cannot be shared by {world} processes")
    share, number, rest = size // world, 0, None
    for rows in source:
        rows = rows if rest is None else np.concatenate([rest, rows])
        for start in range(0, len(rows) - size + 1, size):
            if number >= skip:
                yield rows[start + rank * share : start + (rank + 1) * share]
            number += 1
        rest = rows[len(rows) // size * size :]


def prefetched(items: Iterator[NDArray[np.uint16]], ahead: int = 8) -> Iterator[NDArray[np.uint16]]:
    """The same items, made `ahead` of time by a thread; its error is raised here."""
    ready: queue.Queue[NDArray[np.uint16] | BaseException | None] = queue.Queue(ahead)

    def fill() -> None:
        try:
            for item in items:
                ready.put(item)
            ready.put(None)
        except BaseException as error:
            ready.put(error)

    threading.Thread(target=fill, daemon=True).start()
    while (item := ready.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item
