"""What of a suggestion is left, given what was typed since. Pure functions of text, no views."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

PARTS = {
    "all": re.compile(r"[\s\S]*"),
    "line": re.compile(r"\n*[^\n]*"),
    "word": re.compile(r"\s*(?:\w+|[^\w\s]+)"),
}


@dataclass(frozen=True)
class Origin:
    """The place that was asked about: the caret's point and its line before it, the buffer's
    size and change count; and the number of lines wanted."""

    point: int
    head: str
    size: int
    change_count: int
    max_lines: int


@dataclass
class Offer:
    """Suggestions for a place, which of them shows, and how many characters were accepted."""

    origin: Origin
    id: str = ""
    texts: list[str] = field(default_factory=list)
    index: int = 0
    alternatives: bool = False
    accepted: int = 0

    def rest(self, typed: str | None) -> str | None:
        """What is left after `typed`; None where that is no beginning of the suggestion."""
        text = self.texts[self.index]
        fits = typed is not None and text.startswith(typed)
        return text[len(typed or "") :] if fits else None

    def turn(self, step: int, typed: str | None) -> None:
        """To the next (1) or the previous (-1) text of which something is left."""
        for _ in self.texts:
            self.index = (self.index + step) % len(self.texts)
            if self.rest(typed):
                return


def part(rest: str, amount: str) -> str:
    """The beginning of `rest` that accepting "all", a "word" or a "line" takes."""
    found = PARTS[amount].match(rest)
    return found[0] if found and found[0] else rest
