"""Runs rows through a completer and sums up: by language, by kind of hole, by place of the cursor.

Knows a completer and rows; knows no torch, and not whether rows are asked one after the other, as
an editor would, or in the lanes of `autocoder.train.evaluate.batching`.
"""

from collections import defaultdict
from collections.abc import Iterable
from time import perf_counter
from typing import Any

from autocoder.daemon.protocol import Completer
from autocoder.train.evaluate.asking import as_cursor, request
from autocoder.train.evaluate.rows import Row, kind_of
from autocoder.train.evaluate.scores import Score, score, summary

Answer = tuple[Row, str, float]
"""A row, the text that was suggested ("" for none), and the milliseconds it took."""


def ask(completer: Completer, row: Row) -> Answer:
    """Ask for one row."""
    began = perf_counter()
    answer = completer.complete(request(row), lambda: False)
    ms = (perf_counter() - began) * 1000
    return row, (answer.suggestions[0].text if answer.suggestions else ""), ms


def measure(completer: Completer, rows: Iterable[Row]) -> dict[str, Any]:
    """The summary of all rows; see `summarise`."""
    found = (ask(completer, row) for row in rows)
    return summarise((row, score(text, as_cursor(row).middle, ms)) for row, text, ms in found)


def summarise(scored: Iterable[tuple[Row, Score]]) -> dict[str, Any]:
    """`by_language` {language: record}, `by_kind` and `by_cursor` {language: {slice: record}}."""
    whole: dict[str, list[Score]] = defaultdict(list)
    kinds: dict[str, dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    cursors: dict[str, dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    for row, result in scored:
        whole[row.language].append(result)
        kinds[row.language][kind_of(row)].append(result)
        if row.wants_one_line:
            cursors[row.language][row.cursor].append(result)
    return {
        "by_language": {name: summary(scores) for name, scores in sorted(whole.items())},
        "by_kind": _slices(kinds),
        "by_cursor": _slices(cursors),
    }


def _slices(found: dict[str, dict[str, list[Score]]]) -> dict[str, Any]:
    return {
        language: {name: summary(scores) for name, scores in sorted(slices.items())}
        for language, slices in sorted(found.items())
    }
