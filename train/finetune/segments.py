"""`autocoder train segments`: source code → a data set of the 2020 blog's token windows.

Sources are tokenised once, file after file, into one flat file; copies are dropped, the rest is
split, and the windows are written as offsets. Knows the order of these steps; each lives apart.
"""

import argparse
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.train.finetune.recipe import SPLITS, Recipe, load_recipe
from autocoder.train.finetune.sources import Source, read_sources
from autocoder.train.finetune.split import File, duplicates, fingerprint, split
from autocoder.train.finetune.windows import (
    RECORD,
    TOKENIZER,
    TOKENS,
    VERSION,
    Windows,
    is_data,
)

AT_ONCE = 64  # files that are tokenised together


@dataclass(frozen=True)
class Tokenised:
    """The files of the places, their tokens in `folder`/tokens.u32.

    `dropped` copies are no longer among them.
    """

    folder: Path
    places: tuple[str, ...]
    files: tuple[File, ...]
    left_out: dict[str, int]
    dropped: int = 0


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder train segments …`; returns the exit status."""
    options = _parser().parse_args(arguments)
    changes = {"split": options.split, "base": options.base, "vocabulary": options.vocabulary}
    given = {key: value for key, value in changes.items() if value is not None}
    recipe = replace(load_recipe(options.recipe, options.set), **given)
    record = build(options.places, recipe, options.out)
    print(summary(record))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autocoder train segments", description="Build a data set of token windows."
    )
    add = parser.add_argument
    add("places", nargs="+", metavar="PLACE", help="folder, source file or git URL")
    add("--out", type=Path, required=True, help="folder to write; must not hold a data set")
    add("--recipe", default="distilgpt2", help="recipe for lengths and base (distilgpt2)")
    add("--base", help="whose tokenizer: a hub name or a local folder (default: the recipe's)")
    add("--vocabulary", type=int, help="train a tokenizer of this size instead (fresh models)")
    add("--split", choices=SPLITS, help="by file (default), or by window as the blog did")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    return parser


def build(places: Sequence[str], recipe: Recipe, out: Path) -> dict[str, Any]:
    """Build a data set in `out`; returns its record.

    Raises ConfigError, leaving nothing but what could be cloned, for the next try.
    """
    if is_data(out):
        raise ConfigError(f"{out} holds a data set already; remove it or give another folder")
    made = [folder for folder in (out / "clones", out, *out.parents) if not folder.exists()]
    try:
        vocabulary = make_vocabulary(places, recipe, out)
        return write_windows(tokenise(places, vocabulary, out), vocabulary, recipe, out)
    except AutocoderError:
        (out / TOKENS).unlink(missing_ok=True)
        _remove_empty(made)
        raise


def _remove_empty(folders: Sequence[Path]) -> None:
    """The innermost comes first; one that holds something stays."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def make_vocabulary(places: Sequence[str], recipe: Recipe, out: Path) -> Any:
    """The base's tokenizer, or one trained on the sources where the recipe says so."""
    from autocoder.train.finetune.base import load_vocabulary, with_controls
    from autocoder.train.finetune.vocabulary import END, train_vocabulary

    if recipe.vocabulary and not recipe.base:
        texts = (source.text for source in read_sources(places, out / "clones", Counter()))
        return with_controls(train_vocabulary(texts, recipe.vocabulary), END)
    if not recipe.base:
        raise ConfigError(
            "no tokenizer: give --base NAME or FOLDER, or vocabulary = N to train one"
        )
    return load_vocabulary(recipe.base)


def tokenise(places: Sequence[str], vocabulary: Any, out: Path) -> Tokenised:
    """Write the tokens of every source file, one after another, to `out`/tokens.u32."""
    from tqdm import tqdm

    out.mkdir(parents=True, exist_ok=True)
    left_out: Counter[str] = Counter()
    files: list[File] = []
    sources = tqdm(
        read_sources(places, out / "clones", left_out), "tokenising", unit="file", disable=None
    )
    with (out / TOKENS).open("wb") as stream:
        for group in grouped(sources):
            files += write_tokens(group, vocabulary, stream)
    if not files:
        raise ConfigError(
            f"no usable source file in {', '.join(places)} (left out: {dict(left_out)})"
        )
    return Tokenised(out, tuple(places), tuple(files), dict(left_out))


def grouped(sources: Iterator[Source]) -> Iterator[list[Source]]:
    iterator = iter(sources)
    while group := list(islice(iterator, AT_ONCE)):
        yield group


def write_tokens(group: Sequence[Source], vocabulary: Any, stream: BinaryIO) -> Iterator[File]:
    """Append the tokens of a group of files to the stream; yields where they went."""
    languages = list(vocabulary.controls)
    texts = [source.text for source in group]
    encodings = vocabulary.tokenizer.encode_batch(texts, add_special_tokens=False)
    for source, encoding in zip(group, encodings, strict=True):
        start = stream.tell() // 4
        stream.write(np.asarray(encoding.ids, "<u4").tobytes())
        yield File(
            source.name,
            languages.index(source.language),
            start,
            len(encoding.ids),
            *fingerprint(source.text),
        )


def write_windows(
    tokenised: Tokenised, vocabulary: Any, recipe: Recipe, out: Path
) -> dict[str, Any]:
    """Split the files and write windows, tokenizer and record to `out`; returns the record.

    Copies are dropped for the split by file only: the blog's kept them.
    """
    copies = duplicates(tokenised.files)
    drop = copies if recipe.split == "file" else np.zeros_like(copies)
    files = [file for file, copy in zip(tokenised.files, drop, strict=True) if not copy]
    train, dev = split(
        files, recipe.split, recipe.dev_share, recipe.segment_length, recipe.stride, recipe.seed
    )
    out.mkdir(parents=True, exist_ok=True)
    if out != tokenised.folder:
        _share(tokenised.folder / TOKENS, out / TOKENS)
    np.save(out / "train.npy", train)
    np.save(out / "dev.npy", dev)
    vocabulary.save(out / TOKENIZER)
    record = _record(tokenised, files, (train, dev), vocabulary, recipe)
    (out / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def _share(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _record(
    tokenised: Tokenised,
    files: Sequence[File],
    parts: tuple[Windows, Windows],
    vocabulary: Any,
    recipe: Recipe,
) -> dict[str, Any]:
    controls = vocabulary.controls
    return {
        "version": VERSION,
        "places": list(tokenised.places),
        "base": recipe.base,
        "tokenizer_sha256": vocabulary.digest,
        "controls": controls,
        "control_ids": [vocabulary.id_of(token) for token in controls.values()],
        "end": vocabulary.end,
        "end_id": vocabulary.id_of(vocabulary.end),
        "segment_length": recipe.segment_length,
        "stride": recipe.stride,
        "split": recipe.split,
        "seed": recipe.seed,
        "copies_dropped": tokenised.dropped + len(tokenised.files) - len(files),
        "left_out": tokenised.left_out,
        "languages": {
            name: _counts(index, files, parts)
            for index, name in enumerate(controls)
            if any(file.language == index for file in files)
        },
    }


def _counts(language: int, files: Sequence[File], parts: tuple[Windows, Windows]) -> dict[str, int]:
    own = [file for file in files if file.language == language]
    train, dev = (int((part["language"] == language).sum()) for part in parts)
    tokens = sum(file.tokens for file in own)
    return {"files": len(own), "tokens": tokens, "train_windows": train, "dev_windows": dev}


def summary(record: dict[str, Any]) -> str:
    """The counts by language, as a table, and what was left out."""
    rows = [f"{'language':<10}{'files':>8}{'tokens':>13}{'train':>12}{'dev':>11}  (windows)"]
    for name, counts in record["languages"].items():
        files, tokens, train, dev = counts.values()
        rows.append(f"{name:<10}{files:>8,}{tokens:>13,}{train:>12,}{dev:>11,}")
    reasons = ", ".join(f"{count} {reason}" for reason, count in record["left_out"].items())
    rows.append(f"split by {record['split']}; {record['copies_dropped']} copies dropped")
    return "\n".join([*rows, f"left out: {reasons}"] if reasons else rows)
