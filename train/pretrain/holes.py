"""Holes in source files as a cursor makes them: (cursor, end) pairs of character indices.

Knows texts and chance; knows no tokens. The kinds and their shares follow what is asked of ghost
text: mostly the rest of this line, often the next lines, sometimes a block or any span.
"""

import random
import re
from dataclasses import dataclass

CLOSERS = re.compile(r"[)\]}\"':;,]+$")
AFTER_MARK = re.compile(r"[ .(\[,=]")
SHARES = (
    ("line_end", 0.38),
    ("next_lines", 0.13),
    ("whole_lines", 0.26),
    ("block", 0.12),
    ("span", 0.11),
)
KINDS = tuple(kind for kind, _ in SHARES)
WEIGHTS = tuple(weight for _, weight in SHARES)


@dataclass(frozen=True)
class Hole:
    """text[cursor:end] is missing."""

    cursor: int
    end: int


def hole_near(text: str, at: int, chance: random.Random) -> Hole:
    """A hole whose cursor is on, or just after, the line of `at`."""
    kind = chance.choices(KINDS, WEIGHTS)[0]
    start = text.rfind("\n", 0, at) + 1
    stop = line_end(text, start)
    if kind == "span":
        cursor = chance.randrange(start, stop + 1)
        return Hole(cursor, min(len(text), cursor + _span_length(chance)))
    if kind == "block":
        return _block(text, start, stop, chance)
    if kind == "whole_lines":
        return _whole_lines(text, start, stop, chance)
    cursor = cursor_in_line(text, start, stop, chance)
    if kind == "next_lines":
        return Hole(cursor, _lines_on(text, stop, chance.randint(1, 4)))
    return Hole(cursor, _without_closers(text, cursor, stop, chance))


def line_end(text: str, at: int) -> int:
    """Index of the line break that ends the line of `at`, or of the text's end."""
    found = text.find("\n", at)
    return len(text) if found == -1 else found


def indentation_end(text: str, start: int, stop: int) -> int:
    """Index of a line's first character that is no blank."""
    at = start
    while at < stop and text[at] in " \t":
        at += 1
    return at


def cursor_in_line(text: str, start: int, stop: int, chance: random.Random) -> int:
    """A place in the line: after a mark such as `.` or `(` as often as anywhere at all."""
    first = indentation_end(text, start, stop)
    if first >= stop:
        return stop
    if chance.random() < 0.4:
        marks = [m.end() for m in AFTER_MARK.finditer(text, first, stop)]
        if marks:
            return chance.choice(marks)
    return chance.randint(first, stop)


def _span_length(chance: random.Random) -> int:
    return min(400, max(1, int(chance.lognormvariate(3.2, 1.0))))


def _without_closers(text: str, cursor: int, stop: int, chance: random.Random) -> int:
    """The line's end, or before what an editor's auto-closed brackets leave right of the cursor."""
    if chance.random() < 0.3:
        closers = CLOSERS.search(text, cursor, stop)
        if closers:
            return chance.randint(closers.start(), stop)
    return stop


def _lines_on(text: str, stop: int, count: int) -> int:
    for _ in range(count):
        if stop >= len(text):
            break
        stop = line_end(text, stop + 1)
    return stop


def _whole_lines(text: str, start: int, stop: int, chance: random.Random) -> Hole:
    cursor = indentation_end(text, start, stop) if chance.random() < 0.7 else start
    end = _lines_on(text, stop, chance.choice((0, 0, 0, 1, 2)))
    return Hole(cursor, min(len(text), end + (chance.random() < 0.2)))


def _block(text: str, start: int, stop: int, chance: random.Random) -> Hole:
    """The lines below that are indented deeper; from this line's end or the first line's code."""
    depth = indentation_end(text, start, stop) - start
    end, at = stop, stop + 1
    for _ in range(12):
        if at >= len(text):
            break
        below = line_end(text, at)
        code = indentation_end(text, at, below)
        if code < below:
            if code - at <= depth:
                break
            end = below
        at = below + 1
    if end == stop:
        return Hole(cursor_in_line(text, start, stop, chance), stop)
    first = indentation_end(text, stop + 1, end)
    return Hole(stop if chance.random() < 0.5 else first, end)
