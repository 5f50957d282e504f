"""Results as Markdown tables: one row per language, and per slice where there are slices.

Knows the shape of `--json` and nothing of how a figure came about.
"""

from collections.abc import Mapping
from typing import Any

INTERVAL = "ci"
SLICES = "by_"


def table(result: Mapping[str, Any]) -> str:
    """A Markdown table of `by_language`, and one of every other `by_…`; intervals in brackets."""
    parts = [result["by_language"], *slices(result).values()]
    return "\n\n".join(rows_table(records) for records in parts if records)


def slices(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every `by_…` but `by_language`: {its name: {"language: slice": record}}."""
    return {
        name: {
            f"{language}: {part}": record
            for language, parts in found.items()
            for part, record in parts.items()
        }
        for name, found in result.items()
        if name.startswith(SLICES) and name != "by_language"
    }


def rows_table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table of records by their name; a column for every number that any of them has."""
    columns = list(
        dict.fromkeys(
            name for each in records.values() for name, value in each.items() if _is_number(value)
        )
    )
    lines = [f"| | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for name, record in records.items():
        cells = " | ".join(cell(record, column) for column in columns)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def cell(record: Mapping[str, Any], column: str) -> str:
    """One figure, its interval in brackets where it has one."""
    value = record.get(column)
    if not _is_number(value):
        return ""
    shown = _number(value)
    ends = record.get(INTERVAL, {}).get(column)
    return f"{shown} ({_number(ends[0])}–{_number(ends[1])})" if ends else shown


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3f}"
