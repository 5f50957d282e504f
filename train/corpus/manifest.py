"""Reads and checks the manifest: which repositories, at which commit, under which licence.

A table of tab-separated columns `url commit licence languages split`. Knows no git and no files
of the repositories. The split is by repository, so that no window of a development file was seen.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.languages import LANGUAGES
from autocoder.train.corpus.reserved import is_reserved_repository
from autocoder.train.corpus.split import SPLITS

FOLDER = "folder:"  # the scheme of a plain folder's URL; file: is a git repository of this disk
DEFAULT = Path(__file__).with_name("manifest.tsv")
OWN = "LicenseRef-own"  # the user's own code, under whatever licence they publish it
PERMISSIVE = frozenset(
    [
        "Apache-2.0",
        "MIT",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "PSF-2.0",
        "CC0-1.0",
        "Unlicense",
        "0BSD",
        "Zlib",
        "LicenseRef-Biopython",
    ]
)


@dataclass(frozen=True)
class Repository:
    """One row of the manifest."""

    url: str
    commit: str
    licence: str  # an SPDX expression of permissive licences, or OWN
    languages: tuple[str, ...]
    split: str

    @property
    def name(self) -> str:
        """ "owner/name", as in the URL."""
        return "/".join(urlsplit(self.url).path.removesuffix(".git").strip("/").split("/")[-2:])

    @property
    def is_folder(self) -> bool:
        """Whether it is a plain folder of the command line, read as it lies, without git."""
        return self.url.startswith(FOLDER)


COLUMNS = tuple(field.name for field in fields(Repository))


def load(path: Path = DEFAULT) -> list[Repository]:
    """The repositories of a manifest. Raises ConfigError naming line, value and remedy."""
    if not path.is_file():
        raise ConfigError(f"No manifest at {path}. Give one by --manifest FILE.")
    header, *rows = read_lines(path) or [[]]
    if tuple(header) != COLUMNS:
        raise ConfigError(f"{path}: the first line must be {'<tab>'.join(COLUMNS)}, not {header}.")
    repositories = [read_row(row, f"{path}:{number}") for number, row in enumerate(rows, 2) if row]
    if not repositories:
        raise ConfigError(f"{path} names no repository; write a line for each below the first.")
    check_unique(repositories, path)
    return repositories


def read_lines(path: Path) -> list[list[str]]:
    """The cells of each line, none for an empty line. Raises ConfigError where it is no text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return list(csv.reader(lines, delimiter="\t"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"{path} is no table of text ({error}). Write it in UTF-8, tabs between the columns."
        ) from error


def read_row(row: Sequence[str], place: str) -> Repository:
    if len(row) != len(COLUMNS):
        raise ConfigError(f"{place}: {len(row)} columns; write {len(COLUMNS)}, tabs between them.")
    url, commit, licence, languages, split = row
    repository = Repository(url, commit, licence, tuple(languages.split(",")), split)
    for wrong in complaints(repository):
        raise ConfigError(f"{place}: {wrong}")
    return repository


def complaints(repository: Repository) -> list[str]:
    """What is wrong with a row, each with its remedy."""
    known = {row.name for row in LANGUAGES}
    checks = {
        f"'{repository.url}' is no URL of a repository; write https://host/owner/name.": (
            repository.name.count("/") == 1 and not repository.is_folder
        ),
        f"'{repository.commit}' is no commit; write its 40 hexadecimal digits.": bool(
            re.fullmatch(r"[0-9a-f]{40}", repository.commit)
        ),
        f"'{repository.licence}' is not permissive; leave the repository out, add its SPDX name "
        f"to PERMISSIVE in manifest.py if it is, or write {OWN} where the code is your own.": (
            is_allowed(repository.licence)
        ),
        f"unknown language in {repository.languages}; known: {', '.join(sorted(known))}.": (
            set(repository.languages) <= known
        ),
        f"unknown split '{repository.split}'; write one of {', '.join(SPLITS)}.": (
            repository.split in SPLITS
        ),
        f"{repository.name} is reserved for measuring; remove the line.": (
            not is_reserved_repository(repository.name)
        ),
    }
    return [text for text, fine in checks.items() if not fine]


def is_allowed(licence: str) -> bool:
    """Whether one may train on it: permissive, each part of an expression, or one's own."""
    return set(re.split(r" (?:AND|OR) ", licence)) <= PERMISSIVE | {OWN}


def check_unique(repositories: Sequence[Repository], path: Path) -> None:
    names = [repository.name.lower() for repository in repositories]
    for name in sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{path}: {name} stands twice; remove one of the lines.")
