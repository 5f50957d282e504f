"""A progress line on a terminal's standard error; nothing where none watches. Knows no model."""

import sys
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TypeVar

Item = TypeVar("Item")
EVERY = 0.2  # seconds between two updates


def progress(items: Iterable[Item], total: int | None = None, what: str = "rows") -> Iterator[Item]:
    """The items, counted on the terminal, with the time that is left where the total is known."""
    if not sys.stderr.isatty():
        yield from items
        return
    began = shown = monotonic()
    for number, item in enumerate(items, 1):
        yield item
        now = monotonic()
        if now - shown >= EVERY:
            shown = now
            _show(f"{what}: {number}{_of(number, total, now - began)}")
    _show("")


def _of(number: int, total: int | None, seconds: float) -> str:
    if not total:
        return ""
    left = seconds / number * (total - number)
    return f" of {total}, {left // 60:.0f} min {left % 60:02.0f} s left"


def _show(text: str) -> None:
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
