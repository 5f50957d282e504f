"""Which parts of a source file are typed: a few passages, spread evenly, or all of it.

The text before a passage stands there already, and so does what comes after it, as in a file that
is being edited. Knows text; knows no daemon.
"""

from dataclasses import dataclass
from pathlib import Path

from autocoder.daemon.errors import ConfigError

SHORTEST = 200  # characters; below that there is nothing to type


@dataclass(frozen=True)
class Passage:
    """`typed` is written key by key between `before` and `after`."""

    before: str
    typed: str
    after: str


def default_file() -> Path:
    """A source file that every installation has: the protocol's own."""
    from autocoder.daemon import protocol

    return Path(protocol.__file__)


def read_source(path: Path) -> str:
    """The text of a file worth typing. Raises ConfigError where it is none."""
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from error
    if "\0" in text:
        raise ConfigError(f"{path} is no source file: it has NUL characters")
    if len(text) < SHORTEST:
        raise ConfigError(f"{path} has {len(text)} characters; give a file of {SHORTEST} or more")
    return text


def passages(text: str, count: int, characters: int | None) -> list[Passage]:
    """`count` passages of together `characters` (None: all of the text, in one go).

    Each begins at a line's start, evenly spread, so that they lie in comments, code and tests as
    the file has them.
    """
    if characters is None or characters >= len(text):
        return [Passage("", text, "")]
    length = max(1, characters // count)
    found = []
    for number in range(count):
        start = text.rfind("\n", 0, len(text) * number // count + 1) + 1
        end = min(len(text), start + length)
        found.append(Passage(text[:start], text[start:end], text[end:]))
    return found
