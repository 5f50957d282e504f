"""Whose code a model was trained on, by licence: the closing part of NOTICE, from the manifest.

    python -m autocoder.train.corpus.notice NOTICE     # rewrites that part of the file

Repositories of the splits kept for measuring are not named. Knows the manifest only.
"""

import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.train.corpus import manifest

BEGINS_BELOW = "among them (by repository):\n"
TRAINED_ON = ("train", "didactic")
WIDTH = 96


def credits(repositories: Iterable[manifest.Repository]) -> str:
    """Licences in alphabetical order, under each its repositories."""
    found: dict[str, list[str]] = defaultdict(list)
    for repository in repositories:
        if repository.split in TRAINED_ON:
            found[repository.licence].append(repository.name)
    return "\n".join(_paragraph(licence, names) for licence, names in sorted(found.items()))


def _paragraph(licence: str, names: list[str]) -> str:
    count = f"{len(names)} repositor{'y' if len(names) == 1 else 'ies'}"
    names = sorted(names, key=str.lower)
    fill = textwrap.TextWrapper(WIDTH, "  ", "  ", break_long_words=False, break_on_hyphens=False)
    return f"{licence} ({count})\n{fill.fill(', '.join(names))}\n"


def renewed(notice: str, repositories: Iterable[manifest.Repository]) -> str:
    """The notice with its list made anew. Raises ConfigError where it has no place for one."""
    head, mark, _ = notice.partition(BEGINS_BELOW)
    if not mark:
        raise ConfigError(f"the notice has no line that ends with {BEGINS_BELOW.strip()!r}")
    return f"{head}{mark}\n{credits(repositories)}"


def main(path: Path) -> None:
    """Rewrite the list in the file."""
    path.write_text(renewed(path.read_text(encoding="utf-8"), manifest.load()), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "NOTICE"))
    except AutocoderError as error:
        sys.exit(f"notice: {error}")
