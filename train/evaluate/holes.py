"""Makes rows from source files: the holes that a cursor makes. Seeded, so that a set can be remade.

Kinds: `end_of_line` (the cursor somewhere in a line, the rest of the line missing), `line` (a whole
line missing, the cursor after its indentation), `block` (two to six lines missing), `comment` (the
rest of a line of a comment or docstring). Knows no model.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autocoder.daemon.languages import language_of
from autocoder.train.evaluate.rows import Row

MAX_FILE_BYTES = 400_000
COMMENT = re.compile(r"^\s*(#|//|/?\*)\s*\w")
QUOTES = ('"""', "'''")


@dataclass(frozen=True)
class File:
    """A source file's text by lines, line breaks kept."""

    path: str
    language: str
    lines: tuple[str, ...]

    def text(self, first: int, last: int) -> str:
        return "".join(self.lines[first:last])


def rows(folder: Path, *, seed: int = 0, per_file: int = 1) -> Iterator[Row]:
    """Holes of every kind from each file below `folder`, the same for the same seed and files."""
    for path in sorted(folder.rglob("*")):
        file = read(path, folder)
        if file is not None:
            yield from holes(file, seed, per_file)


def read(path: Path, folder: Path) -> File | None:
    """The file, or None where it is none of our languages, binary, or too large."""
    language = language_of(path)
    if language is None or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    name = path.relative_to(folder).as_posix()
    return File(name, language, tuple(text.replace("\r\n", "\n").splitlines(keepends=True)))


def holes(file: File, seed: int, per_file: int) -> Iterator[Row]:
    """Up to `per_file` holes of each kind."""
    chance = random.Random(f"{seed}:{file.path}")
    comments = comment_lines(file)
    code = [
        i
        for i, line in enumerate(file.lines)
        if i not in comments and len(line.strip()) > 3 and i > 2
    ]
    for kind, places, make in _kinds(code, sorted(comments)):
        for at in chance.sample(places, min(per_file, len(places))):
            row = make(file, at, kind, chance)
            if row is not None:
                yield row


Maker = Callable[[File, int, str, random.Random], Row | None]


def _kinds(code: list[int], comments: list[int]) -> list[tuple[str, list[int], Maker]]:
    return [
        ("end_of_line", code, _end_of_line),
        ("line", code, _line),
        ("block", code, _block),
        ("comment", comments, _end_of_line),
    ]


def comment_lines(file: File) -> set[int]:
    """Numbers (from 0) of lines that are comment or docstring text."""
    found, inside = set(), ""
    for number, line in enumerate(file.lines):
        stripped = line.strip()
        opened = next((q for q in QUOTES if stripped.startswith(q)), "")
        if inside or (opened and file.language == "python") or COMMENT.match(line):
            if len(stripped) > 8:
                found.add(number)
            inside = _still_inside(inside, opened, stripped)
    return found


def _still_inside(inside: str, opened: str, stripped: str) -> str:
    if inside:
        return "" if inside in stripped else inside
    return opened if opened and opened not in stripped[3:] else ""


def _end_of_line(file: File, at: int, kind: str, chance: random.Random) -> Row | None:
    line = file.lines[at].rstrip("\n")
    indent = len(line) - len(line.lstrip())
    if len(line) - indent < 4:
        return None
    cut = chance.randrange(indent + 1, len(line) - 1)
    before, after = file.text(0, at) + line[:cut], file.lines[at][len(line) :]
    return Row(
        file.language,
        before,
        after + file.text(at + 1, len(file.lines)),
        line[cut:],
        kind,
        file.path,
    )


def _line(file: File, at: int, kind: str, chance: random.Random) -> Row | None:
    return _lines(file, at, at + 1, kind)


def _block(file: File, at: int, kind: str, chance: random.Random) -> Row | None:
    last = at + chance.randrange(2, 7)
    return _lines(file, at, last, kind) if last < len(file.lines) else None


def _lines(file: File, first: int, last: int, kind: str) -> Row:
    whole = file.text(first, last)
    indent = len(whole) - len(whole.lstrip(" \t"))
    middle = whole[indent:].rstrip("\n")
    rest = whole[indent + len(middle) :] + file.text(last, len(file.lines))
    return Row(file.language, file.text(0, first) + whole[:indent], rest, middle, kind, file.path)
