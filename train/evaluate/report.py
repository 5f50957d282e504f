"""All measurements of a model at once, as Markdown with tables and as JSON.

Knows which measurements there are and how their tables are headed; plots are the affair of
`autocoder.train.evaluate.plots`.
"""

import json
import os
import platform
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from autocoder.train.evaluate.outputs import replace
from autocoder.train.evaluate.tables import rows_table, slices

PERPLEXITY, LINES, RENAME, MEMORY = "perplexity", "lines", "rename", "memory"
TITLES = {
    PERPLEXITY: "Bits per byte and perplexity",
    LINES: "Completion of holes",
    RENAME: "Renamed identifiers and adversaries",
    MEMORY: "Verbatim overlaps with the training corpus",
}
NOTES = {
    PERPLEXITY: "Plain documents; intervals (95 %, bootstrap) over documents.",
    LINES: (
        "Greedy, as ghost text asks. A line is asked with `max_lines` 1; a block must be closed by "
        "the model itself. Intervals (95 %, bootstrap) over rows; times are of prompts that no "
        "cache knows."
    ),
    RENAME: (
        "`consistent`: the continuation of the renamed function is that of the original with the "
        "names replaced; `consistent_mentioning`: of those where a name occurs at all. `fall`: "
        "how many fewer continuations are right with the adversary than without it."
    ),
    MEMORY: (
        "Longest run of characters of a greedy continuation that stands in the corpus; `human` is "
        "what people wrote in the unseen files, cut to the same length."
    ),
}


def write(
    results: Mapping[str, Mapping[str, Any]],
    folder: Path,
    *,
    model: str,
    pictures: Mapping[str, list[str]],
) -> Path:
    """Write report.json and report.md, each at once; `pictures` are file names by measurement."""
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / "report.json", json.dumps(results, indent=1))
    parts = [f"# Evaluation of {model}\n\n{date.today()}, {hardware()}.\n"]
    for name, result in results.items():
        measurement = name.partition(":")[0]
        title = TITLES[measurement] + (f": {name.partition(':')[2]}" if ":" in name else "")
        parts.append(f"## {title}\n\n{NOTES[measurement]}\n\n{tables(result)}\n")
        parts += [f"![{title}]({picture})\n" for picture in pictures.get(name, [])]
    path = folder / "report.md"
    replace(path, "\n".join(parts))
    return path


def tables(result: Mapping[str, Any]) -> str:
    """A table for the languages, one for each kind of slices, and one of what went wrong."""
    found = [rows_table(result["by_language"])]
    found += [rows_table(records) for records in slices(result).values()]
    faults = {
        name: record["faults"]
        for records in slices(result).values()
        for name, record in records.items()
        if "faults" in record
    }
    if faults:
        found.append("What the answers were:\n\n" + rows_table(faults))
    return "\n\n".join(found)


def hardware() -> str:
    """How many cores of which processor."""
    name = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.is_file():
        models = [
            line.partition(":")[2].strip()
            for line in cpu.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.startswith("model name")
        ]
        name = models[0] if models else name
    return f"{os.cpu_count()} cores, {name}"
