"""How a daemon is to serve: the options of `daemon run` and `daemon start`, variables, defaults.

Each option has a variable, AUTOCODER_ and its name. What neither names has a default, which only
`daemon run` fills in: so `daemon start` can tell what was asked from what was left open.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from autocoder.daemon.choice import Choice
from autocoder.daemon.errors import ConfigError
from autocoder.daemon.identity import told

PROVIDERS = ("auto", "cpu", "cuda")
LARGEST = 2**20


@dataclass(frozen=True)
class Settings:
    """`folder` None: the bundled model; `threads` None: the physical cores; `unload_after` in
    minutes, 0: never."""

    folder: Path | None = None
    provider: str = "auto"
    threads: int | None = None
    cache_mb: float = 64.0
    repository: str = "on"
    unload_after: float = 30.0


def add_options(command: argparse.ArgumentParser) -> None:
    """Add them all; None stands for what is named neither by option nor by variable."""
    add_engine_options(command)
    add = command.add_argument
    add(
        "--cache-mb",
        type=float,
        metavar="MB",
        default=_variable("CACHE_MB"),
        help="memory for what was computed of open files; on CUDA the device's, 512 at least "
        "(default: $AUTOCODER_CACHE_MB, else 64)",
    )
    add(
        "--repository",
        choices=("on", "off"),
        default=_variable("REPOSITORY"),
        help="read the source files around an open one, to be faster where they resemble each "
        "other (default: $AUTOCODER_REPOSITORY, else on)",
    )
    add(
        "--unload-after",
        type=float,
        metavar="MINUTES",
        default=_variable("UNLOAD_AFTER"),
        help="drop the model when unused for so long; 0: never "
        "(default: $AUTOCODER_UNLOAD_AFTER, else 30)",
    )


def add_engine_options(command: argparse.ArgumentParser) -> None:
    """The options that say which model runs, and where."""
    add = command.add_argument
    add("--model", metavar="DIR", help="model folder (default: $AUTOCODER_MODEL, else the bundled)")
    add(
        "--provider",
        choices=PROVIDERS,
        default=_variable("PROVIDER"),
        help="where the model runs (default: $AUTOCODER_PROVIDER, else CUDA if there, else CPU)",
    )
    add(
        "--threads",
        type=int,
        metavar="N",
        default=_variable("THREADS"),
        help="CPU threads (default: $AUTOCODER_THREADS, else the physical cores)",
    )


def _variable(name: str) -> str | None:
    return os.environ.get(f"AUTOCODER_{name}") or None


def named(options: argparse.Namespace) -> Choice:
    """What was asked, by option or variable, as `daemon run`'s options. Raises ConfigError."""
    settings(options)  # refused before anything is done
    folder = told(options.model)
    found = {
        "model": folder and str(folder),
        "provider": options.provider,
        "threads": options.threads,
        "cache-mb": options.cache_mb,
        "repository": options.repository,
        "unload-after": options.unload_after,
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def settings(options: argparse.Namespace) -> Settings:
    """What was asked, and defaults for the rest; also of a command with the engine's options only.

    Raises ConfigError for what is out of range.
    """
    asked = {
        name: value
        for name in ("provider", "threads", "cache_mb", "repository", "unload_after")
        if (value := getattr(options, name, None)) is not None
    }
    found = Settings(folder=told(options.model), **asked)
    if found.threads is not None and found.threads < 1:
        raise ConfigError(f"--threads {found.threads}: at least 1 is needed")
    if not 0 <= found.cache_mb < LARGEST or not 0 <= found.unload_after < LARGEST:
        raise ConfigError("--cache-mb and --unload-after are numbers from 0 up")
    for name, value, allowed in (
        ("PROVIDER", found.provider, PROVIDERS),
        ("REPOSITORY", found.repository, ("on", "off")),
    ):
        if value not in allowed:  # from the variable: argparse has not looked at it
            raise ConfigError(f"AUTOCODER_{name} is {value!r}; choose {', '.join(allowed)}")
    return found
