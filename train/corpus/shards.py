"""Writes the kept documents of a split as shuffled, compressed shards: SPLIT/NNNN.jsonl.xz.

The shuffle is over all repositories at once and depends on the seed alone; documents are read
from where they lie, so memory holds only a few blocks. A shard is a row of xz streams (one per
block, compressed in threads: lzma frees the interpreter lock), which `xz -d` and Python's `lzma`
read as one file.
"""

import argparse
import lzma
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from autocoder.train.corpus.index import Index, Reader
from autocoder.train.corpus.selection import Selection
from autocoder.train.corpus.split import SPLITS

BLOCK = 16 * 2**20  # bytes before compression; far above the 2 MiB window of preset 2
PRESET = 2
NAME = re.compile(r"\d{4,}\.jsonl\.xz")


def write_split(
    index: Index, selection: Selection, split: str, options: argparse.Namespace
) -> list[Path]:
    """Write all shards of a split; returns their paths."""
    from tqdm import tqdm

    folder = options.out / split
    folder.mkdir(parents=True, exist_ok=True)
    for old in shards_of(folder):
        old.unlink()
    order = shuffled(selection.rows(split), options.seed + SPLITS.index(split))
    with Reader(index) as reader, ThreadPoolExecutor(options.jobs) as pool:
        lines = (reader.line(row) for row in tqdm(order, desc=split, unit="document"))
        compressed = in_order(pool, blocks(lines), ahead=options.jobs + 1)
        return write_shards(compressed, folder, int(options.shard_mib * 2**20))


def shards_of(folder: Path) -> list[Path]:
    """The shards in a folder that bear a name of ours; what else lies there is the user's."""
    return sorted(path for path in folder.glob("*.jsonl.xz") if NAME.fullmatch(path.name))


def shuffled(rows: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(rows)


def blocks(lines: Iterable[bytes], size: int = BLOCK) -> Iterator[bytes]:
    """Whole lines gathered to blocks of about `size` bytes."""
    gathered: list[bytes] = []
    total = 0
    for line in lines:
        gathered.append(line)
        total += len(line)
        if total >= size:
            yield b"".join(gathered)
            gathered, total = [], 0
    if gathered:
        yield b"".join(gathered)


def compress(block: bytes) -> bytes:
    return lzma.compress(block, preset=PRESET)


def in_order(pool: ThreadPoolExecutor, parts: Iterable[bytes], ahead: int) -> Iterator[bytes]:
    """Compress blocks in parallel, at most `ahead` of them in flight, and give them in order."""
    flying: deque[Future[bytes]] = deque()
    for part in parts:
        flying.append(pool.submit(compress, part))
        if len(flying) >= ahead:
            yield flying.popleft().result()
    while flying:
        yield flying.popleft().result()


def write_shards(compressed: Iterable[bytes], folder: Path, size: int) -> list[Path]:
    """Append blocks to a shard until the next would pass `size` bytes, then begin another."""
    paths: list[Path] = []
    written = size + 1
    for block in compressed:
        if written + len(block) > size:
            paths.append(folder / f"{len(paths):04d}.jsonl.xz")
            written = 0
        with paths[-1].open("ab") as shard:
            shard.write(block)
        written += len(block)
    return paths
