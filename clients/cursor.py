"""A cursor in a text: from LINE:COL to the texts on either side of it, cut to what is of use.

Lines and columns count from 1, in characters. Knows no sockets.
"""

import re

from autocoder.daemon.errors import ConfigError

LONGEST_PREFIX = 65_536  # characters; far more than any model's context, far less than 4 MiB
LONGEST_SUFFIX = 16_384


def offset(text: str, position: str) -> int:
    """The index of `LINE:COL` in a text. Raises ConfigError where there is no such place."""
    found = re.fullmatch(r"(\d+):(\d+)", position, re.ASCII)
    if not found:
        raise ConfigError(f"--at {position}: give LINE:COL, counting from 1, such as 3:14")
    line, column = int(found[1]), int(found[2])
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        raise ConfigError(f"--at {position}: the text has lines 1 to {len(lines)}")
    length = len(lines[line - 1].removesuffix("\r"))
    if not 1 <= column <= length + 1:
        raise ConfigError(f"--at {position}: line {line} has columns 1 to {length + 1}")
    return sum(len(row) + 1 for row in lines[: line - 1]) + column - 1


def around(text: str, at: int) -> tuple[str, str]:
    """The prefix and the suffix that a request at index `at` needs to carry."""
    return text[max(0, at - LONGEST_PREFIX) : at], text[at : at + LONGEST_SUFFIX]
