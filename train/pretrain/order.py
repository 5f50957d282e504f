"""Which windows are in global batch number i: a function of the seed and i alone.

Window shards are read in the order (epoch, shard), shuffled within a shard, and waited for while
they are not there yet; each process takes its share of every batch, so that any number of GPUs
sees the same batches. Knows arrays and files; knows no model.
"""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.errors import ConfigError
from autocoder.train.pretrain.prepare import SLICES

WAIT_S = 0.2


@dataclass(frozen=True)
class Source:
    """Window shards `eE-sNAME-JJ.npy` of a folder: for each epoch, the named shards."""

    folder: Path
    shards: tuple[str, ...]
    epochs: int
    seed: int = 0
    patience_s: float = 600.0

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        """Shuffled windows, one array (rows, length) per shard and epoch."""
        for epoch in range(self.epochs):
            for name in self.shards:
                rows = self._read(epoch, name)
                key = (self.seed, epoch, self.shards.index(name))
                yield rows[np.random.default_rng(key).permutation(len(rows))]

    def _read(self, epoch: int, name: str) -> NDArray[np.uint16]:
        paths = [self.folder / f"e{epoch}-s{name}-{part:02}.npy" for part in range(SLICES)]
        self._wait_for(paths)
        return np.concatenate([np.load(path) for path in paths])

    def _wait_for(self, paths: list[Path]) -> None:
        end = time.monotonic() + self.patience_s
        while missing := [path for path in paths if not path.exists()]:
            if time.monotonic() > end:
                raise ConfigError(f"{missing[0]} did not come; is `prepare` still running?")
            time.sleep(WAIT_S)


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
