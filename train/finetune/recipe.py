"""A recipe: every number of a fine-tuning run, read from a TOML file and checked.

Knows no files of data and no model. The defaults are the 2020 blog's.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from autocoder.daemon.errors import ConfigError

PRECISIONS = ("auto", "bf16", "fp32")
SPLITS = ("file", "window")


@dataclass(frozen=True)
class Recipe:
    """Settings of a run; lengths in tokens, `batch` in windows per process.

    `steps` is the number of optimiser steps, 0 for `epochs` passes over the windows.
    `dev_windows` bounds the measuring: that many windows spread evenly over the dev set, 0 for
    all. `vocabulary` is the tokenizer's size where a fresh model trains its own. `model` holds
    the config of a fresh model; empty where weights come from `base`.
    """

    base: str = ""
    segment_length: int = 254
    stride: int = 10
    dev_share: float = 0.1
    split: str = "file"
    sequence: int = 256
    batch: int = 4
    accumulate: int = 1
    epochs: int = 16
    steps: int = 0
    learning_rate: float = 5e-5
    warmup: float = 0.2
    weight_decay: float = 0.01
    epsilon: float = 1e-6
    clip: float = 1.0
    evaluate_every: int = 200
    dev_batch: int = 8
    dev_windows: int = 0
    patience: int = 20
    log_every: int = 10
    precision: str = "auto"
    seed: int = 122
    vocabulary: int = 0
    model: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must be from {low} to {high}"
                )
        for name, allowed in (("split", SPLITS), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}"
                )
        self._check_together()

    def _check_together(self) -> None:
        if self.sequence < self.segment_length + 2:
            raise ConfigError(
                f"sequence is {self.sequence}: too short for segment_length {self.segment_length} "
                "with its control code and end; make it at least "
                f"{self.segment_length + 2}"
            )
        if self.model and "model_type" not in self.model:
            raise ConfigError("[model] lacks model_type; give one, such as gpt2")

    def to_record(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"model": dict(self.model)}


RANGES: dict[str, tuple[float, float]] = {
    "segment_length": (1, 1 << 20),
    "stride": (1, 1 << 20),
    "dev_share": (0.001, 0.9),
    "sequence": (3, 1 << 20),
    "batch": (1, 1 << 16),
    "accumulate": (1, 1 << 16),
    "epochs": (1, 10_000),
    "steps": (0, 1 << 40),
    "learning_rate": (1e-9, 1.0),
    "warmup": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "epsilon": (1e-12, 1e-2),
    "clip": (1e-6, 1e6),
    "evaluate_every": (1, 1 << 40),
    "dev_batch": (1, 1 << 16),
    "dev_windows": (0, 1 << 40),
    "patience": (1, 1 << 40),
    "log_every": (1, 1 << 40),
    "seed": (0, 1 << 31),
    "vocabulary": (0, 1 << 20),
}
KINDS: dict[str, type] = {
    f.name: type(f.default) if f.name != "model" else dict for f in fields(Recipe)
}


def load_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """A recipe by its file, or one of the package's by name; `changes` are `key=value` in TOML,
    where a word may go without its quotes.

    Raises ConfigError for an unknown key, a value of the wrong kind or out of range.
    """
    record = _parse(_text(name), name)
    for change in changes:
        record |= _parse_change(change)
    return recipe_from(record, name)


def recipe_from(record: Mapping[str, Any], origin: str) -> Recipe:
    """The recipe that a TOML table means; `origin` is named in errors."""
    for key, value in record.items():
        _check_kind(key, value, origin)
    numbers = {key: float(record[key]) for key in record if KINDS[key] is float}
    try:
        return Recipe(**{**record, **numbers})
    except ConfigError as error:
        raise ConfigError(f"recipe {origin}: {error}") from error


def _check_kind(key: str, value: object, origin: str) -> None:
    if key not in KINDS:
        near = get_close_matches(key, KINDS, 1)
        remedy = f"did you mean {near[0]}?" if near else f"known are {', '.join(KINDS)}"
        raise ConfigError(f"recipe {origin}: no setting {key!r}; {remedy}")
    wanted = KINDS[key]
    fits = type(value) is wanted or (wanted is float and type(value) is int)
    if not fits:
        names = {int: "a whole number", float: "a number", str: "a string", dict: "a table"}
        raise ConfigError(f"recipe {origin}: {key} is {value!r}; it must be {names[wanted]}")


def _parse_change(change: str) -> dict[str, Any]:
    key, _, value = (part.strip() for part in change.partition("="))
    if KINDS.get(key) is str and value and value[0] not in "\"'":
        return {key: value}  # the shell has taken the quotes that TOML wants, or there were none
    return _parse(change, f"--set {change}")


def _parse(text: str, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"recipe {origin} is no TOML: {error}") from error


def _text(name: str) -> str:
    path = Path(name).expanduser()
    shipped = files("autocoder.train") / "recipes" / f"{name}.toml"
    try:
        if path.suffix == ".toml" or path.is_file():
            return path.read_text(encoding="utf-8")
        return shipped.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"no recipe {name!r}: give a .toml file or one of {', '.join(shipped_recipes())}"
        ) from error


def shipped_recipes() -> list[str]:
    """The names of the package's fine-tuning recipes."""
    found = []
    for entry in (files("autocoder.train") / "recipes").iterdir():
        if entry.name.endswith(".toml") and "segment_length" in entry.read_text(encoding="utf-8"):
            found.append(entry.name.removesuffix(".toml"))
    return sorted(found)
