"""Makes rows from source texts: the holes that a cursor makes. Seeded, so a set can be remade.

Kinds: `end_of_line` (the cursor anywhere in a line, every character alike, the rest of the line
missing), `line` (a whole line missing, the cursor behind its indentation), `block` (two to six
lines of code missing), `comment` (the rest of a line of a comment or docstring, with the text on
both sides of it); where asked for, `body_line` (any line of a function's body, a closing brace too,
as public infilling sets take them). All but `comment` are cut out of code only. The suffix begins
with the line break, as an editor's does. Knows no model.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from autocoder.daemon.errors import ConfigError
from autocoder.train.evaluate.bodies import body_lines
from autocoder.train.evaluate.comments import comment_spans, is_inside
from autocoder.train.evaluate.documents import Document
from autocoder.train.evaluate.rows import Row

LINE = re.compile(r"[^\n]*\n|[^\n]+")  # not splitlines, which also breaks at form feeds
SHORTEST_LINE = 4  # visible characters of a line worth a hole
LONGEST_LINE = 200  # longer ones are data
SKIPPED_LINES = 3  # a file's first lines have nothing before them


@dataclass(frozen=True)
class Lines:
    """A document by lines, line breaks kept, and which are code, prose, in a function's body."""

    document: Document
    lines: tuple[str, ...]
    code: tuple[int, ...]
    prose: tuple[int, ...]
    body: tuple[int, ...]

    @staticmethod
    def of(document: Document) -> "Lines":
        lines = tuple(LINE.findall(document.text))
        spans = comment_spans(document.text, document.language)
        bodies = body_lines(document.text, document.language)
        code: list[int] = []
        prose: list[int] = []
        body: list[int] = []
        at = 0
        for number, line in enumerate(lines):
            visible = len(line.strip())
            if 0 < visible <= LONGEST_LINE:
                first = at + len(line) - len(line.lstrip())
                last = at + len(line.rstrip()) - 1
                inside = is_inside(spans, first), is_inside(spans, last)
                long = visible >= SHORTEST_LINE and number >= SKIPPED_LINES
                if all(inside) and long:
                    prose.append(number)
                elif not any(inside):
                    code += [number] * long
                    body += [number] * (number in bodies)
            at += len(line)
        return Lines(document, lines, tuple(code), tuple(prose), tuple(body))

    def places(self, kind: str) -> tuple[int, ...]:
        """Numbers of the lines in which a hole of this kind may begin."""
        return {"comment": self.prose, "body_line": self.body}.get(kind, self.code)

    def text(self, first: int, last: int) -> str:
        return "".join(self.lines[first:last])

    def row(self, first: int, cut: int, last: int, end: int, kind: str) -> Row:
        """The hole from character `cut` of line `first` to character `end` of line `last`."""
        if first == last:
            middle = self.lines[first][cut:end]
        else:
            middle = self.lines[first][cut:] + self.text(first + 1, last) + self.lines[last][:end]
        return Row(
            self.document.language,
            self.text(0, first) + self.lines[first][:cut],
            self.lines[last][end:] + self.text(last + 1, len(self.lines)),
            middle,
            kind,
            self.document.path,
        )


Maker = Callable[[Lines, int, random.Random], Row | None]


def rows(
    documents: Iterable[Document],
    *,
    seed: int = 0,
    per_file: int = 1,
    limit: int | None = None,
    kinds: Iterable[str] | None = None,
) -> Iterator[Row]:
    """Up to `per_file` holes of each kind from each document, the same for the same seed.

    `limit` bounds the rows of one kind in one language.
    """
    made: Counter[tuple[str, str]] = Counter()
    asked = tuple(USUAL if kinds is None else kinds)
    for document in documents:
        full = {
            kind for kind in asked if limit is not None and made[document.language, kind] >= limit
        }
        for row in holes(document, seed, per_file, [kind for kind in asked if kind not in full]):
            if limit is None or made[row.language, row.kind] < limit:
                made[row.language, row.kind] += 1
                yield row


def holes(
    document: Document, seed: int = 0, per_file: int = 1, kinds: Iterable[str] | None = None
) -> Iterator[Row]:
    """Up to `per_file` holes of each kind (default: the usual ones) of one document."""
    wanted = tuple(USUAL if kinds is None else kinds)
    if not wanted:
        return
    lines = Lines.of(document)
    for kind in wanted:
        chance = random.Random(f"{seed}:{kind}:{document.path}")
        places = lines.places(kind)
        for at in chance.sample(places, min(per_file, len(places))):
            row = KINDS[kind](lines, at, chance)
            if row is not None:
                yield row


def _end_of_line(
    lines: Lines, at: int, chance: random.Random, kind: str = "end_of_line"
) -> Row | None:
    """The cursor behind at least one visible character, at least one visible one missing."""
    first, end = _visible(lines.lines[at])
    cut = chance.randrange(first + 1, end)
    return lines.row(at, cut, at, end, kind)


def _comment(lines: Lines, at: int, chance: random.Random) -> Row | None:
    return _end_of_line(lines, at, chance, "comment")


def _line(lines: Lines, at: int, chance: random.Random, kind: str = "line") -> Row | None:
    first, end = _visible(lines.lines[at])
    return lines.row(at, first, at, end, kind)


def _body_line(lines: Lines, at: int, chance: random.Random) -> Row | None:
    return _line(lines, at, chance, "body_line")


def _block(lines: Lines, at: int, chance: random.Random) -> Row | None:
    last = at
    for below in range(at + 1, min(at + 1 + chance.randrange(1, 6), len(lines.lines))):
        if below in lines.prose:
            break
        last = below if lines.lines[below].strip() else last
    if last == at:
        return None
    first, _ = _visible(lines.lines[at])
    return lines.row(at, first, last, _visible(lines.lines[last])[1], "block")


def _visible(line: str) -> tuple[int, int]:
    """Where a line's visible text begins and ends."""
    return len(line) - len(line.lstrip()), len(line.rstrip())


KINDS: dict[str, Maker] = {
    "end_of_line": _end_of_line,
    "line": _line,
    "block": _block,
    "comment": _comment,
    "body_line": _body_line,
}
USUAL = tuple(kind for kind in KINDS if kind != "body_line")


def named(kinds: str | None) -> tuple[str, ...]:
    """The kinds of a comma-separated list (None: the usual ones). Raises ConfigError for others."""
    wanted = tuple(kinds.split(",")) if kinds is not None else USUAL
    if unknown := set(wanted) - set(KINDS):
        raise ConfigError(f"no holes of kind {min(unknown)!r}; known: {', '.join(KINDS)}")
    return wanted
