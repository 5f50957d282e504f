"""Gives memory that was freed back to the operating system, where the C library keeps it.

glibc keeps what large temporary arrays leave behind; after a model was loaded that is a quarter of
the process. Standard library only.
"""

import ctypes
import sys


def trim() -> None:
    """Return what is free to the system; does nothing on systems other than Linux with glibc."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):
            library.malloc_trim(0)
