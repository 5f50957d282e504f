"""Files of one JSON object a line, packed by xz or not: reads them and names the line that is none.

Knows no rows and no documents, only that some fields must be text.
"""

import json
import lzma
import reprlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from autocoder.daemon.errors import ConfigError

LONGEST_REASON = 200  # characters


def lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """`file:number` and the line, for every line that is not blank.

    Raises ConfigError for a file that cannot be read to its end.
    """
    opener = lzma.open if path.suffix == ".xz" else open
    number = 0
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}:{number}", line
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ConfigError(
            f"{path} cannot be read behind line {number} ({error}); make or fetch the file again"
        ) from error


def record(line: bytes, where: str, texts: Iterable[str], form: str) -> dict[str, Any]:
    """The object of a line, in which all of `texts` are strings.

    Raises ConfigError with `form`: "no NAME ({reason}); a NAME is …", and how to mend it.
    """
    try:
        found = json.loads(line.decode("utf-8"))
        values = {name: found[name] for name in texts}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
        raise ConfigError(f"{where} is {form.format(reason=reason)}") from error
    for name, value in values.items():
        check_text(value, name, where)
    return dict(found)


def check_text(value: Any, name: str, where: str) -> None:
    """Raises ConfigError where `value` is no string, or one that no UTF-8 can hold."""
    if not isinstance(value, str):
        shown = reprlib.repr(value)
        raise ConfigError(f"{where}: {name} is {shown}, but must be a string. Mend the line.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{where}: {name} holds {value[error.start]!a}, half a character. "
            "Mend or delete the line."
        ) from error
