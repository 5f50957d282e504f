"""A run's log: always log.csv, TensorBoard beside it, and Weights & Biases when asked.

A resumed run goes on in the same files, without the rows that it is about to repeat.
"""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autocoder.daemon.errors import ConfigError

LOG = "log.csv"
COLUMNS = (
    "step",
    "epoch",
    "windows",
    "learning_rate",
    "train_loss",
    "dev_loss",
    "dev_perplexity",
    "seconds",
)

Row = Mapping[str, float]


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a log; empty cells are left out."""
    rows = _read_cells(path)
    return [{name: float(cell) for name, cell in row.items() if cell} for row in rows]


def _read_cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


class RunLog:
    """Writes rows of COLUMNS. `step` is where the run begins: later rows in the CSV are dropped."""

    def __init__(self, out: Path, step: int, settings: Mapping[str, Any], wandb: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path = out / LOG
        self._start_csv(step)
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)
        self._wandb = _start_wandb(out, settings) if wandb else None

    def _start_csv(self, step: int) -> None:
        old = _read_cells(self._path) if step and self._path.is_file() else []
        part = self._path.with_name(f".{LOG}.part")
        with part.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(row for row in old if float(row["step"]) <= step)
        os.replace(part, self._path)

    def write(self, row: Row) -> None:
        """Append one row to every log."""
        with self._path.open("a", encoding="utf-8", newline="") as stream:
            csv.DictWriter(stream, COLUMNS).writerow(row)
        step = int(row["step"])
        values = {name: value for name, value in row.items() if name != "step"}
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        self._board.flush()
        if self._wandb is not None:
            self._wandb.log(values, step=step)

    def close(self) -> None:
        self._board.close()
        if self._wandb is not None:
            self._wandb.finish()


def _start_wandb(out: Path, settings: Mapping[str, Any]) -> Any:
    """Begin a run; WANDB_MODE=offline keeps it on this machine."""
    wandb = require_wandb()
    return wandb.init(project="autocoder", name=out.name, dir=str(out), config=dict(settings))


def require_wandb() -> Any:
    """The module. Raises ConfigError where it is not installed, before anything is trained."""
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise ConfigError(
            "--wandb asks for the package wandb, which is not installed. Install it with: "
            "pip install 'autocoder[wandb]'; without an account set WANDB_MODE=offline"
        ) from error
    return wandb
