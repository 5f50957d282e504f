"""The source files that are measured on: from a folder, or from corpus shards.

Files come in an order that the seed decides, so that the first ones are a fair sample of all.
Vendored, generated and fixture files of a folder are left out by their paths, as the corpus does.
Knows no holes and no model.
"""

import hashlib
import json
import lzma
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.languages import language_of
from autocoder.train.corpus.paths import unwanted_path

MAX_FILE_BYTES = 400_000
SHARDS = (".jsonl", ".jsonl.xz")


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
    of the corpus. Raises ConfigError for a missing source and for a line that is none.
    """
    if source.is_dir():
        shards = sorted(path for path in source.iterdir() if path.name.endswith(SHARDS))
        for shard in shards:
            yield from _of_lines(shard)
        if not shards:
            yield from _of_folder(source, seed)
    elif source.is_file():
        yield from _of_lines(source)
    else:
        raise ConfigError(f"no folder or file {source}; give a folder of source files or a JSONL")


def _of_folder(folder: Path, seed: int) -> Iterator[Document]:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    names = [name for name in names if language_of(name) and not unwanted_path(name)]
    for name in sorted(names, key=lambda name: (_rank(name, seed), name)):
        document = _read(folder / name, name)
        if document is not None:
            yield document


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
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _document(line, f"{path}:{number}")


def _document(line: str, where: str) -> Document:
    try:
        record = json.loads(line)
        language, text = record["language"], record["text"]
        if not (isinstance(language, str) and isinstance(text, str)):
            raise TypeError("not strings")
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{where} is no document ({error!r}); a line is one JSON object with the strings "
            "`language` and `text`, as `autocoder train corpus` writes them"
        ) from error
    name = "/".join(str(record[key]) for key in ("repo", "path") if record.get(key))
    return Document(name or where, language, text.replace("\r\n", "\n"))
