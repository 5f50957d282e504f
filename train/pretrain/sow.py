"""Lessons sown among a wide corpus: each shard of it, with a share of the didactic documents.

Every lesson goes to `times` different shards, so that a pass over the corpus reads it that often,
each time with holes of its own and far apart. Further lessons may have times of their own. Knows
shards; knows no tokens.

    python -m autocoder.train.pretrain.sow CORPUS/didactic CORPUS/train -o SHARDS --times 3 \\
        --also STANDALONE 6
"""

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.train.pretrain.mix import check_output, shards, write
from autocoder.train.pretrain.prepare import Document, documents


def sow(lessons: Mapping[Path, int], field: Path, out: Path, seed: int = 0) -> list[Path]:
    """Write one shard for each of `field`, with `lessons`: folders, and how often each is read.

    Returns the shards' paths. Raises ConfigError where `field` has fewer shards than a folder's
    times, or `out` is one of the folders or holds shards already.
    """
    fields = shards(field)
    for times in lessons.values():
        if not 0 < times <= len(fields):
            raise ConfigError(f"{times} times needs as many shards, and {field} has {len(fields)}")
    check_output(out, (*lessons, field))
    shares = _shares(lessons, len(fields), random.Random(seed))
    targets = [out / path.name for path in fields]
    with ProcessPoolExecutor() as pool:
        jobs = [
            pool.submit(_write_one, path, shares[number], target, f"{seed}:{number}")
            for number, (path, target) in enumerate(zip(fields, targets, strict=True))
        ]
        for job in jobs:
            job.result()
    return targets


def _shares(
    lessons: Mapping[Path, int], count: int, chance: random.Random
) -> dict[int, list[Document]]:
    """The lessons of each shard number."""
    shares: dict[int, list[Document]] = defaultdict(list)
    for folder, times in lessons.items():
        for shard in shards(folder):
            for lesson in documents(shard):
                for number in chance.sample(range(count), times):
                    shares[number].append(lesson)
    return shares


def _write_one(shard: Path, lessons: Sequence[Document], target: Path, seed: str) -> None:
    items = [*documents(shard), *lessons]
    random.Random(seed).shuffle(items)
    write(items, target)


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="autocoder.train.pretrain.sow", description=__doc__)
    parser.add_argument("lessons", type=Path, help="folder of shards, read TIMES times a pass")
    parser.add_argument("field", type=Path, help="folder of shards, read once a pass")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--also", nargs=2, action="append", default=[], metavar=("FOLDER", "TIMES"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    lessons = {options.lessons: options.times} | {Path(f): _times(t) for f, t in options.also}
    for path in sow(lessons, options.field, options.output, options.seed):
        print(path)
    return 0


def _times(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"--also FOLDER TIMES: {text!r} is no number of times")
    return int(text)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AutocoderError as error:
        sys.exit(f"autocoder.train.pretrain.sow: {error}")
