"""The language table: names and file name endings. One row more is one language more.

Knows no model: which control token stands for a language is the model manifest's affair.
"""

from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True)
class Language:
    """A programming language as its files show it."""

    name: str
    endings: tuple[str, ...]
    line_comment: str


LANGUAGES: tuple[Language, ...] = (
    Language("python", (".py", ".pyi", ".pyw"), "#"),
    Language("java", (".java",), "//"),
)


def language_of(path: str | PurePath) -> str | None:
    """The language's name by a file's ending, or None where the table has no row for it."""
    ending = PurePath(path).suffix.lower()
    return next((row.name for row in LANGUAGES if ending in row.endings), None)
