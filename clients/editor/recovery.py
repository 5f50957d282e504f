"""Copies of unsaved text that outlive a crash, a closed terminal or a killed process.

One file for each edited file and process, in the user's state folder: a line of JSON, then the
text. Knows no buffer and no screen.
"""

import contextlib
import json
import os
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_CODEC = ("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Recovery:
    """Unsaved text of an earlier process. `when` is in seconds since the epoch."""

    file: Path
    text: str
    when: float

    @property
    def clock(self) -> str:
        """When it was written, for people."""
        return time.strftime("%d %b %H:%M", time.localtime(self.when))


def state_folder() -> Path:
    """`$XDG_STATE_HOME/autocoder`, else `~/.local/state/autocoder`."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "autocoder"


def _folder() -> Path:
    return state_folder() / "recovery"


def _stem(path: Path) -> str:
    return sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _own(path: Path) -> Path:
    return _folder() / f"{_stem(path)}-{os.getpid()}"


def keep(path: Path, text: str) -> Path:
    """Write this process's copy of the unsaved text of `path`. Raises OSError."""
    file = _own(path)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    header = {"path": os.path.realpath(path), "when": time.time(), "pid": os.getpid()}
    beside = file.with_suffix(".new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(json.dumps(header).encode() + b"\n" + text.encode(*_CODEC))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(beside, file)
    return file


def forget(path: Path) -> None:
    """Remove this process's copy, if there is one."""
    discard(_own(path))


def discard(file: Path) -> None:
    """Remove a copy."""
    with contextlib.suppress(OSError):
        file.unlink()


def find(path: Path) -> Recovery | None:
    """The newest copy that a process which is no more left for `path`."""
    copies = [_read(file) for file in _copies(path) if not _lives(file)]
    return max((c for c in copies if c), key=lambda copy: copy.when, default=None)


def edited_elsewhere(path: Path) -> int | None:
    """The id of another living process that holds unsaved text of `path`."""
    return next((_pid(file) for file in _copies(path) if _lives(file)), None)


def _copies(path: Path) -> list[Path]:
    return [f for f in _folder().glob(f"{_stem(path)}-*") if f.suffix == "" and f != _own(path)]


def _pid(file: Path) -> int:
    return int(file.name.rpartition("-")[2])


def _lives(file: Path) -> bool:
    try:
        os.kill(_pid(file), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(file: Path) -> Recovery | None:
    try:
        head, _, body = file.read_bytes().partition(b"\n")
        return Recovery(file, body.decode(*_CODEC), float(json.loads(head)["when"]))
    except (OSError, ValueError, KeyError):
        return None
