"""Adds up what went in and what was left out, as plain dictionaries ready for JSON.

Knows the index and the selection; draws and writes nothing (report.py does).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autocoder.train.corpus.index import Index
from autocoder.train.corpus.selection import FATES, KEPT, Selection
from autocoder.train.corpus.split import SPLITS

Amount = dict[str, int]  # {"files": n, "bytes": n}


def summarise(index: Index, selection: Selection, missing: Mapping[str, str]) -> dict[str, Any]:
    """Everything that the report shows. Bytes are those of the text, UTF-8."""
    kept = selection.fate == KEPT
    licences = np.array([row.licence for row in index.repositories])[index.repository]
    splits = np.array(SPLITS)[selection.split]
    return {
        "repositories": len(index.repositories),
        "missing": dict(missing),
        "scrubbed": sum(counts["scrubbed"] for counts in index.counts),
        "split": nested(index, kept, splits),
        "tests": nested(index, kept & index.columns["test"], splits),
        "licence": nested(index, kept, licences),
        "repository": by_repository(index, kept),
        "removed": removed(index, selection),
    }


def amount(files: int, size: int) -> Amount:
    return {"files": int(files), "bytes": int(size)}


def nested(index: Index, chosen: np.ndarray, keys: np.ndarray) -> dict[str, dict[str, Amount]]:
    """{key: {language: amount}} over the chosen documents."""
    result: dict[str, dict[str, Amount]] = {}
    languages = index.columns["language"]
    for key in np.unique(keys[chosen]):
        for language in np.unique(languages[chosen]):
            rows = chosen & (keys == key) & (languages == language)
            if rows.any():
                cell = amount(rows.sum(), index.columns["bytes"][rows].sum())
                result.setdefault(str(key), {})[str(language)] = cell
    return result


def by_repository(index: Index, kept: np.ndarray) -> list[dict[str, Any]]:
    """One row for each repository, in the order of the index."""
    rows = []
    for number, repository in enumerate(index.repositories):
        own = kept & (index.repository == number)
        sizes = {
            str(language): int(index.columns["bytes"][own & found].sum())
            for language in repository.languages
            for found in [index.columns["language"] == language]
        }
        rows.append(
            {
                "name": repository.name,
                "commit": repository.commit,
                "licence": repository.licence,
                "split": repository.split,
                "files": int(own.sum()),
                "bytes": sizes,
            }
        )
    return rows


def removed(index: Index, selection: Selection) -> dict[str, dict[str, Amount]]:
    """{reason: {language: amount}}: what each filter took away, in the order of the pipeline.

    "read" is everything that was looked at; "stripped" counts the bytes that left the files
    which stayed (licence notices, white space, secrets).
    """
    result = removed_by_cleaning(index)
    languages = index.columns["language"]
    for number, reason in enumerate(FATES):
        for language in np.unique(languages):
            rows = (selection.fate == number) & (languages == language)
            cell = amount(rows.sum(), index.columns["bytes"][rows].sum())
            result.setdefault(reason, {})[str(language)] = cell
    return result


def removed_by_cleaning(index: Index) -> dict[str, dict[str, Amount]]:
    """{reason: {language: amount}} before repositories are compared with each other."""
    return add_counts(counts["counts"] for counts in index.counts)


def add_counts(tallies: Any) -> dict[str, dict[str, Amount]]:
    result: dict[str, dict[str, Amount]] = {}
    for tally in tallies:
        for language, reasons in tally.items():
            for reason, (files, size) in reasons.items():
                cell = result.setdefault(reason, {}).setdefault(language, amount(0, 0))
                cell["files"] += files
                cell["bytes"] += size
    return result


def total(cells: Mapping[str, Amount], key: str) -> int:
    """Files or bytes over all languages."""
    return sum(cell[key] for cell in cells.values())


def languages_of(summary: Mapping[str, Any]) -> Sequence[str]:
    """The languages of a summary, sorted."""
    return sorted({language for cells in summary["split"].values() for language in cells})
