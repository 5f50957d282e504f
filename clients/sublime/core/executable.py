"""Finds the `autocoder` that the bridge is started with. Knows no processes and no settings."""

from __future__ import annotations

import os
import re
import shutil
from typing import Sequence

ARGUMENTS = ["bridge", "--client", "sublime"]
# An editor started from a desktop has a shorter PATH than a shell.
LIKELY = ["~/.local/bin", "/opt/homebrew/bin", "/usr/local/bin"]
REMEDY = (
    'Run `autocoder sublime --install` in the environment that has it, or set "command" in '
    "Preferences > Package Settings > Autocoder > Settings."
)


def bridge_command(command: str | Sequence[str] | None) -> list[str]:
    """The bridge's words. `command` is the setting: a path, words, or nothing to have it found.

    Raises FileNotFoundError with the remedy.
    """
    words = _words(command) if command else [_found()]
    words[0] = os.path.expanduser(words[0])
    if not shutil.which(words[0]):
        raise FileNotFoundError(f"no executable {words[0]!r}. {REMEDY}")
    return words + ARGUMENTS


def _words(command: str | Sequence[str]) -> list[str]:
    """A string is a program's path, spaces and all, or words."""
    if not isinstance(command, str):
        return [str(word) for word in command]
    return [command] if shutil.which(os.path.expanduser(command)) else command.split()


def _found() -> str:
    """The environment's in which this plugin lies, else the one on PATH, else in likely places."""
    beside = _beside(os.path.realpath(__file__))
    if beside and os.access(beside, os.X_OK):
        return beside
    likely = os.pathsep.join(os.path.expanduser(folder) for folder in LIKELY)
    return shutil.which("autocoder") or shutil.which("autocoder", path=likely) or "autocoder"


def _beside(here: str) -> str:
    """…/lib/python3.11/site-packages/autocoder/clients/sublime/… has its …/bin/autocoder."""
    root = re.match(r"(.*)/lib[^/]*/python[^/]*/(?:site|dist)-packages/", here)
    return root[1] + "/bin/autocoder" if root else ""
