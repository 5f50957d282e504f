"""One corpus from two: all documents of the first, and as many bytes drawn from the second.

Fine-tuning on a small clean corpus alone forgets the wide one; half and half keeps it. The result
is a shard folder like any other. Knows shards; knows no tokens.
"""

import argparse
import json
import lzma
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.train.pretrain.prepare import Document, documents


def mix(first: Path, second: Path, seed: int = 0, passes_by: float = 0.9) -> list[Document]:
    """Both folders' documents in random order; of the second, every document is skipped with the
    chance `passes_by`, so that they come from many repositories."""
    own = [each for shard in shards(first) for each in documents(shard)]
    wanted, chance = sum(map(_size, own)), random.Random(seed)
    for document in _all(second):
        if wanted <= 0:
            break
        if chance.random() >= passes_by:
            own.append(document)
            wanted -= _size(document)
    chance.shuffle(own)
    return own


def _size(document: Document) -> int:
    text: str = document["text"]
    return len(text.encode())


def _all(folder: Path) -> Iterator[Document]:
    for shard in shards(folder):
        yield from documents(shard)


def shards(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.jsonl.xz"))
    if not found:
        raise ConfigError(f"no *.jsonl.xz in {folder}; `autocoder train corpus` makes them")
    return found


def check_output(out: Path, sources: Iterable[Path]) -> None:
    """Raise ConfigError where shards written to `out` would replace others, or lie among them."""
    if out.resolve() in {each.resolve() for each in sources}:
        raise ConfigError(f"{out} would be read and overwritten; give another folder by -o")
    found = sorted([*out.glob("*.jsonl.xz"), *out.glob("*.jsonl")])
    if found:
        raise ConfigError(
            f"{out} holds shards already ({found[0].name}), which would be trained on with the new "
            "ones; give another folder by -o, or delete them"
        )


def write(items: Sequence[Document], path: Path) -> None:
    """One shard of the documents, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_suffix(".part")
    with lzma.open(hidden, "wt", encoding="utf-8", preset=2) as out:
        for document in items:
            out.write(json.dumps(document, ensure_ascii=False) + "\n")
    hidden.rename(path)


def main(arguments: Sequence[str]) -> int:
    """`python -m autocoder.train.pretrain.mix FIRST SECOND -o DIR`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="autocoder.train.pretrain.mix", description=__doc__)
    parser.add_argument("first", type=Path, help="folder of shards, taken whole")
    parser.add_argument("second", type=Path, help="folder of shards, as many bytes of it")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    check_output(options.output, (options.first, options.second))
    items = mix(options.first, options.second, options.seed)
    write(items, options.output / "0000.jsonl.xz")
    print(f"{len(items)} documents in {options.output}")
    return 0


if __name__ == "__main__":
    import sys

    try:
        sys.exit(main(sys.argv[1:]))
    except AutocoderError as error:
        sys.exit(f"autocoder.train.pretrain.mix: {error}")
