"""What of a suggestion shows, given what was typed since it was asked for. Pure functions of text.

An offer shows only where the buffer is what it was asked for, plus typed characters that the
suggestion begins with; so stale text cannot show, typing through shrinks it, and deleting
what was typed lets it grow again.
"""

import re
from dataclasses import dataclass, replace

_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)")
_WORD_AFTER = re.compile(r"\w")
ONE_LINE, BLOCK = 1, 8


@dataclass(frozen=True)
class Offer:
    """Suggestions for the gap between `prefix` and `suffix`, which are all of the buffer's text."""

    prefix: str
    suffix: str
    texts: tuple[str, ...]
    id: str = ""
    index: int = 0

    def remaining(self, text: str, cursor: int) -> str:
        """The part of the current suggestion that shows at `cursor`, or ""."""
        chosen = self.matching(text, cursor)
        return chosen[cursor - len(self.prefix) :] if chosen else ""

    def matching(self, text: str, cursor: int) -> str:
        """The suggestion that what was typed is a beginning of; the current one first."""
        typed = self._typed(text, cursor)
        if typed is None:
            return ""
        ordered = self.texts[self.index :] + self.texts[: self.index]
        return next((t for t in ordered if t.startswith(typed) and len(t) > len(typed)), "")

    def _typed(self, text: str, cursor: int) -> str | None:
        if cursor < len(self.prefix) or len(text) - cursor != len(self.suffix):
            return None
        if not text.startswith(self.prefix) or not text.endswith(self.suffix):
            return None
        return text[len(self.prefix) : cursor]

    def turned(self, step: int, text: str, cursor: int) -> "Offer":
        """The same offer at the next suggestion (step 1) or the one before (-1) that fits."""
        typed = self._typed(text, cursor)
        fitting = [i for i, t in enumerate(self.texts) if typed is not None and t.startswith(typed)]
        if not fitting:
            return self
        at = fitting.index(self.index) if self.index in fitting else 0
        return replace(self, index=fitting[(at + step) % len(fitting)])


def first_word(ghost: str) -> str:
    """The next word with the space before it; a line break takes its indentation along."""
    found = _WORD.match(ghost)
    return found[0] if found else ghost


def first_line(ghost: str) -> str:
    """Up to the end of the line; a leading line break takes the whole line after it along."""
    end = ghost.find("\n", 1)
    return ghost if end == -1 else ghost[:end]


def wants_suggestion(before: str, after: str) -> bool:
    """Whether to ask without being told to: not inside a word, not in an empty file."""
    return not _WORD_AFTER.match(after) and bool(before.strip())


def lines_wanted(before: str, after: str) -> int:
    """One line within a line; several where a statement or a block begins."""
    line, rest = before.rpartition("\n")[2].rstrip(), after.partition("\n")[0].strip()
    if rest:
        return ONE_LINE
    return BLOCK if not line or line[-1] in ":{" else ONE_LINE
