"""Does the model reason? Contrast pairs with other names, and examples made to mislead.

A *pair* is the same function twice, with other names. The model's continuation of the second is
*consistent* if it equals that of the first with every old name replaced by the new one, whether or
not either is what a programmer would write. Three more shares keep that honest:

- `mentioning`: pairs of which either continuation mentions one of the names at all; `return 1` for
  `return 1` is consistent, but shows nothing. `consistent_mentioning` is the share among these.
- `stale`: pairs whose second continuation holds a name of the first, which its text does not have.
- `right`: samples whose continuation is what belongs there.

An *adversary* is a sample with a misleading comment, misleading names, swapped parameters or a
changed operator above the cursor. What belongs there stays the same, so the fall of `right` against
the same samples without the adversary is its effect. Knows rows and answers; knows no model.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autocoder.train.evaluate.adversaries import ADVERSARIES
from autocoder.train.evaluate.lines import Answer
from autocoder.train.evaluate.rows import Row
from autocoder.train.evaluate.scores import interval
from autocoder.train.evaluate.shapes import Sample, mentions, renamed, samples

VARIANTS = 5  # names for each shape: four pairs
ADVERSARIAL_VARIANTS = 3
PLAIN = "plain"

Ask = Callable[[Iterable[Row]], Iterable[Answer]]


@dataclass(frozen=True)
class Told:
    """A sample, the continuation it got (stripped), and the milliseconds it took."""

    sample: Sample
    text: str
    ms: float

    @property
    def is_right(self) -> bool:
        return self.text in {wanted.strip() for wanted in self.sample.wanted}


def measure(ask: Ask, limit: int | None = None) -> dict[str, Any]:
    """`by_language`: the pairs; `by_adversary` {language: {adversary: record}}: the fall.

    `limit` takes the first shapes of each language only.
    """
    asked = dict(all_samples(limit))
    told = {
        row.path: Told(asked[row.path], text.strip(), ms)
        for row, text, ms in ask([as_row(name, sample) for name, sample in asked.items()])
    }
    languages = sorted({each.sample.language for each in told.values()})
    return {
        "by_language": {name: pairs_record(_pairs(told, name)) for name in languages},
        "by_adversary": {name: dict(_adversaries(told, name)) for name in languages},
    }


def all_samples(limit: int | None = None) -> Iterator[tuple[str, Sample]]:
    """Every text to ask, by the name `number of shape/variant/adversary`."""
    asked: Counter[str] = Counter()
    for number, (shape, made) in enumerate(samples(VARIANTS)):
        asked[shape.language] += 1
        if limit is not None and asked[shape.language] > limit:
            continue
        for variant, sample in enumerate(made):
            yield f"{number}/{variant}/{PLAIN}", sample
            for name, adversary in ADVERSARIES.items():
                harder = adversary(shape, sample) if variant < ADVERSARIAL_VARIANTS else None
                if harder is not None:
                    yield f"{number}/{variant}/{name}", harder


def as_row(name: str, sample: Sample) -> Row:
    return Row(sample.language, sample.prefix, sample.suffix, sample.wanted[0], "rename", name)


def _pairs(told: Mapping[str, Told], language: str) -> list[tuple[Told, Told]]:
    """Neighbouring variants of every shape."""
    found = []
    for name, each in told.items():
        number, variant, adversary = name.split("/")
        other = told.get(f"{number}/{int(variant) + 1}/{PLAIN}")
        if adversary == PLAIN and other is not None and each.sample.language == language:
            found.append((each, other))
    return found


def pairs_record(pairs: list[tuple[Told, Told]]) -> dict[str, Any]:
    """The shares of one language's pairs, with their intervals."""
    consistent = [float(is_consistent(*pair)) for pair in pairs]
    mention = [_mentioned(*pair) for pair in pairs]
    columns = {
        "consistent": consistent,
        "consistent_mentioning": [c for c, m in zip(consistent, mention, strict=True) if m],
        "mentioning": [float(each) for each in mention],
        "stale": [float(is_stale(*pair)) for pair in pairs],
        "right": [float(each.is_right) for pair in pairs for each in pair],
        "mean_ms": [each.ms for pair in pairs for each in pair],
    }
    return _record(len(pairs), columns)


def is_consistent(first: Told, second: Told) -> bool:
    """Whether the second continuation is the first one with the names replaced."""
    return second.text == renamed(first.text, first.sample.names, second.sample.names)


def is_stale(first: Told, second: Told) -> bool:
    """Whether the second continuation has a name that only the first text has."""
    text = second.sample.prefix + second.sample.suffix
    gone = {key: name for key, name in first.sample.names.items() if not mentions(text, {"": name})}
    return mentions(second.text, gone)


def _mentioned(first: Told, second: Told) -> bool:
    return mentions(first.text, first.sample.names) or mentions(second.text, second.sample.names)


def _adversaries(told: Mapping[str, Told], language: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found: dict[str, list[tuple[Told, Told]]] = defaultdict(list)
    for name, each in told.items():
        place, _, adversary = name.rpartition("/")
        if adversary != PLAIN and each.sample.language == language:
            found[adversary].append((told[f"{place}/{PLAIN}"], each))
    for adversary, pairs in sorted(found.items()):
        yield adversary, adversary_record(pairs)


def adversary_record(pairs: list[tuple[Told, Told]]) -> dict[str, Any]:
    """`plain` and `right` are shares of right continuations without and with the adversary; `fall`
    their difference; `kept` the share of right ones among those right without it."""
    plain = [float(one.is_right) for one, _ in pairs]
    right = [float(other.is_right) for _, other in pairs]
    columns = {
        "plain": plain,
        "right": right,
        "fall": [one - other for one, other in zip(plain, right, strict=True)],
        "kept": [other for one, other in zip(plain, right, strict=True) if one],
        "mean_ms": [other.ms for _, other in pairs],
    }
    return _record(len(pairs), columns)


def _record(rows: int, columns: Mapping[str, list[float]]) -> dict[str, Any]:
    means = {name: sum(values) / max(1, len(values)) for name, values in columns.items()}
    ci = {name: interval(values) for name, values in columns.items()}
    return {"rows": rows, **means, "ci": ci}
