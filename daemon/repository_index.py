"""What the source files around a document say: n-grams of their tokens, to draw guesses from.

Only files of the document's own language within its repository (`source_files`), bounded in tokens,
read in a thread of low priority that waits until nothing has been asked for a moment, a second at
most; no request ever waits for it.
Nothing leaves memory, and guesses never change an answer, only the time it takes.

Knows files and token ids; knows no model.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from autocoder.daemon.drafting import GAP
from autocoder.daemon.ngrams import Ids, Ngrams
from autocoder.daemon.source_files import repository_of, source_files

MOST_TOKENS = 400_000
MOST_REPOSITORIES = 3
MOST_ROOTS = 1000  # folders whose repository is remembered
AGAIN_AFTER_S = 300.0
BLOCK = 2_000  # characters tokenised between two looks, in a millisecond that stops other threads
QUIET_S = 0.1  # without a request, before a block is read
PATIENCE_S = 1.0  # that a block waits for such a moment, while requests follow each other
NICENESS = 15


@dataclass
class Repository:
    """One repository's files in one language: tokens by path, and the n-grams of them all."""

    read: dict[Path, tuple[float, Ids]] = field(
        default_factory=dict
    )  # path → (time of change, ids)
    ngrams: Ngrams | None = None
    looked: float = float("-inf")


class RepositoryIndex:
    """The repositories of the documents lately asked for. `encode` is the model's tokenizer."""

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        self._encode = encode
        self._known: dict[tuple[Path, str], Repository] = {}
        self._roots: dict[Path, Path | None] = {}
        self._idle = threading.Event()
        self._idle.set()
        self._left = float("-inf")  # when the last request ended
        self._thread: threading.Thread | None = None

    def around(self, path: str | None, language: str) -> Ngrams | None:
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
        self._left = time.monotonic()
        self._idle.set()

    def wait(self, patience_s: float) -> None:
        """Until what is being read is read."""
        if self._thread is not None:
            self._thread.join(patience_s)

    def _root(self, folder: Path) -> Path | None:
        if folder not in self._roots:
            if len(self._roots) > MOST_ROOTS:
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
            self._wait_for_quiet()
            ids += self._encode(block)
        return np.asarray([*ids, GAP], np.int32)

    def _wait_for_quiet(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self._idle.wait(PATIENCE_S)
            missing = self._left + QUIET_S - time.monotonic()
            if missing <= 0:
                return
            time.sleep(max(0.0, min(missing, end - time.monotonic())))


def blocks(text: str) -> Iterator[str]:
    """The text in pieces of about BLOCK characters, cut before line starts."""
    at = 0
    while at < len(text):
        cut = text.find("\n", at + BLOCK)
        end = len(text) if cut == -1 else cut
        yield text[at:end]
        at = end
