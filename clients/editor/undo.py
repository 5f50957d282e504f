"""Undo and redo as a list of changes, each holding only what it replaced.

Knows two texts and a cursor; knows no buffer. Memory is bounded by characters held, not steps.
"""

from dataclasses import dataclass

MAX_CHARACTERS = 16_000_000


@dataclass(frozen=True)
class Change:
    """At `start`, `removed` gave way to `inserted`; the cursor was at `cursor` before it."""

    start: int
    removed: str
    inserted: str
    cursor: int

    @property
    def size(self) -> int:
        return len(self.removed) + len(self.inserted) + 64


def difference(old: str, new: str, cursor: int) -> Change:
    """The one replacement that leads from `old` to `new`; `cursor` is where it was in `old`."""
    limit = min(len(old), len(new))
    start = _common(old, new, limit)
    tail = _common_end(old, new, limit - start)
    return Change(start, old[start : len(old) - tail], new[start : len(new) - tail], cursor)


def _common(a: str, b: str, limit: int) -> int:
    """Length of the common beginning, by bisection: comparing slices runs at memory speed."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle - 1)
    return low


def _common_end(a: str, b: str, limit: int) -> int:
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        same = a[len(a) - middle : len(a) - low] == b[len(b) - middle : len(b) - low]
        low, high = (middle, high) if same else (low, middle - 1)
    return low


class History:
    """What can be undone and redone. A word typed is one step, a paste or an accept one more."""

    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._max = max_characters
        self._held = 0
        self._done: list[Change] = []
        self._undone: list[Change] = []
        self._closed = True

    def record(self, change: Change) -> None:
        """Remember a change that has just been made."""
        self._undone.clear()
        last = self._done[-1] if self._done and not self._closed else None
        merged = _merged(last, change) if last else None
        if last and merged:
            self._held -= self._done.pop().size
        self._push(merged or change)
        self._closed = False

    def close_step(self) -> None:
        """What comes next is a step of its own."""
        self._closed = True

    def _push(self, change: Change) -> None:
        self._done.append(change)
        self._held += change.size
        while self._held > self._max and len(self._done) > 1:
            self._held -= self._done.pop(0).size

    def undo(self, text: str) -> tuple[str, int] | None:
        """The text and cursor before the last step, or None."""
        if not self._done:
            return None
        change = self._done.pop()
        self._held -= change.size
        self._undone.append(change)
        self._closed = True
        return _replaced(text, change.start, change.inserted, change.removed), change.cursor

    def redo(self, text: str) -> tuple[str, int] | None:
        """The text and cursor after the step that was undone last, or None."""
        if not self._undone:
            return None
        change = self._undone.pop()
        self._push(change)
        self._closed = True
        after = _replaced(text, change.start, change.removed, change.inserted)
        return after, change.start + len(change.inserted)


def _replaced(text: str, start: int, old: str, new: str) -> str:
    return text[:start] + new + text[start + len(old) :]


def _merged(last: Change, new: Change) -> Change | None:
    """Typing on within a word, and deleting on backwards, belong to the step before."""
    if not last.removed and not new.removed and len(new.inserted) == 1:
        adjoins = new.start == last.start + len(last.inserted)
        if adjoins and _same_word(last.inserted[-1], new.inserted):
            return Change(last.start, "", last.inserted + new.inserted, last.cursor)
    deleting = not last.inserted and not new.inserted and "\n" not in new.removed
    if deleting and new.start + len(new.removed) == last.start:
        return Change(new.start, new.removed + last.removed, "", last.cursor)
    return None


def _same_word(before: str, typed: str) -> bool:
    return typed != "\n" and before != "\n" and not (before.isspace() and not typed.isspace())
