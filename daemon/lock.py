"""The lock that makes a daemon the only one of its user, and tells everybody who holds it.

A POSIX record lock rather than flock(2): the kernel names its holder, so nobody ever signals a pid
read from a file. It is gone when the holder dies, however it dies. Trap: closing *any* descriptor
of the file releases it, so a process that holds the lock opens the file once.
"""

import fcntl
import os
import struct
import sys
from pathlib import Path
from typing import IO

from autocoder.daemon.errors import DaemonError

# struct flock as F_GETLK fills it: Linux has type, whence, start, length, pid; macOS and the BSDs
# start, length, pid, type, whence.
_LINUX = sys.platform.startswith("linux")
_LAYOUT = "hhqqi" if _LINUX else "qqihh"


def acquire(path: Path) -> IO[bytes] | None:
    """Take the lock: keep the file open as long as it is to be held. None if another holds it."""
    file = path.open("ab")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def holder(path: Path) -> int | None:
    """The pid of the process that holds the lock, or None. Raises DaemonError if it is hidden."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        kind, pid = _query(descriptor)
    finally:
        os.close(descriptor)
    if kind == fcntl.F_UNLCK:
        return None
    if pid <= 0:
        raise DaemonError(
            f"{path} is held by a process of another container. "
            "Set AUTOCODER_RUNTIME_DIR to a folder that is not shared"
        )
    return pid


def _query(descriptor: int) -> tuple[int, int]:
    asked = (fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0) if _LINUX else (0, 0, 0, fcntl.F_WRLCK, 0)
    answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_LAYOUT, *asked))
    values = struct.unpack(_LAYOUT, answer)
    return (values[0], values[4]) if _LINUX else (values[3], values[2])
