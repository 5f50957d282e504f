"""A pre-training recipe: a TOML file with the tables `model`, `data` and `training`.

Every key has a default; an unknown key, a value of the wrong type or out of its range (`limits.py`)
is an error that names it.
"""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from autocoder.daemon.errors import ConfigError
from autocoder.export.quantise import BLOCKS
from autocoder.train.pretrain.limits import check
from autocoder.train.pretrain.model import ModelConfig
from autocoder.train.pretrain.samples import Mixture


@dataclass(frozen=True)
class Data:
    """Windows of `length` tokens; `epochs` passes over the shards, each with new holes."""

    length: int = 2048
    epochs: int = 4
    seed: int = 0


@dataclass(frozen=True)
class Training:
    """Warm-up, stable, then a linear decay to `final_lr` over the last `decay` share of the steps.

    `batch` counts windows over all GPUs. In the decay, `quantise` trains through the 4-bit grid;
    `quantise_always` from the first step; `quantisation_block` weights share a scale. With
    `minutes` above 0 the number of steps follows from the measured speed, until the decay begins,
    so that the run ends in time. `within_documents` keeps attention within each document of a
    window, as serving has it.
    """

    steps: int = 1000
    minutes: float = 0.0
    batch: int = 128
    micro_batch: int = 32
    warm_up: int = 200
    decay: float = 0.28
    final_lr: float = 0.0
    muon_lr: float = 2.5e-3
    adam_lr: float = 2.5e-3
    weight_decay: float = 0.1
    clip: float = 1.0
    quantise: bool = True
    quantise_always: bool = False
    quantisation_block: int = 32
    within_documents: bool = False
    evaluate_every: int = 1000
    checkpoint_every: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    model: ModelConfig = field(default_factory=ModelConfig)
    mixture: Mixture = field(default_factory=Mixture)
    data: Data = field(default_factory=Data)
    training: Training = field(default_factory=Training)


def load(path: Path) -> Recipe:
    """Read a recipe. Raises ConfigError naming what is wrong in it."""
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"no recipe {path}; see train/recipes/") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error
    tables = {f.name: f.default_factory for f in fields(Recipe)}  # type: ignore[misc]
    unknown = set(record) - set(tables)
    if unknown:
        raise ConfigError(f"{path}: unknown table {min(unknown)!r}; known: {', '.join(tables)}")
    made = Recipe(**{n: _table(record.get(n, {}), tables[n], f"{path} [{n}]") for n in tables})
    check(made, str(path))
    _check_block(made, path)
    return made


def _check_block(recipe: Recipe, path: Path) -> None:
    """The grid is first needed in the decay: say what is wrong with it before the training."""
    block, shape = recipe.training.quantisation_block, recipe.model
    widths = (shape.hidden_size, shape.intermediate_size)
    if block not in BLOCKS or any(width % block for width in widths):
        raise ConfigError(
            f"{path}: quantisation_block = {block} must be one of {BLOCKS} and divide the model's "
            f"widths, {widths[0]} and {widths[1]}"
        )


def _table(record: dict[str, Any], kind: Any, where: str) -> Any:
    known = {f.name: f.type for f in fields(kind)}
    for name, value in record.items():
        if name not in known:
            raise ConfigError(f"{where}: unknown key {name!r}; known: {', '.join(known)}")
        wanted = type(getattr(kind(), name))
        if type(value) not in ((int, float) if wanted is float else (wanted,)):
            raise ConfigError(f"{where}: {name} = {value!r} must be a {wanted.__name__}")
    return kind(**record)
