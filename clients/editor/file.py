"""Files on disk: opened with a clear word on what cannot be edited, saved without a half-way state.

Knows bytes, modes and links; what the bytes mean is `text_format`'s affair.
"""

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from autocoder.clients.editor.text_format import TextFormat, decode
from autocoder.daemon.errors import ConfigError

MAX_BYTES = 64 * 1024 * 1024
_SNIFFED = 8192


@dataclass(frozen=True)
class Stamp:
    """What a file looked like when it was last read or written."""

    size: int
    modified_ns: int
    digest: str


@dataclass(frozen=True)
class OpenedFile:
    """A file's text and how to write it back. `stamp` is None where no file exists yet."""

    path: Path
    text: str
    form: TextFormat
    stamp: Stamp | None
    read_only: bool = False
    binary: bool = False


def open_file(path: Path) -> OpenedFile:
    """Read a file; a missing one is a new one. Raises ConfigError."""
    data = read_bytes(path)
    if data is None:
        if not path.parent.is_dir():
            raise ConfigError(f"{path}: there is no folder {path.parent}; make it first")
        return OpenedFile(path, "", TextFormat(), None, read_only=not _may_create(path))
    text, form = decode(data)
    binary = "\0" in text[:_SNIFFED]
    return OpenedFile(path, text, form, stamp_of(path, data), is_read_only(path), binary)


def read_bytes(path: Path) -> bytes | None:
    """A regular file's bytes, None if there is none. Raises ConfigError for anything else."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"{path} is no regular file; name a file")
            if status.st_size > MAX_BYTES:
                raise ConfigError(f"{path} has {status.st_size} bytes; at most {MAX_BYTES} fit")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO would wait for its writer


def is_read_only(path: Path) -> bool:
    """Whether saving over the file is forbidden, or not meant: root may, a mode of 0444 says no."""
    return not os.access(path, os.W_OK) or not os.stat(path).st_mode & 0o222


def _may_create(path: Path) -> bool:
    return os.access(path.parent, os.W_OK)


def stamp_of(path: Path, data: bytes) -> Stamp:
    """The stamp of a file that holds `data`."""
    return Stamp(len(data), os.stat(path).st_mtime_ns, sha256(data).hexdigest())


def changed_on_disk(path: Path, known: Stamp | None) -> bool:
    """Whether somebody else wrote the file since `known`. A file that vanished did not change."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    if known and (status.st_size, status.st_mtime_ns) == (known.size, known.modified_ns):
        return False
    data = read_bytes(path)
    return data is not None and (known is None or sha256(data).hexdigest() != known.digest)


def save_file(path: Path, data: bytes) -> Stamp:
    """Write the whole file or leave it as it was. Raises ConfigError.

    Written beside the file and renamed over it, keeping mode, owner, extended attributes and a
    symbolic link's target. Where renaming would lose something (hard links, another's file, a
    folder that may not be written) the file is overwritten in place.
    """
    target = Path(os.path.realpath(path))
    try:
        old = os.stat(target) if target.exists() else None
        if old is not None and is_read_only(target):
            raise ConfigError(f"{path} is read-only; save under another name, or chmod u+w it")
        if _replaceable(target, old):
            _replace(target, data, old)
        else:
            _overwrite(target, data)
        return stamp_of(target, data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be saved: {error.strerror}") from error


def _replaceable(target: Path, old: os.stat_result | None) -> bool:
    if not os.access(target.parent, os.W_OK):
        return False
    if old is None:
        return True
    ours = os.geteuid() in (0, old.st_uid)
    group_kept = os.geteuid() == 0 or old.st_gid in {os.getegid(), *os.getgroups()}
    return old.st_nlink == 1 and ours and group_kept


def _replace(target: Path, data: bytes, old: os.stat_result | None) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:80]}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            _dress(file.fileno(), target, old)
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(target.parent)


def _dress(handle: int, target: Path, old: os.stat_result | None) -> None:
    """Give the new file the old one's owner, attributes and mode; a new one what umask leaves."""
    if old is None:
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(handle, 0o666 & ~mask)
        return
    now = os.fstat(handle)
    if (now.st_uid, now.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(handle, old.st_uid, old.st_gid)
    for name in os.listxattr(target) if hasattr(os, "listxattr") else ():
        with contextlib.suppress(OSError):
            os.setxattr(handle, name, os.getxattr(target, name))
    os.fchmod(handle, stat.S_IMODE(old.st_mode))  # last: chown clears set-id bits


def _overwrite(target: Path, data: bytes) -> None:
    with open(target, "r+b" if target.exists() else "wb") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
