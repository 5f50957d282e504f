"""The parts of the corpus: which exist, which comes first, which thins its tests.

Repositories are assigned to a split in the manifest. Splits are visited in the order below:
where two documents are alike the earlier stays, so what is measured on is never trained on.
`exam` is to `didactic` what `test` is to `train`: small self-contained functions, never trained on.
"""

import hashlib

SPLITS = ("test", "dev", "exam", "didactic", "train")
THINNED = frozenset({"train"})  # tests are a third of all code, and repetitive
TEST_SHARE = 1 / 3


def keeps(split: str, repository: str, path: str, test: bool, test_share: float) -> bool:
    """Whether a document stays in its split; the same answer on every run and machine."""
    if not test or split not in THINNED:
        return True
    digest = hashlib.blake2b(f"{repository}/{path}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < test_share * 2**64
