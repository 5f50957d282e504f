"""Cleans one repository into a folder of its own: documents, their hashes, what was removed.

The folder is the unit of resumption: it appears whole or not at all, and a second run leaves it
alone where cache.py finds that nothing would change. Knows no other repository.

    documents.jsonl  {"repo", "path", "language", "licence", "test", "text"}, one a line
    index.npz        for each line: offset, length, text bytes, language, test, exact hash, MinHash
    counts.json      files and bytes read, kept and removed by reason, per language
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autocoder.daemon.languages import language_of
from autocoder.train.corpus.cache import UNREADABLE, cache_folder, is_done, made_of
from autocoder.train.corpus.decontamination import Contamination, contaminated
from autocoder.train.corpus.duplicates import exact_hash, sketch
from autocoder.train.corpus.filters import Cleaned, Limits, clean
from autocoder.train.corpus.manifest import Repository
from autocoder.train.corpus.paths import is_test, unwanted_path
from autocoder.train.corpus.reserved import is_reserved_path, names_puzzle_site
from autocoder.train.corpus.shingles import WINDOW, window_hashes
from autocoder.train.corpus.source import Entry, open_source

LEFT_OUT_ENDINGS = (".pyi", ".pyw")  # stubs: signatures without bodies

Counts = dict[str, dict[str, list[int]]]  # language → reason → [files, bytes]


@dataclass(frozen=True)
class Document:
    """One clean file; a line of the corpus."""

    repo: str
    path: str
    language: str
    licence: str
    test: bool
    text: str


@dataclass
class Tally:
    """Files and bytes by language and by what became of them."""

    counts: Counts = field(default_factory=dict)
    scrubbed: int = 0

    def add(self, language: str, reason: str, size: int) -> None:
        cell = self.counts.setdefault(language, {}).setdefault(reason, [0, 0])
        cell[0] += 1
        cell[1] += size


def clean_repository(
    repository: Repository, directory: Path, cache: Path, lists: Contamination
) -> Path:
    """Clean a git directory or plain folder into the cache, unless that was done before."""
    folder = cache_folder(cache, repository)
    if is_done(folder, repository, lists.digest):
        return folder
    listed, read = open_source(directory, repository)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tally = Tally()
    write(read(select(listed, repository, tally)), repository, lists, partial, tally)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def select(entries: list[Entry], repository: Repository, tally: Tally) -> list[Entry]:
    """The entries worth reading; the others are tallied."""
    chosen = []
    for entry in entries:
        language = language_of(entry.path)
        if language not in repository.languages or entry.path.endswith(LEFT_OUT_ENDINGS):
            continue
        tally.add(language, "read", entry.size)
        reason = unwanted_entry(entry)
        if reason:
            tally.add(language, reason, entry.size)
        else:
            chosen.append(entry)
    return chosen


def unwanted_entry(entry: Entry) -> str | None:
    if is_reserved_path(entry.path):
        return "reserved name"
    if reason := unwanted_path(entry.path):
        return reason
    return "too large" if entry.size > Limits.largest else None


def write(
    files: Iterable[tuple[Entry, bytes | None]],
    repository: Repository,
    lists: Contamination,
    folder: Path,
    tally: Tally,
) -> None:
    """Clean the files and write the three files of the folder."""
    columns: dict[str, list[Any]] = defaultdict(list)
    offset = 0
    with (folder / "documents.jsonl").open("wb") as output:
        for entry, data in files:
            document, hashes = judge(entry, data, repository, lists, tally)
            if document is None:
                continue
            line = json.dumps(asdict(document), ensure_ascii=False).encode() + b"\n"
            output.write(line)
            add_row(columns, document, hashes, offset, len(line))
            offset += len(line)
    np.savez(folder / "index.npz", **as_arrays(columns))
    made = made_of(repository, lists.digest)
    facts = {"made_of": made, "counts": tally.counts, "scrubbed": tally.scrubbed}
    (folder / "counts.json").write_text(json.dumps(facts, indent=1))


def judge(
    entry: Entry, data: bytes | None, repository: Repository, lists: Contamination, tally: Tally
) -> tuple[Document | None, np.ndarray]:
    """The document of a file and its window hashes; no document where a filter removes it."""
    language = language_of(entry.path)
    assert language is not None  # select() saw to it
    if data is None:
        tally.add(language, UNREADABLE, entry.size)
        return None, np.empty(0, np.uint64)
    result = clean(data, language)
    hashes = window_hashes(result.text) if isinstance(result, Cleaned) else np.empty(0, np.uint64)
    reason = result if isinstance(result, str) else unwanted_contents(result, hashes, lists)
    if reason:
        tally.add(language, reason, len(data))
        return None, hashes
    assert isinstance(result, Cleaned)
    tally.add(language, "stripped", len(data) - len(result.text.encode()))
    tally.scrubbed += result.scrubbed
    test = is_test(entry.path)
    return Document(
        repository.name, entry.path, language, repository.licence, test, result.text
    ), hashes


def unwanted_contents(result: Cleaned, hashes: np.ndarray, lists: Contamination) -> str | None:
    return contaminated(hashes, lists) or (
        "puzzle site" if names_puzzle_site(result.text) else None
    )


def add_row(
    columns: dict[str, list[Any]], document: Document, hashes: np.ndarray, offset: int, length: int
) -> None:
    columns["offset"].append(offset)
    columns["length"].append(length)
    columns["bytes"].append(len(document.text.encode()))
    columns["language"].append(document.language)
    columns["test"].append(document.test)
    columns["path"].append(document.path)
    columns["exact"].append(exact_hash(document.text))
    columns["windows"].append(len(hashes) >= WINDOW)
    columns["minhash"].append(sketch(hashes))


TYPES = {
    "offset": np.int64,
    "length": np.int64,
    "bytes": np.int64,
    "language": np.str_,
    "test": np.bool_,
    "path": np.str_,
    "exact": np.uint64,
    "windows": np.bool_,
    "minhash": np.uint32,
}


def as_arrays(columns: dict[str, list[Any]]) -> dict[str, np.ndarray]:
    return {name: np.array(columns[name], dtype) for name, dtype in TYPES.items()}
