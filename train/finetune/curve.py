"""Draws loss curves from run logs. Knows log rows; knows no model.

python -m autocoder.train.finetune.curve RUN/log.csv RUN/curve.png
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display needed

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autocoder.train.finetune.logs import read_log

Rows = Sequence[Mapping[str, float]]
DEV, TRAIN, SECOND = "#1f5fa8", "#b9bec6", "#c4551a"


def draw_run(rows: Rows, target: Path, title: str) -> None:
    """Dev and training loss against steps, the best point marked, as a PNG."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    trained = _points(rows, "train_loss")
    if trained:
        axes.plot(*zip(*trained, strict=True), color=TRAIN, linewidth=1, label="training")
    _dev_curve(axes, rows, DEV, "dev")
    _finish(axes, title)
    figure.savefig(target, dpi=150)


def draw_comparison(runs: Mapping[str, Rows], target: Path, title: str) -> None:
    """The dev losses of several runs in one picture, as a PNG."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for (name, rows), colour in zip(runs.items(), (SECOND, DEV), strict=False):
        _dev_curve(axes, rows, colour, name)
    _finish(axes, title)
    figure.savefig(target, dpi=150)


def _dev_curve(axes: object, rows: Rows, colour: str, name: str) -> None:
    points = _points(rows, "dev_loss")
    step, best = min(points, key=lambda point: point[1])
    perplexity = next(row["dev_perplexity"] for row in rows if row.get("dev_loss") == best)
    label = f"{name}: best {best:.3f} at step {step:.0f} (perplexity {perplexity:.3g})"
    axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3, label=label)
    axes.plot([step], [best], marker="o", markersize=8, markerfacecolor="none", color=colour)


def _points(rows: Rows, column: str) -> list[tuple[float, float]]:
    return [(row["step"], row[column]) for row in rows if column in row]


def _finish(axes: object, title: str) -> None:
    axes.set(xlabel="optimiser step", ylabel="loss (nats per token)", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)


if __name__ == "__main__":
    draw_run(read_log(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[1]).parent.name)
