"""What `autocoder daemon start` was told: it holds for every client that names nothing itself.

A file beside the socket, kept until `daemon stop`, so that a daemon that a client starts anew is
the one the user asked for. Knows names and values of `daemon run`'s options, not what they mean.
"""

import json
import os
from collections.abc import Mapping
from typing import TypeAlias

from autocoder.daemon.endpoint import Endpoint

Choice: TypeAlias = Mapping[str, str]  # an option of `daemon run`, without its dashes → its value


def recorded(place: Endpoint) -> Choice:
    """The user's choice; empty where none was made or the file cannot be read."""
    try:
        found = json.loads(place.choice.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    texts = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    return found if texts else {}


def record(place: Endpoint, choice: Choice) -> None:
    """Keep a choice in place of an earlier one; an empty one leaves no file."""
    if not choice:
        return forget(place)
    part = place.choice.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(choice) + "\n", "utf-8")
    part.chmod(0o600)
    part.replace(place.choice)


def forget(place: Endpoint) -> None:
    """From now on a client that names nothing means the bundled model, served as usual."""
    place.choice.unlink(missing_ok=True)


def words(choice: Choice) -> tuple[str, ...]:
    """The choice as words of `daemon run`'s command line."""
    return tuple(word for name, value in choice.items() for word in (f"--{name}", value))
