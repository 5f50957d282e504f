"""Copies of unsaved text that outlive a crash, a closed terminal or a killed process.

One file for each edited file and editor, in the user's state folder: a line of JSON, then the
text. Its editor holds a lock on it, which the kernel takes away when the process ends, however
it ends: a process id may belong to somebody else by then. What the user throws away stays in
`deleted` for some days. Knows no buffer and no screen.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from autocoder.clients.editor.file import Stamp

DELETED_DAYS, DELETED_COPIES = 14, 50
_CODEC = ("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Recovery:
    """Unsaved text of an earlier editor. `when` is in seconds since the epoch.

    `base` is the file that the text came from, as it was on disk; None where there was none.
    """

    file: Path
    text: str
    when: float
    base: Stamp | None = None

    @property
    def clock(self) -> str:
        """When it was written, for people."""
        return time.strftime("%d %b %H:%M", time.localtime(self.when))


def state_folder() -> Path:
    """`$XDG_STATE_HOME/autocoder`, else `~/.local/state/autocoder`."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "autocoder"


def log_file() -> Path:
    """Where the editor tells what went wrong."""
    return state_folder() / "edit.log"


def copies_folder() -> Path:
    """Where the copies are."""
    return state_folder() / "recovery"


def deleted_folder() -> Path:
    """Where the copies are that the user threw away."""
    return copies_folder() / "deleted"


class Copy:
    """One editor's copy of its unsaved text. May be kept by any thread, one at a time."""

    def __init__(self) -> None:
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._file: Path | None = None
        self._lock_handle: int | None = None
        self._busy = threading.Lock()
        self._closed = False

    def keep(self, path: Path, text: str, base: Stamp | None = None) -> Path | None:
        """Write the unsaved text of `path` in place of what was kept before. Raises OSError."""
        with self._busy:
            if self._closed:
                return None
            file = copies_folder() / f"{_stem(path)}-{self._name}"
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = _write(file, _header(path, base) + b"\n" + text.encode(*_CODEC))
            if self._file not in (None, file):
                self._remove()
            self._release()
            self._file, self._lock_handle = file, handle
            return file

    def forget(self) -> None:
        """Remove it: what it holds is saved."""
        with self._busy:
            self._remove()

    def throw_away(self) -> None:
        """The user gave up what it holds."""
        with self._busy:
            if self._file is not None:
                throw_away(self._file)
            self._file = None
            self._release()

    def close(self) -> None:
        """Leave what is kept to whoever edits the file next."""
        with self._busy:
            self._closed = True
            self._release()

    def _remove(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()
        self._file = None
        self._release()

    def _release(self) -> None:
        if self._lock_handle is not None:
            os.close(self._lock_handle)
        self._lock_handle = None


def _stem(path: Path) -> str:
    return sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _header(path: Path, base: Stamp | None) -> bytes:
    told = {
        "path": os.path.realpath(path),
        "when": time.time(),
        "pid": os.getpid(),
        "base": asdict(base) if base else None,
    }
    return json.dumps(told).encode()


def _write(file: Path, data: bytes) -> int:
    """Put `data` there, whole or not at all; the open handle that holds the lock."""
    beside = file.with_suffix(".new")
    handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with contextlib.suppress(OSError):  # without locks, copies are offered too often
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with os.fdopen(handle, "wb", closefd=False) as stream:
            stream.write(data)
        os.fsync(handle)
        os.replace(beside, file)
    except BaseException:
        os.close(handle)
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    return handle


def throw_away(file: Path) -> bool:
    """Move a copy to where it can be had back from for `DELETED_DAYS`; whether that worked."""
    try:
        deleted_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        copy = _read(file)
        name = Path(str(_told(file).get("path", ""))).name[:50]
        when = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(copy.when if copy else None))
        os.replace(file, deleted_folder() / f"{when}-{secrets.token_hex(2)}-{name}")
    except OSError:
        return False
    _prune()
    return True


def _prune() -> None:
    oldest = time.time() - DELETED_DAYS * 24 * 3600
    with contextlib.suppress(OSError):
        kept = sorted(deleted_folder().iterdir(), reverse=True)
        unfinished = list(copies_folder().glob("*.new"))
        for file in [*kept[:DELETED_COPIES], *unfinished]:
            if file.stat().st_mtime < oldest:
                file.unlink()
        for file in kept[DELETED_COPIES:]:
            file.unlink()


def discard(file: Path) -> None:
    """Remove a copy whose text is saved."""
    with contextlib.suppress(OSError):
        file.unlink()


def find(path: Path) -> Recovery | None:
    """The newest copy that an editor which is no more left for `path`."""
    copies = [_read(file) for file in _copies(path) if not _lives(file)]
    return max((c for c in copies if c), key=lambda copy: copy.when, default=None)


def edited_elsewhere(path: Path) -> str | None:
    """The id of a living process that holds unsaved text of `path`."""
    return next((str(_told(file).get("pid")) for file in _copies(path) if _lives(file)), None)


def _copies(path: Path) -> list[Path]:
    return [file for file in copies_folder().glob(f"{_stem(path)}-*") if file.suffix == ""]


def _lives(file: Path) -> bool:
    """Whether the editor that wrote the copy still holds its lock."""
    try:
        handle = os.open(file, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES)
    finally:
        os.close(handle)
    return False


def _told(file: Path) -> dict[str, object]:
    """The copy's first line; empty where it cannot be read."""
    try:
        with open(file, "rb") as stream:
            told = json.loads(stream.readline())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _read(file: Path) -> Recovery | None:
    try:
        head, _, body = file.read_bytes().partition(b"\n")
        told = json.loads(head)
        base = Stamp(**told["base"]) if told.get("base") else None
        return Recovery(file, body.decode(*_CODEC), float(told["when"]), base)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
