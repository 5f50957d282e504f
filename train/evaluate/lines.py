"""Runs rows through a completer, one at a time, as an editor would ask. Knows no torch.

A row whose hole is within one line is asked with `max_lines` 1, as SantaCoder's single-line
infilling is scored; a longer one without a limit of lines: the model must close the hole itself.
"""

from collections import defaultdict
from collections.abc import Iterable
from time import perf_counter

from autocoder.daemon.protocol import Complete, Completer
from autocoder.train.evaluate.rows import Row
from autocoder.train.evaluate.scores import Score, score, summary

MAX_TOKENS = 128


def ask(completer: Completer, row: Row) -> Score:
    """One row's score."""
    one_line = "\n" not in row.middle.strip()
    request = Complete(
        prefix=row.prefix,
        suffix=row.suffix,
        language=row.language,
        max_tokens=MAX_TOKENS,
        max_lines=1 if one_line else 0,
    )
    began = perf_counter()
    answer = completer.complete(request, lambda: False)
    text = answer.suggestions[0].text if answer.suggestions else ""
    return score(text, row.middle, (perf_counter() - began) * 1000)


def measure(completer: Completer, rows: Iterable[Row]) -> dict[str, object]:
    """`{"by_language": {...}, "by_kind": {language: {kind: {...}}}}` of all rows."""
    found: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for row in rows:
        found[row.language, row.kind].append(ask(completer, row))
    languages = sorted({language for language, _ in found})
    return {
        "by_language": {
            language: summary(
                [s for (name, _), scores in found.items() if name == language for s in scores]
            )
            for language in languages
        },
        "by_kind": {
            language: {
                kind: summary(scores)
                for (name, kind), scores in sorted(found.items())
                if name == language
            }
            for language in languages
        },
    }
