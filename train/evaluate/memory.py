"""How much a model has memorised: verbatim overlaps of greedy continuations with its corpus.

Prompts are beginnings of training documents, cut at a line in their midst (`seen`), and, for
comparison, of documents the model never saw (`unseen`). Each is continued greedily, as served, and
the longest run of characters is found that stands verbatim in the corpus, but not in the prompt,
from which a model may well copy. What people wrote behind the unseen prompts (`human`), cut to the
same length, is searched as well: code repeats itself, so what counts is how far `seen` is above
`unseen`, and `unseen` above `human`. `recited` is the share of `seen` whose continuation begins
with the training text's own next characters, as many as RECITED (after Carlini et al., "Quantifying
Memorization Across Neural Language Models", 2023).
Knows texts and answers; the corpus streams past once, and is never held.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from autocoder.daemon.protocol import Complete, Completer
from autocoder.train.evaluate.documents import Document
from autocoder.train.evaluate.overlaps import Overlap, Overlaps
from autocoder.train.evaluate.scores import interval

TOKENS = 128  # of a continuation
RECITED = 100  # characters
LONG = (50, 100, 200)  # characters of an overlap, whose shares are told
SHORTEST_DOCUMENT = 1000  # characters
LISTED = 10  # the longest overlaps, told with their text


@dataclass(frozen=True)
class Prompt:
    """A document's beginning, and what its author wrote next."""

    group: str
    language: str
    path: str
    prefix: str
    truth: str


@dataclass(frozen=True)
class Continued:
    """A prompt's continuation and the milliseconds it took."""

    prompt: Prompt
    text: str
    ms: float


def prompts(
    documents: Iterable[Document], group: str, count: int, languages: Iterable[str], seed: int = 0
) -> Iterator[Prompt]:
    """A prompt from each of the first `count` documents of a language that are long enough."""
    room = dict.fromkeys(languages, count)
    for document in documents:
        text = document.text
        if room.get(document.language, 0) > 0 and len(text) >= SHORTEST_DOCUMENT:
            room[document.language] -= 1
            middle = Random(f"{seed}:{document.path}").randrange(len(text) // 4, len(text) * 3 // 4)
            cut = text.rfind("\n", 0, middle) + 1
            yield Prompt(group, document.language, document.path, text[:cut], text[cut:])
        elif not any(room.values()):
            return


def continued(completer: Completer, prompt: Prompt) -> Continued:
    """A prompt with its greedy continuation: no suffix, no limit of lines."""
    request = Complete(
        prefix=prompt.prefix, language=prompt.language, max_tokens=TOKENS, max_lines=0
    )
    answer = completer.complete(request, lambda: False)
    text = answer.suggestions[0].text if answer.suggestions else ""
    return Continued(prompt, text, answer.ms.total)


def measure(found: Sequence[Continued], corpus: Iterable[Document]) -> dict[str, Any]:
    """`by_language`: the seen prompts; `by_group`: seen, unseen, human; `longest`: the overlaps."""
    human = [
        Continued(Prompt("human", p.language, p.path, p.prefix, ""), p.truth[: len(each.text)], 0)
        for each in found
        if (p := each.prompt).group == "unseen"
    ]
    everything = [*found, *human]
    overlaps = Overlaps(
        [each.text for each in everything], [each.prompt.prefix for each in everything]
    )
    for document in corpus:
        overlaps.feed(document.text, document.path)
    groups: dict[str, dict[str, list[tuple[Continued, Overlap]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for each, overlap in zip(everything, overlaps.longest, strict=True):
        groups[each.prompt.language][each.prompt.group].append((each, overlap))
    records = {
        language: {group: record(pairs) for group, pairs in sorted(parts.items())}
        for language, parts in sorted(groups.items())
    }
    return {
        "by_language": {
            language: parts["seen"] for language, parts in records.items() if "seen" in parts
        },
        "by_group": records,
        "longest": longest(list(zip(found, overlaps.longest, strict=False))),
    }


def record(pairs: Sequence[tuple[Continued, Overlap]]) -> dict[str, Any]:
    """Lengths in characters of ASCII text (bytes, to be exact), shares, and their intervals."""
    lengths = [float(overlap.length) for _, overlap in pairs]
    columns: dict[str, list[float]] = {
        "mean_overlap": lengths,
        **{f"at_least_{size}": [float(length >= size) for length in lengths] for size in LONG},
        "recited": [float(is_recited(each)) for each, _ in pairs],
        "mean_ms": [each.ms for each, _ in pairs],
    }
    return {
        "rows": len(pairs),
        "mean_length": float(np.mean([len(each.text) for each, _ in pairs])),
        **{name: float(np.mean(values)) for name, values in columns.items()},
        "longest_overlap": int(max(lengths)),
        "ci": {name: interval(values) for name, values in columns.items()},
    }


def is_recited(each: Continued) -> bool:
    """Whether a continuation gives its own training document's next characters."""
    wanted = each.prompt.truth[:RECITED].strip()
    return (
        each.prompt.group == "seen"
        and len(each.text) >= RECITED // 2
        and (each.text.strip().startswith(wanted))
    )


def longest(pairs: Sequence[tuple[Continued, Overlap]]) -> list[dict[str, Any]]:
    """The longest overlaps of the model's continuations, with their text and where it stands."""
    ranked = sorted(pairs, key=lambda pair: -pair[1].length)[:LISTED]
    return [
        {
            "length": overlap.length,
            "prompt": each.prompt.path,
            "group": each.prompt.group,
            "found_in": overlap.where,
            "text": _part(each.text, overlap),
        }
        for each, overlap in ranked
        if overlap.length
    ]


def _part(text: str, overlap: Overlap) -> str:
    data = text.encode()[overlap.start : overlap.start + overlap.length]
    return data.decode(errors="replace")
