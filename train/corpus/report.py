"""Writes what went in: report/report.md, its plots, and the same numbers as report/summary.json.

Knows how to show a summary; summary.py adds it up.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autocoder.train.corpus.index import Index
from autocoder.train.corpus.selection import Selection
from autocoder.train.corpus.shards import shards_of
from autocoder.train.corpus.split import SPLITS
from autocoder.train.corpus.summary import languages_of, summarise, total

COLOURS = {"python": "#3572a5", "java": "#b07219"}
TITLES = {
    "split": "MB of text by split",
    "licence": "MB of text by licence",
    "removed": "MB of text that each step removed",
}
SHOWN_REPOSITORIES = 50


def write_report(
    index: Index, selection: Selection, out: Path, missing: Mapping[str, str]
) -> dict[str, Any]:
    """Write the report into `out`/report; returns the summary."""
    folder = out / "report"
    folder.mkdir(parents=True, exist_ok=True)
    summary = {**summarise(index, selection, missing), "shards": shards(out)}
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    (folder / "report.md").write_text(markdown(summary), encoding="utf-8")
    draw(summary, folder)
    return summary


def shards(out: Path) -> dict[str, int]:
    """Compressed bytes of every shard, by its path."""
    found = sorted(path for split in SPLITS for path in shards_of(out / split))
    return {path.relative_to(out).as_posix(): path.stat().st_size for path in found}


def markdown(summary: Mapping[str, Any]) -> str:
    parts = [
        "# What is in the corpus",
        f"{summary['repositories']} repositories, {len(summary['missing'])} left out. "
        f"{summary['scrubbed']} secrets and e-mail addresses replaced. Sizes are MB of text.",
        "## By split",
        by_language(summary, "split"),
        "![by split](split.png)",
        "Of these, tests:",
        by_language(summary, "tests"),
        "## By licence",
        by_language(summary, "licence"),
        "![by licence](licence.png)",
        "## What each step removed",
        by_language(summary, "removed"),
        "![removed](removed.png)",
        "## By repository",
        "![by repository](repository.png)",
        repositories(summary),
    ]
    if summary["missing"]:
        rows = [[name, reason] for name, reason in sorted(summary["missing"].items())]
        parts += ["## Left out", table(["repository", "reason"], rows)]
    return "\n\n".join(parts) + "\n"


def by_language(summary: Mapping[str, Any], key: str) -> str:
    languages = languages_of(summary)
    header = [key, *(f"{name} {unit}" for name in languages for unit in ("files", "MB"))]
    rows = []
    for name, cells in summary[key].items():
        amounts = [cells.get(language, {"files": 0, "bytes": 0}) for language in languages]
        cell_texts = [
            text for cell in amounts for text in (f"{cell['files']:,}", megabytes(cell["bytes"]))
        ]
        rows.append([name, *cell_texts])
    return table(header, rows)


def repositories(summary: Mapping[str, Any]) -> str:
    rows = [
        [
            row["name"],
            f"`{row['commit'][:12]}`",
            row["licence"],
            row["split"],
            f"{row['files']:,}",
            *(megabytes(row["bytes"].get(language, 0)) for language in languages_of(summary)),
        ]
        for row in sorted(summary["repository"], key=lambda row: -sum(row["bytes"].values()))
    ]
    columns = ["repository", "commit", "licence", "split", "files"]
    return table([*columns, *(f"{name} MB" for name in languages_of(summary))], rows)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"


def draw(summary: Mapping[str, Any], folder: Path) -> None:
    """The four plots, as PNG."""
    for key in TITLES:
        cells = {
            name: {language: cell["bytes"] for language, cell in by.items()}
            for name, by in summary[key].items()
            if name not in ("read", "kept") and total(by, "bytes") > 0
        }
        bars(cells, languages_of(summary), TITLES[key], folder / f"{key}.png")
    largest = sorted(summary["repository"], key=lambda row: -sum(row["bytes"].values()))
    cells = {row["name"]: row["bytes"] for row in largest[:SHOWN_REPOSITORIES]}
    title = f"MB of text, the {len(cells)} largest repositories"
    bars(cells, languages_of(summary), title, folder / "repository.png")


def bars(
    cells: Mapping[str, Mapping[str, int]], languages: Sequence[str], title: str, path: Path
) -> None:
    """Horizontal bars, largest on top, a colour for each language."""
    from matplotlib.figure import Figure

    names = sorted(cells, key=lambda name: sum(cells[name].values()))
    figure = Figure(figsize=(8, 1.2 + 0.22 * len(names)), layout="constrained")
    axes = figure.subplots()
    left = [0.0] * len(names)
    for language in languages:
        widths = [cells[name].get(language, 0) / 1e6 for name in names]
        axes.barh(names, widths, left=left, color=COLOURS.get(language), label=language)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_title(title)
    axes.margins(y=0.01)
    if languages:
        axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)
