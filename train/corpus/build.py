"""Mines, cleans and packs a corpus: manifest → cleaned repositories → shuffled shards → report.

    autocoder train corpus --mirror ~/mirrors --out ~/corpus
    autocoder train corpus --out ~/corpus              # clones what is missing (large)
    autocoder train corpus --folder ./src --licence MIT --out ~/corpus

Repositories are cleaned in parallel and kept in the cache, so an interrupted run resumes. Memory
stays bounded: texts live on disk, only their hashes are held. Knows the order of the steps and
nothing of how each works.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.daemon.languages import LANGUAGES
from autocoder.train.corpus import decontamination, manifest
from autocoder.train.corpus.gather import clean_all
from autocoder.train.corpus.index import Index, load_index
from autocoder.train.corpus.manifest import Repository
from autocoder.train.corpus.report import write_report
from autocoder.train.corpus.sample import write_sample
from autocoder.train.corpus.selection import KEPT, Selection, select
from autocoder.train.corpus.shards import write_split
from autocoder.train.corpus.source import state_of_folder
from autocoder.train.corpus.split import SPLITS, TEST_SHARE
from autocoder.train.corpus.summary import removed_by_cleaning, total


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `autocoder train corpus …`; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        build(options)
    except AutocoderError as error:
        print(f"autocoder train corpus: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="autocoder train corpus", description="Mine and clean a corpus from a manifest."
    )
    add = result.add_argument
    add("--manifest", type=Path, help="table of repositories (default: the one shipped)")
    add("--folder", type=Path, action="append", default=[], help="plain folder of source files")
    add("--licence", default=manifest.OWN, help="of the plain folders, permissive (default: own)")
    add("--split", choices=SPLITS, default="train", help="split of the plain folders")
    add("--mirror", type=Path, help="folder of local mirrors (owner+name or owner/name)")
    add("--offline", action="store_true", help="leave out what the mirror lacks; clone nothing")
    add("--out", type=Path, required=True, help="folder for the shards and the report")
    add("--cache", type=Path, help="folder of cleaned repositories (default: OUT/cache)")
    add("--decontamination", type=Path, default=decontamination.LISTS, help="folder of hash lists")
    add("--test-share", type=float, default=TEST_SHARE, help="share of test files kept in train")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    add("--seed", type=int, default=2026, help="of the shuffle")
    add("--shard-mib", type=float, default=50, help="compressed size at which a shard ends")
    add("--sample-mb", type=float, default=60, help="tokenizer sample, megabytes a language")
    add("--only", choices=("clean", "sample"), help="stop after this step")
    return result


def build(options: argparse.Namespace) -> None:
    """All steps, or those up to `options.only`."""
    check(options)
    cache = options.cache or options.out / "cache"
    repositories = sources(options)
    missing = clean_all(repositories, options, cache)
    present = [row for row in repositories if row not in missing]
    if not present:
        remedy = "Clone them (no --offline) or give --mirror." if options.offline else "Mend those."
        raise ConfigError(f"No repository could be had, for the reasons above. {remedy}")
    if options.only == "clean":
        return
    index = load_index(cache, present)
    selection = select_some(index, options.test_share)
    write_sample(index, selection, options.out / "tokenizer-sample.jsonl", options)
    if options.only == "sample":
        return
    for split in SPLITS:
        write_split(index, selection, split, options)
    write_report(index, selection, options.out, {row.name: why for row, why in missing.items()})
    print(f"Corpus in {options.out}, report in {options.out / 'report' / 'report.md'}")


def check(options: argparse.Namespace) -> None:
    """Raises ConfigError for what argparse lets pass."""
    if options.jobs < 1:
        raise ConfigError(f"--jobs {options.jobs}: give the number of processes, 1 or more.")
    if options.mirror and not options.mirror.is_dir():
        raise ConfigError(f"No folder of mirrors at {options.mirror}. Correct --mirror DIR.")
    if options.out.exists() and not options.out.is_dir():
        raise ConfigError(f"{options.out} is a file. Give a folder by --out DIR.")


def select_some(index: Index, test_share: float) -> Selection:
    """The selection. Raises ConfigError where nothing is left to write, with what became of it."""
    if not len(index):
        files = {reason: total(by, "files") for reason, by in removed_by_cleaning(index).items()}
        fates = ", ".join(f"{reason} {count}" for reason, count in files.items() if count)
        raise ConfigError(
            f"No file is left after cleaning ({fates or 'there was none'}). Give sources of "
            f"{' or '.join(row.name for row in LANGUAGES)} that are written by hand."
        )
    selection = select(index, test_share)
    if not (selection.fate == KEPT).any():
        raise ConfigError(
            f"All {len(index)} files are tests that were thinned; give --test-share 1 to keep them."
        )
    return selection


def sources(options: argparse.Namespace) -> list[Repository]:
    """The rows of the manifest, and one for each plain folder; folders alone need no manifest."""
    if not manifest.is_allowed(options.licence):
        raise ConfigError(
            f"--licence {options.licence} is not permissive: what others wrote under it is not for "
            f"training. For code of your own leave it at {manifest.OWN}, however you publish it."
        )
    unique = dict.fromkeys(folder.resolve() for folder in options.folder)
    folders = [folder_row(folder, options) for folder in unique]
    if folders and not options.manifest:
        return folders
    return manifest.load(options.manifest or manifest.DEFAULT) + folders


def folder_row(folder: Path, options: argparse.Namespace) -> Repository:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder. Give the root of source files by --folder DIR.")
    languages = tuple(row.name for row in LANGUAGES)
    url = folder.as_uri().replace("file:", manifest.FOLDER, 1)
    return Repository(url, state_of_folder(folder), options.licence, languages, options.split)


if __name__ == "__main__":
    sys.exit(main())
