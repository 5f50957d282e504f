"""Folders and git URLs → source texts with their language. Streams: one file in memory at a time.

Knows the language table and git's clone; knows no tokens. What is left out is counted by reason,
never passed over in silence.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.languages import LANGUAGES, language_of
from autocoder.train.corpus.source import list_folder

MAX_BYTES = 2_000_000  # larger source files are generated tables
GIT_URL = re.compile(r"^(https?|ssh|git|file)://|^[\w.-]+@[\w.-]+:|\.git$")


@dataclass(frozen=True)
class Source:
    """One source file; `name` says where it was found."""

    name: str
    language: str
    text: str


def read_sources(places: Sequence[str], clones: Path, left_out: Counter[str]) -> Iterator[Source]:
    """The source files of folders, files and git URLs, in a fixed order.

    Repositories are cloned (one commit deep) into `clones`. `left_out` counts what was skipped,
    by reason. Raises ConfigError for a place that is not there, or one without any source file.
    """
    for place in places:
        root = open_place(place, clones)
        found = 0
        for name, path in source_paths(root):
            text, reason = read_text(path)
            found += 1
            if text is None:
                left_out[reason] += 1
            else:
                yield Source(f"{root.name}/{name}", str(language_of(path)), text)
        if not found:
            endings = " ".join(ending for row in LANGUAGES for ending in row.endings)
            raise ConfigError(f"{place} holds no source file ({endings}); give another folder")


def open_place(place: str, clones: Path) -> Path:
    """The local folder or file that a place means; a git URL is cloned first."""
    path = Path(place).expanduser()
    if path.exists():
        return path.resolve()
    if not GIT_URL.search(place):
        raise ConfigError(f"{place} is neither a folder nor a git URL; check the spelling")
    return clone(place, clones)


def clone(url: str, clones: Path) -> Path:
    """Clone a repository's newest commit, unless an earlier run did; returns its folder."""
    target = clones / re.sub(r"[^\w.-]+", "-", url.removesuffix(".git")).strip("-")
    if not target.exists():
        clones.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        command = ["git", "clone", "--quiet", "--depth=1", "--", url, str(part)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(
                f"cannot clone {url}: {done.stderr.strip()}. Clone it yourself and give the folder."
            )
        part.rename(target)
    return target


def source_paths(root: Path) -> Iterable[tuple[str, Path]]:
    """Names and paths of the files that the language table knows; hidden ones left out."""
    if root.is_file():
        return [(root.name, root)] if language_of(root) else []
    entries = ((entry.path, Path(entry.key)) for entry in list_folder(root))
    return ((name, path) for name, path in entries if language_of(path))


def read_text(path: Path) -> tuple[str | None, str]:
    """A file's text with `\\n` line ends, or None and the reason why it is left out."""
    try:
        data = path.read_bytes()
    except OSError:
        return None, "unreadable"
    if len(data) > MAX_BYTES:
        return None, f"over {MAX_BYTES / 1e6:g} MB"
    if b"\0" in data:
        return None, "binary"
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, "not UTF-8"
    return (text.replace("\r\n", "\n"), "") if text.strip() else (None, "empty")
