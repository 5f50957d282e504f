"""The rows that a model is measured on: a hole in a file, and what stood in it.

One JSON object a line: `{"language", "prefix", "suffix", "middle"}`, optionally `"kind"` (the sort
of hole) and `"path"`. Knows no model.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from autocoder.daemon.errors import ConfigError


@dataclass(frozen=True)
class Row:
    """A hole: `prefix` + `middle` + `suffix` is the file."""

    language: str
    prefix: str
    suffix: str
    middle: str
    kind: str = ""
    path: str = ""


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL file. Raises ConfigError naming the line that is no row."""
    if not path.is_file():
        raise ConfigError(f"no file {path}; `autocoder eval holes DIR` makes one")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _row(line, f"{path}:{number}")


def _row(line: str, where: str) -> Row:
    try:
        record = json.loads(line)
        fields = {name: record[name] for name in ("language", "prefix", "suffix", "middle")}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{where} is no row ({error}); a row is one JSON object with the strings "
            "language, prefix, suffix and middle"
        ) from error
    if not all(isinstance(value, str) for value in fields.values()):
        raise ConfigError(f"{where}: language, prefix, suffix and middle must be strings")
    return Row(**fields, kind=str(record.get("kind", "")), path=str(record.get("path", "")))


def write_rows(rows: Iterable[Row], path: Path) -> int:
    """Write rows as JSONL; returns how many."""
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            count += 1
    return count
