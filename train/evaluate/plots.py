"""Pictures of a report's figures. Knows results and matplotlib, and is imported only to plot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from autocoder.train.evaluate.scores import FAULTS
from autocoder.train.evaluate.tables import slices


def draw(results: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, list[str]]:
    """The pictures that the results allow; their file names by measurement."""
    drawn: dict[str, list[str]] = {}
    for name, result in results.items():
        stem = name.replace(":", "-")
        parts = slices(result)
        if "by_kind" in parts:
            shares(parts["by_kind"], "exact_match", "exact match", folder / f"{stem}.png")
            faults(parts["by_kind"], "what the answers were", folder / f"{stem}-faults.png")
            drawn[name] = [f"{stem}.png", f"{stem}-faults.png"]
        if "by_adversary" in parts:
            shares(
                parts["by_adversary"], "fall", "fall of right continuations", folder / f"{stem}.png"
            )
            drawn[name] = [f"{stem}.png"]
        if "by_group" in parts:
            column = "mean_overlap"
            shares(parts["by_group"], column, "mean longest overlap, bytes", folder / f"{stem}.png")
            drawn[name] = [f"{stem}.png"]
    return drawn


def shares(records: Mapping[str, Mapping[str, Any]], column: str, title: str, path: Path) -> None:
    """Bars of one share for every record, with its interval."""
    names = [name for name, record in records.items() if column in record]
    values = [records[name][column] for name in names]
    ends = [
        records[name].get("ci", {}).get(column, [value, value])
        for name, value in zip(names, values, strict=True)
    ]
    below = [value - low for value, (low, _) in zip(values, ends, strict=True)]
    above = [high - value for value, (_, high) in zip(values, ends, strict=True)]
    figure, axes = plt.subplots(figsize=(7, 0.8 + 0.32 * len(names)))
    axes.barh(names, values, xerr=[below, above], color="#4c78a8", ecolor="#333333", capsize=2)
    axes.invert_yaxis()
    axes.set_title(title)
    _save(figure, path)


def faults(records: Mapping[str, Mapping[str, Any]], title: str, path: Path) -> None:
    """Stacked bars of what the answers were."""
    names = [name for name, record in records.items() if "faults" in record]
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.32 * len(names)))
    left = [0.0] * len(names)
    for fault in FAULTS:
        values = [records[name]["faults"].get(fault, 0.0) for name in names]
        label = "right" if fault == "none" else fault.replace("_", " ")
        axes.barh(names, values, left=left, label=label)
        left = [start + value for start, value in zip(left, values, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_title(title)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
