"""What a person presses to write a given text, and how long each key lets on waiting. Pure.

Pauses are log-normal: 170 ms between keys (median; sigma 0.5, mean 193 ms, about 62 words a
minute) and 700 ms (sigma 0.8) before a line's first key, where people think. Dhakal et al.,
"Observations on Typing from 136 Million Keystrokes" (2018), found a mean of 238 ms between the
keys of prose, right-skewed; practised typists are faster. One letter in forty is a slip: the
neighbouring letter, then backspace, then the right one. Enter also writes the indentation that an
editor would; one backspace takes a level of it away, Tab writes what is missing.

Knows text and chance; knows no daemon and no clock.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

KEY_S, KEY_SIGMA = 0.17, 0.5
LINE_S, LINE_SIGMA = 0.7, 0.8
SLIP = 1 / 40
LEVEL = 4  # columns of one level of indentation
ROW = "qwertyuiop asdfghjkl zxcvbnm"


@dataclass(frozen=True)
class Keystroke:
    """One key: the text before the cursor once it is pressed, and the pause before it (seconds)."""

    prefix: str
    pause_s: float


def keystrokes(before: str, typed: str, chance: Random) -> Iterator[Keystroke]:
    """The keys that write `typed` behind `before`, which stands there already."""
    text = before
    for edit in _edits(typed, _line(before), chance):
        text = edit.applied_to(text)
        median, sigma = (LINE_S, LINE_SIGMA) if edit.begins_line else (KEY_S, KEY_SIGMA)
        yield Keystroke(text, chance.lognormvariate(math.log(median), sigma))


@dataclass(frozen=True)
class _Edit:
    removed: int
    added: str
    begins_line: bool = False

    def applied_to(self, text: str) -> str:
        return text[: len(text) - self.removed] + self.added


def _edits(typed: str, line: str, chance: Random) -> Iterator[_Edit]:
    """`line` is what stands before the cursor on its line."""
    at, begins = 0, False
    while at < len(typed):
        if typed[at] == "\n":
            at += 1
            written = _indentation(line) if _text_follows(typed, at) else ""
            yield _Edit(0, "\n" + written)
            wanted = _leading(typed, at)
            yield from _reindented(written, wanted)
            at, line, begins = at + len(wanted), wanted, True
            continue
        key = typed[at]
        if chance.random() < SLIP and (wrong := _neighbour(key)):
            yield _Edit(0, wrong, begins)
            yield _Edit(1, "")
            begins = False
        yield _Edit(0, key, begins)
        at, line, begins = at + 1, line + key, False


def _reindented(written: str, wanted: str) -> Iterator[_Edit]:
    """From the indentation that the editor wrote to the one that the text has."""
    while not wanted.startswith(written):
        step = min(LEVEL, len(written))
        yield _Edit(step, "")
        written = written[:-step]
    if missing := wanted[len(written) :]:
        yield _Edit(0, missing)


def _line(text: str) -> str:
    return text[text.rfind("\n") + 1 :]


def _leading(text: str, at: int) -> str:
    """The spaces and tabs at `at`."""
    rest = text[at:].partition("\n")[0]
    return rest[: len(rest) - len(rest.lstrip(" \t"))]


def _text_follows(text: str, at: int) -> bool:
    return bool(text[at:].partition("\n")[0].strip())


def _indentation(line: str) -> str:
    """What an editor writes behind a line break: the line's own, a level deeper after a block."""
    deeper = line.rstrip().endswith((":", "{", "(", "["))
    return line[: len(line) - len(line.lstrip(" \t"))] + " " * LEVEL * deeper


def _neighbour(key: str) -> str:
    """The letter beside it on the keyboard; "" for what is no letter."""
    at = ROW.find(key.lower()) if key.isalpha() else -1
    if at < 0:
        return ""
    found = ROW[at - 1] if ROW[at + 1 : at + 2].strip() == "" else ROW[at + 1]
    return found.upper() if key.isupper() else found
