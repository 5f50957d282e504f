"""The daemon's log: standard error, and where that is daemon.log, rotated at 1 MB.

The file is shared with what the runtime's native code prints, so rotation swaps the descriptors.
No text of the user's is ever logged.
"""

import logging
import os
import sys
from contextlib import suppress

from autocoder.daemon.endpoint import Endpoint

LARGEST = 1_000_000
FORMAT = "%(asctime)s %(levelname)s %(message)s"


def rotate(place: Endpoint, largest: int = LARGEST) -> None:
    """Move a log of `largest` bytes or more aside; one older log is kept."""
    with suppress(FileNotFoundError):
        if place.log.stat().st_size >= largest:
            place.log.replace(place.older_log)


class RotatingStderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error; moves daemon.log aside when that is where it goes."""

    def __init__(self, place: Endpoint, largest: int = LARGEST) -> None:
        super().__init__(sys.stderr)
        self._place = place
        self._largest = largest

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        with suppress(OSError):
            found = os.fstat(2)
            if found.st_size >= self._largest and os.path.samestat(found, self._place.log.stat()):
                self._swap()

    def _swap(self) -> None:
        rotate(self._place, self._largest)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        fresh = os.open(self._place.log, flags, 0o600)
        os.dup2(fresh, 1)
        os.dup2(fresh, 2)
        os.close(fresh)


def configure(place: Endpoint) -> None:
    """Send this process's log to where it belongs."""
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=[RotatingStderr(place)])
