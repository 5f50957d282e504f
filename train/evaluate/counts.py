"""Whole numbers on the command line that must not be too small. Knows argparse's way to refuse."""

from argparse import ArgumentTypeError
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """A `type=` for an option: a whole number, `least` or more."""

    def count(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < least:
            raise ArgumentTypeError(f"{text!r} will not do; give a whole number from {least} on")
        return number

    return count
