"""The source files around a document, nearest first, within its repository.

The repository is the nearest folder above the document with `.git`, `.hg` or `.svn`. Left out are
hidden folders, links, folders of dependencies and build outputs and what simple `.gitignore` lines
name. Bounded in files, folders and bytes. Knows names and sizes; reads no source text.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from autocoder.daemon.languages import LANGUAGES, language_of

MARKS = (".git", ".hg", ".svn")
DEPENDENCIES = ("node_modules", "site-packages", "venv", "env")
OUTPUTS = ("__pycache__", "build", "dist", "target", "out")
MOST_FILES = 300
MOST_FOLDERS = 1000
MOST_BYTES = 3_000_000
LARGEST_FILE = 150_000


def repository_of(folder: Path) -> Path | None:
    """The nearest folder, this one or above it, that is a repository; None where there is none."""
    for candidate in (folder, *folder.parents):
        with suppress(OSError):
            if any((candidate / mark).exists() for mark in MARKS):
                return candidate
    return None


def source_files(root: Path, folder: Path, language: str) -> Iterator[tuple[Path, float]]:
    """Files of a language below `root` and their times of change, those nearest `folder` first."""
    endings = tuple(end for row in LANGUAGES if row.name == language for end in row.endings)
    files = size = 0
    for inside in folders(root, folder):
        for entry in _entries(inside):
            with suppress(OSError):
                if not entry.name.endswith(endings) or not entry.is_file(follow_symlinks=False):
                    continue
                status = entry.stat(follow_symlinks=False)
                if status.st_size > LARGEST_FILE or language_of(entry.name) != language:
                    continue
                files, size = files + 1, size + status.st_size
                if files > MOST_FILES or size > MOST_BYTES:
                    return
                yield Path(entry.path), status.st_mtime


def folders(root: Path, folder: Path) -> Iterator[Path]:
    """`folder`, what is below it, then its parent and what is below that, up to `root`."""
    seen: set[Path] = set()
    for start in (folder, *folder.parents):
        waiting = [start]
        while waiting and len(seen) < MOST_FOLDERS:
            here = waiting.pop(0)
            if here in seen:
                continue
            seen.add(here)
            yield here
            waiting += [below for below in _below(here) if below not in seen]
        if start == root:
            return


def _below(folder: Path) -> list[Path]:
    ignored = [*DEPENDENCIES, *OUTPUTS, *_ignored(folder)]
    found = []
    for entry in _entries(folder):
        name = entry.name
        if name.startswith(".") or any(fnmatch(name, each) for each in ignored):
            continue
        with suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                found.append(Path(entry.path))
    return found


def _ignored(folder: Path) -> list[str]:
    """The simple names that the folder's `.gitignore` lists."""
    try:
        lines = (folder / ".gitignore").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    names = (line.strip().strip("/") for line in lines if not line.startswith(("#", "!")))
    return [name for name in names if name and "/" not in name]


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []
