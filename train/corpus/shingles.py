"""Text → hashes of every run of 20 tokens: the form in which texts are compared without reading.

Both decontamination and near-duplicates look at these. Lines of imports and comments do not count.
The hashes must equal those of the published lists bit for bit: change nothing here.
"""

import hashlib
import re

import numpy as np
import numpy.typing as npt

WINDOW = 20  # tokens
KEY = b"autocoder-2026"
SKIPPED_LINE = re.compile(r"^[^\S\n]*(?:import|from|package|#include|\*|//|#|/\*).*$", re.M)
TOKEN = re.compile(r"\w+|[^\w\s]")

Hashes = npt.NDArray[np.uint64]


def window_hashes(text: str) -> Hashes:
    """One hash for each run of 20 tokens, in order; empty for fewer than 20 tokens. (windows,)"""
    joined = "\0".join(TOKEN.findall(SKIPPED_LINE.sub("", text))).encode()
    gaps = np.flatnonzero(np.frombuffer(joined, np.uint8) == 0)
    starts = [0, *(gaps + 1).tolist()]
    ends = [*gaps.tolist(), len(joined)][WINDOW - 1 :]
    copy = hashlib.blake2b(digest_size=8, key=KEY).copy  # keying once halves the time
    digests = []
    for start, end in zip(starts, ends, strict=False):
        window = copy()
        window.update(joined[start:end])
        digests.append(window.digest())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64, copy=False)
