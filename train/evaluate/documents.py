"""The source files that are measured on: from a folder, or from corpus shards.

A folder's files come in an order that the seed decides, so that the first ones are a fair sample
of all; shards, which are shuffled when they are written, keep their own order whatever the seed.
Vendored, generated and fixture files of a folder are left out by their paths, as the corpus does.
Knows no holes and no model.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.languages import language_of
from autocoder.train.corpus.paths import unwanted_path
from autocoder.train.evaluate.json_lines import check_text, lines, record

MAX_FILE_BYTES = 400_000
SHARDS = (".jsonl", ".jsonl.xz")
FORM = (
    "no document ({reason}); a line is one JSON object with the strings `language` and `text`, as "
    "`autocoder train corpus` writes them. Mend or delete the line."
)


@dataclass(frozen=True)
class Document:
    """A source text with line feeds only; `path` names it in rows and reports."""

    path: str
    language: str
    text: str


def documents(source: Path, seed: int = 0) -> Iterator[Document]:
    """The texts of a folder's source files, or of JSONL lines: a `.jsonl` or `.jsonl.xz` file, or
    all of them in a folder.

    A line is an object with `language` and `text`, and a `path` if it has one, which is the form
    of the corpus. Raises ConfigError for a missing source, for a damaged file and for a line
    that is none.
    """
    check_source(source)
    if source.is_dir():
        shards = sorted(path for path in source.iterdir() if path.name.endswith(SHARDS))
        for shard in shards:
            yield from _of_lines(shard)
        if not shards:
            yield from _of_folder(source, seed)
    else:
        yield from _of_lines(source)


def check_source(source: Path) -> None:
    """Raises ConfigError where there are no documents because there is nothing."""
    if not (source.is_dir() or source.is_file()):
        raise ConfigError(f"no folder or file {source}; give a folder of source files or a JSONL")


def _of_folder(folder: Path, seed: int) -> Iterator[Document]:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    names = [name for name in names if _is_wanted(name)]
    for name in sorted(names, key=lambda name: (_rank(name, seed), name)):
        document = _read(folder / name, name)
        if document is not None:
            yield document


def _is_wanted(name: str) -> bool:
    """Whether a source file is called so that is neither vendored nor generated."""
    with suppress(UnicodeEncodeError):
        name.encode()  # a name of bytes that are no UTF-8 could be written nowhere
        return language_of(name) is not None and not unwanted_path(name)
    return False


def _rank(name: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()


def _read(path: Path, name: str) -> Document | None:
    """The file, or None where it is too large, not UTF-8, or cannot be read."""
    language = language_of(name)
    with suppress(OSError, UnicodeDecodeError):
        if language and path.is_file() and path.stat().st_size <= MAX_FILE_BYTES:
            text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
            return Document(name, language, text)
    return None


def _of_lines(path: Path) -> Iterator[Document]:
    return (_document(line, where) for where, line in lines(path))


def _document(line: bytes, where: str) -> Document:
    found = record(line, where, ("language", "text"), FORM)
    name = "/".join(str(found[key]) for key in ("repo", "path") if found.get(key))
    check_text(name, "repo or path", where)
    return Document(name or where, found["language"], found["text"].replace("\r\n", "\n"))
