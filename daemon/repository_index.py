"""What the source files around a document say: n-grams of their tokens, to draw guesses from.

Only files of the document's own language, within its repository (the nearest folder above it with
`.git`, `.hg` or `.svn`), nearest first; hidden folders, links, folders of dependencies and build
outputs and what simple `.gitignore` lines name are left out. Bounded in files, bytes and tokens,
read in a thread of low priority that waits while a request runs; no request ever waits for it.
Nothing leaves memory, and guesses never change an answer, only the time it takes.

Knows files and token ids; knows no model.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.drafting import GAP, LONGEST_MATCH, Guess, longest_match
from autocoder.daemon.languages import LANGUAGES, language_of

MARKS = (".git", ".hg", ".svn")
DEPENDENCIES = ("node_modules", "site-packages", "venv", "env")
OUTPUTS = ("__pycache__", "build", "dist", "target", "out")
MOST_FILES = 300
MOST_FOLDERS = 1000
MOST_BYTES = 3_000_000
LARGEST_FILE = 150_000
MOST_TOKENS = 400_000
MOST_REPOSITORIES = 3
AGAIN_AFTER_S = 300.0
BLOCK = 8_000  # characters that are tokenised between two looks at whether a request runs
ORDER = 3  # tokens that are sorted by
FEWEST = 2  # that must match; behind a single one, one guess in ten comes true
BITS = 21  # of a token
MOST_PLACES = 64
NICENESS = 15

Ids = NDArray[np.int32]


@dataclass
class Repository:
    """One repository's files in one language: tokens by path, and the n-grams of them all."""

    read: dict[Path, tuple[float, Ids]] = field(
        default_factory=dict
    )  # path → (time of change, ids)
    ngrams: "Ngrams | None" = None
    looked: float = float("-inf")


class RepositoryIndex:
    """The repositories of the documents lately asked for. `encode` is the model's tokenizer."""

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        self._encode = encode
        self._known: dict[tuple[Path, str], Repository] = {}
        self._roots: dict[Path, Path | None] = {}
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None

    def around(self, path: str | None, language: str) -> "Ngrams | None":
        """The n-grams around a document, as far as they are read; begins to read where need be."""
        root = self._root(Path(path).parent) if path and os.path.isabs(path) else None
        if path is None or root is None:
            return None
        found = self._known.pop((root, language), None) or Repository()
        self._known[root, language] = found  # the most lately asked for comes last
        while len(self._known) > MOST_REPOSITORIES:
            del self._known[next(iter(self._known))]
        self._read(found, root, Path(path).parent, language)
        return found.ngrams

    def busy(self) -> None:
        """A request runs: reading pauses."""
        self._idle.clear()

    def idle(self) -> None:
        """No request runs."""
        self._idle.set()

    def wait(self, patience_s: float) -> None:
        """Until what is being read is read."""
        if self._thread is not None:
            self._thread.join(patience_s)

    def _root(self, folder: Path) -> Path | None:
        if folder not in self._roots:
            if len(self._roots) > MOST_FOLDERS:
                self._roots.clear()
            self._roots[folder] = repository_of(folder)
        return self._roots[folder]

    def _read(self, repository: Repository, root: Path, folder: Path, language: str) -> None:
        reading = self._thread is not None and self._thread.is_alive()
        if reading or time.monotonic() - repository.looked < AGAIN_AFTER_S:
            return
        repository.looked = time.monotonic()
        self._thread = threading.Thread(
            target=self._read_all,
            args=(repository, root, folder, language),
            name="repository",
            daemon=True,
        )
        self._thread.start()

    def _read_all(self, repository: Repository, root: Path, folder: Path, language: str) -> None:
        with suppress(OSError, AttributeError):  # not every system has priorities of threads
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        read: dict[Path, tuple[float, Ids]] = {}
        tokens = 0
        for path, changed in source_files(root, folder, language):
            old = repository.read.get(path)
            entry = old if old and old[0] == changed else (changed, self._tokens(path))
            read[path] = entry
            tokens += len(entry[1])
            if tokens > MOST_TOKENS:
                break
        repository.read = read
        texts = [ids for _, ids in reversed(read.values())]  # the nearest last: it wins
        repository.ngrams = Ngrams(texts) if texts else None

    def _tokens(self, path: Path) -> Ids:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            text = ""
        ids: list[int] = []
        for block in blocks(text):
            self._idle.wait()
            ids += self._encode(block)
        return np.asarray([*ids, GAP], np.int32)


class Ngrams:
    """Texts of token ids, each closed by GAP, sorted by the ORDER tokens that precede each place.

    The last of them counts most, so that those that share one, two or three are neighbours.
    """

    def __init__(self, texts: Sequence[Ids]) -> None:
        self._ids = np.concatenate(texts)
        keys = _keys(self._ids)
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._ends = (order + ORDER - 1).astype(np.int32)

    def __len__(self) -> int:
        return len(self._ids)

    def follow(self, ids: Sequence[int], most: int) -> Guess:
        """See `NgramSource.follow`.

        Behind ORDER tokens or more the longest match is continued; behind FEWEST, what most often
        followed is the one guess.
        """
        wanted = np.asarray(ids[-LONGEST_MATCH:], np.int32)
        for length in range(min(ORDER, len(wanted)), FEWEST - 1, -1):
            places = self._places(wanted[-length:])
            if len(places) and length == ORDER:
                return self._longest(places, wanted, most)
            if len(places):
                return self._usual(places, length)
        return Guess()

    def _places(self, last: Ids) -> NDArray[np.int64]:
        """Where these tokens stand; each place is that of the last of them."""
        if (last == GAP).any():
            return np.zeros(0, np.int64)
        low = _key(last)
        high = low + (1 << BITS * (ORDER - len(last)))
        first, after = np.searchsorted(self._keys, [low, high])
        return self._ends[first:after].astype(np.int64)

    def _longest(self, places: NDArray[np.int64], wanted: Ids, most: int) -> Guess:
        matched, place = longest_match(self._ids, places[-MOST_PLACES:], wanted)
        following = self._ids[place + 1 : place + 1 + most].tolist()
        tokens = following[: following.index(GAP)] if GAP in following else following
        return Guess(tuple(tokens), matched, far=True)

    def _usual(self, places: NDArray[np.int64], matched: int) -> Guess:
        some = places[:: max(1, len(places) // MOST_PLACES)]
        tokens, counts = np.unique(self._ids[some + 1], return_counts=True)
        token = int(tokens[counts.argmax()])
        return Guess((token,), matched, far=True) if token != GAP else Guess()


def _keys(ids: Ids) -> NDArray[np.int64]:
    """One number for each run of ORDER tokens, whose ids are below 2²¹."""
    wide = ids.astype(np.int64) + 1
    count = max(len(ids) - ORDER + 1, 0)
    keys = np.zeros(count, np.int64)
    for offset in reversed(range(ORDER)):
        keys = (keys << BITS) | wide[offset : offset + count]
    return keys


def _key(last: Ids) -> int:
    """The least key of a run that ends in these tokens."""
    key = 0
    for token in reversed(last.tolist()):
        key = (key << BITS) | (token + 1)
    return key << BITS * (ORDER - len(last))


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


def blocks(text: str) -> Iterator[str]:
    """The text in pieces of about BLOCK characters, cut before line starts."""
    at = 0
    while at < len(text):
        cut = text.find("\n", at + BLOCK)
        end = len(text) if cut == -1 else cut
        yield text[at:end]
        at = end
