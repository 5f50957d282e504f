"""What a run to go on with must share with the one begun: its recipe, tokenizer and first weights.

The number of GPUs, `micro_batch` and how often to measure and save may change. A state of an older
version tells nothing and is not held to anything. Knows settings; loads no weights.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autocoder.daemon.errors import ConfigError
from autocoder.train.pretrain.recipe import Recipe

MAY_CHANGE = ("micro_batch", "evaluate_every", "checkpoint_every")
REMEDY = "give the same recipe and options, or another --out for a new run"


def settings(recipe: Recipe) -> dict[str, Any]:
    """The recipe's numbers by name. With `minutes` the steps follow from the speed."""
    derived = ("steps",) if recipe.training.minutes else ()
    return {
        f"[{table}] {name}" if table != "training" else name: value
        for table, values in asdict(recipe).items()
        for name, value in values.items()
        if name not in (*MAY_CHANGE, *derived)
    }


def files(tokenizer: Path, init: Path | None) -> dict[str, str]:
    """The tokenizer and the weights to begin from, by what they hold: they may move."""
    weights = _digest(init / "model.safetensors") if init else "nothing"
    return {"--tokenizer": _digest(tokenizer), "--init": weights}


def check(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """Raise ConfigError where a setting of the run to resume was another."""
    for name, value in now.items():
        if then is not None and then.get(name, value) != value:
            raise ConfigError(
                f"the run to resume had {name} = {then[name]}, "
                f"{'now it is' if name.startswith('--') else 'the recipe says'} {value}; {REMEDY}"
            )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
