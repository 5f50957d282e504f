"""The folders of cleaned repositories: where each lies, what it was made of, whether it is whole.

A folder is of use again as long as it was made of the same row, rules and hash lists, all files
could be read, and none of its own is damaged. Knows nothing of how a repository is cleaned.
"""

import hashlib
import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from autocoder.train.corpus.manifest import Repository

RULES = 2  # raise it when a filter changes, so that cleaned repositories are cleaned again
FIRST_LISTS = "13a7d195b0991856657d1a4c2d3b5a06"  # with which folders were made that name none
UNREADABLE = "unreadable"  # the reason for files that a mirror lacks or the disk withholds
DAMAGE = (OSError, ValueError, LookupError, TypeError, EOFError, BadZipFile, zlib.error)


def cache_folder(cache: Path, repository: Repository) -> Path:
    """A folder of its own; names of plain folders, unlike those of a manifest, may be alike."""
    name = repository.name.replace("/", "+")
    if not repository.is_folder:
        return cache / name
    return cache / f"{name}+{hashlib.blake2b(repository.url.encode(), digest_size=6).hexdigest()}"


def made_of(repository: Repository, lists: str) -> dict[str, Any]:
    """What a cleaned folder depends on, but for the split, which is decided later."""
    facts = {key: value for key, value in asdict(repository).items() if key != "split"}
    return {**facts, "languages": list(repository.languages), "rules": RULES, "lists": lists}


def is_done(folder: Path, repository: Repository, lists: str) -> bool:
    """Whether a folder is whole and made of this row and the hash lists of this digest."""
    if not folder.is_dir() or damage(folder) or unreadable(folder):
        return False
    return known(facts_of(folder)["made_of"]) == made_of(repository, lists)


def known(stored: dict[str, Any]) -> dict[str, Any]:
    """What a folder says it was made of. Before it named its lists, file: was a work tree."""
    if "lists" not in stored and not stored["url"].startswith("file:"):
        return {**stored, "lists": FIRST_LISTS}
    return stored


def damage(folder: Path) -> str:
    """What is wrong with a folder's files, "" for nothing. Looks at sizes, not at each byte."""
    try:
        facts = facts_of(folder)
        facts["made_of"]["url"], facts["counts"].values(), facts["scrubbed"]
        with np.load(folder / "index.npz") as index:
            expected = int(index["offset"][-1] + index["length"][-1]) if len(index["offset"]) else 0
        if (folder / "documents.jsonl").stat().st_size != expected:
            return f"documents.jsonl is not of {expected} bytes"
    except (*DAMAGE, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def unreadable(folder: Path) -> int:
    """How many source files could not be read when the folder was made."""
    counts = facts_of(folder)["counts"].values()
    return sum(reasons[UNREADABLE][0] for reasons in counts if UNREADABLE in reasons)


def facts_of(folder: Path) -> dict[str, Any]:
    """What counts.json says."""
    facts: dict[str, Any] = json.loads((folder / "counts.json").read_text())
    return facts
