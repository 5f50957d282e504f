"""The loss curve of one run, or of several in one picture, from their log.csv.

Knows the log's columns; knows no model.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from autocoder.daemon.errors import ConfigError


def curve(log: Path) -> tuple[list[float], list[float]]:
    """Tokens seen (millions) and loss (nats per token). Raises ConfigError if there is no log."""
    if not log.is_file():
        raise ConfigError(f"no log {log}; `autocoder train pretrain` writes one into its --out")
    with log.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [int(row["tokens"]) / 1e6 for row in rows], [float(row["loss"]) for row in rows]


def plot(logs: Sequence[Path], target: Path) -> None:
    """Draw the curves, named after the logs' folders, into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for log in logs:
        axes.plot(*curve(log), label=log.parent.name, linewidth=1)
    axes.set(title="Pre-training", xlabel="million tokens", ylabel="nats per token", yscale="log")
    axes.legend()
    figure.savefig(target, dpi=120)


def main(arguments: Sequence[str]) -> int:
    """`python -m autocoder.train.pretrain.plot LOG.csv … -o loss.png`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="autocoder.train.pretrain.plot", description=__doc__)
    parser.add_argument("logs", nargs="+", type=Path, help="log.csv of a run")
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG to write")
    options = parser.parse_args(arguments)
    plot(options.logs, options.output)
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
