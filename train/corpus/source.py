"""Streams the source files of a repository out of git (or of a plain folder), without a work tree.

Knows git's object commands and nothing of what makes a file good. Memory: one file at a time.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import unquote_to_bytes, urlsplit

from autocoder.daemon.errors import ConfigError
from autocoder.train.corpus.manifest import Repository

ENVIRONMENT = {**os.environ, "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}


@dataclass(frozen=True)
class Entry:
    """A file as a listing shows it; `key` finds its contents."""

    path: str
    size: int  # bytes
    key: str


Read = Callable[[list[Entry]], Iterator[tuple[Entry, bytes | None]]]  # None: it cannot be read


def find_mirror(folder: Path, name: str) -> Path | None:
    """The git directory of owner/name in a folder of mirrors, or None.

    Understood: `owner+name`, `owner/name` and `name`, bare or not, with or without `.git`, or one
    level deeper in a folder `repo`.
    """
    stems = (name.replace("/", "+"), name, name.split("/")[-1])
    for stem in stems:
        for ending in ("", ".git", "/.git", "/repo", "/repo/.git"):
            if (folder / (stem + ending) / "objects").is_dir():
                return folder / (stem + ending)
    return None


def path_of(url: str) -> Path:
    """The path in a file: or folder: URL, whatever the bytes of its name."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(url).path)))


def local_repository(url: str) -> Path:
    """The git repository that a file: URL names. Raises ConfigError where there is none."""
    folder = path_of(url)
    ceiling = {"GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)}  # none of its parents
    if not folder.is_dir() or not succeeds(folder, "rev-parse", "--git-dir", **ceiling):
        raise ConfigError(
            f"{url} is no git repository. Commit the files there, or leave the row out and give "
            "them as they are by --folder DIR."
        )
    return folder


def clone(repository: Repository, folder: Path) -> Path:
    """Bring one commit of a repository into a folder of mirrors; returns the bare git directory."""
    target = folder / repository.name.replace("/", "+")
    if not (target / "objects").is_dir():
        git(None, "init", "--quiet", "--bare", str(target))
    if not has_commit(target, repository.commit):
        git(target, "fetch", "--quiet", "--depth=1", repository.url, repository.commit)
    return target


def has_commit(directory: Path, commit: str) -> bool:
    return succeeds(directory, "cat-file", "-e", f"{commit}^{{commit}}")


def succeeds(directory: Path, *arguments: str, **environment: str) -> bool:
    command = ["git", "-C", str(directory), *arguments]
    environment = {**ENVIRONMENT, **environment}
    return not subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def resolve(directory: Path, repository: Repository) -> str:
    """The manifest's commit. Raises ConfigError where the mirror lacks it."""
    if has_commit(directory, repository.commit):
        return repository.commit
    raise ConfigError(
        f"{directory} lacks commit {repository.commit} of {repository.name}. Fetch it there, or "
        "write the mirror's own commit into the manifest."
    )


def git(directory: Path | None, *arguments: str) -> bytes:
    """Standard output of a git command. Raises ConfigError with git's complaint."""
    where = ["-C", str(directory)] if directory else []
    done = subprocess.run(
        ["git", *where, *arguments], env=ENVIRONMENT, capture_output=True, check=False
    )
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip()
        raise ConfigError(f"git {' '.join(arguments)} failed in {directory or '.'}: {complaint}")
    return done.stdout


def list_commit(directory: Path, commit: str) -> list[Entry]:
    """The regular files of a commit (no links, no submodules)."""
    listing = git(directory, "ls-tree", "-r", "-l", "-z", "--full-tree", commit)
    entries = []
    for row in filter(None, listing.split(b"\0")):
        facts, path = row.split(b"\t", 1)
        mode, _, key, size = facts.split()
        if mode.startswith(b"100"):
            length = int(size) if size.isdigit() else 0  # "BAD" where the mirror lacks the file
            entries.append(Entry(path.decode(errors="replace"), length, key.decode()))
    return entries


def read_commit(directory: Path, entries: list[Entry]) -> Iterator[tuple[Entry, bytes | None]]:
    """The contents of files of a commit, in order; None for those that a mirror lacks."""
    with tempfile.TemporaryFile() as keys:
        keys.write("".join(f"{entry.key}\n" for entry in entries).encode())
        keys.seek(0)
        process = subprocess.Popen(
            ["git", "-C", str(directory), "cat-file", "--batch", "--buffer"],
            env=ENVIRONMENT,
            stdin=keys,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            for entry in entries:
                yield entry, read_object(process.stdout)


def read_object(stream: IO[bytes]) -> bytes | None:
    """One answer of `git cat-file --batch`; None for an object that is not there."""
    header = stream.readline().split()
    if len(header) != 3:
        return None
    data = stream.read(int(header[2]))
    stream.read(1)
    return data


def open_source(directory: Path, repository: Repository) -> tuple[list[Entry], Read]:
    """The entries of a git directory (at the row's commit) or plain folder, and their reader."""
    if repository.is_folder:
        return list_folder(directory), read_folder
    return list_commit(directory, resolve(directory, repository)), partial(read_commit, directory)


def list_folder(folder: Path) -> list[Entry]:
    """The files of a plain folder, hidden ones left out, in a fixed order."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    names = [os.fsencode(path.relative_to(folder)).decode(errors="replace") for path in paths]
    return [
        Entry(name, path.stat().st_size, str(path))
        for name, path in zip(names, paths, strict=True)
        if not any(part.startswith(".") for part in name.split("/"))
    ]


def read_folder(entries: list[Entry]) -> Iterator[tuple[Entry, bytes | None]]:
    """The contents of files of a plain folder; None for those that may not be read."""
    for entry in entries:
        try:
            data = Path(entry.key).read_bytes()
        except OSError:
            yield entry, None
        else:
            yield entry, data


def state_of_folder(folder: Path) -> str:
    """A stand-in for the commit of a plain folder: changes when a file of it does."""
    facts = [(e.path, e.size, Path(e.key).stat().st_mtime_ns) for e in list_folder(folder)]
    return hashlib.blake2b(repr(facts).encode(), digest_size=20).hexdigest()
