"""The rows that a model is measured on: a hole in a file, and what stood in it.

One JSON object a line: `{"language", "prefix", "suffix", "middle"}`, optionally `"kind"` (the sort
of hole) and `"path"`; other fields are ignored. Knows no model.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from autocoder.daemon.errors import ConfigError
from autocoder.train.evaluate.comments import comment_spans, is_inside
from autocoder.train.evaluate.json_lines import check_text, lines, record

NEEDED = ("language", "prefix", "suffix", "middle")
FORM = (
    "no row ({reason}); a row is one JSON object with the strings language, prefix, suffix and "
    "middle. Mend or delete the line."
)


@dataclass(frozen=True)
class Row:
    """A hole: `prefix` + `middle` + `suffix` is the file."""

    language: str
    prefix: str
    suffix: str
    middle: str
    kind: str = ""
    path: str = ""

    @property
    def wants_one_line(self) -> bool:
        """Whether all that is visible of the middle is on one line."""
        return "\n" not in self.middle.strip()

    @property
    def cursor(self) -> str:
        """`in_word` where the cursor stands between two letters of a word, else `between_words`."""
        inside = _in_word(self.prefix[-1:]) and _in_word(self.middle[:1])
        return "in_word" if inside else "between_words"


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def kind_of(row: Row) -> str:
    """The row's own kind, or what its text says: comment, block, line, end_of_line, in_line."""
    if row.kind:
        return row.kind
    text = row.prefix + row.middle + row.suffix
    first = len(row.prefix) + len(row.middle) - len(row.middle.lstrip())
    if is_inside(comment_spans(text, row.language), first):
        return "comment"
    if not row.wants_one_line:
        return "block"
    behind = (row.middle + row.suffix).lstrip(" \t").removeprefix(row.middle.strip())
    if behind.partition("\n")[0].removesuffix("\r"):
        return "in_line"
    return "end_of_line" if row.prefix.rpartition("\n")[2].strip() else "line"


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL file. Raises ConfigError naming the line that is no row."""
    if not path.is_file():
        raise ConfigError(f"no file {path}; `autocoder eval holes DIR -o {path}` makes one")
    for where, line in lines(path):
        yield _row(line, where)


def _row(line: bytes, where: str) -> Row:
    found = record(line, where, NEEDED, FORM)
    fields = {name: found[name] for name in NEEDED}
    optional = {name: str(found.get(name) or "") for name in ("kind", "path")}
    for name, value in optional.items():
        check_text(value, name, where)
    return Row(**{**fields, "language": fields["language"].lower()}, **optional)


def write_rows(rows: Iterable[Row], path: Path) -> int:
    """Write rows as JSONL; returns how many."""
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            count += 1
    return count
