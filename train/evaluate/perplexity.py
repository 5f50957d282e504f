"""Bits per byte and perplexity of source texts under a model, by language. Needs no torch.

Plain documents as in pre-training: windows of at most the model's context, each begun by the
language's control code, every token predicted once from what stands before it in its window, the
closing token included. Whole documents, drawn until a language has `limit_bytes`; intervals are
bootstraps over documents. Knows a scorer of tokens; knows no runtime.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.prompt import PromptBuilder
from autocoder.train.evaluate.documents import Document
from autocoder.train.evaluate.scores import ratio_interval

Nats = Callable[[list[list[int]]], float]
"""Summed −log p of every token but the first of each window."""


@dataclass(frozen=True)
class Surprise:
    """What one document cost: UTF-8 bytes, nats, predicted tokens, milliseconds."""

    size: int
    nats: float
    tokens: int
    ms: float


def chosen(
    documents: Iterable[Document], languages: Iterable[str], limit_bytes: int
) -> Iterator[Document]:
    """The first documents of each language, until their bytes reach the limit."""
    room = dict.fromkeys(languages, limit_bytes)
    for document in documents:
        if room.get(document.language, 0) > 0 and document.text.strip():
            room[document.language] -= len(document.text.encode())
            yield document
        elif not any(left > 0 for left in room.values()):
            return


def measure(
    documents: Iterable[Document], builder: PromptBuilder, nats: Nats, window: int
) -> dict[str, Any]:
    """`{"by_language": {language: {rows, bytes, bits_per_byte, perplexity, mean_ms, ci}}}`."""
    found: dict[str, list[Surprise]] = defaultdict(list)
    for document in documents:
        found[document.language].append(surprise(document, builder, nats, window))
    if not found:
        raise ConfigError("no text in a language of the model; give Python or Java sources")
    return {"by_language": {name: _summary(rows) for name, rows in sorted(found.items())}}


def surprise(document: Document, builder: PromptBuilder, nats: Nats, window: int) -> Surprise:
    """What a document costs."""
    began = perf_counter()
    ids = [*builder.encode(document.text), builder.end_id]
    control = builder.control_id(document.language)
    windows = [[control, *ids[at : at + window - 1]] for at in range(0, len(ids), window - 1)]
    total = nats(windows)
    ms = (perf_counter() - began) * 1000
    return Surprise(len(document.text.encode()), total, len(ids), ms)


def _summary(rows: list[Surprise]) -> dict[str, Any]:
    nats, sizes = [row.nats for row in rows], [float(row.size) for row in rows]
    tokens = [float(row.tokens) for row in rows]
    bits = [value / math.log(2) for value in nats]
    return {
        "rows": len(rows),
        "bytes": int(sum(sizes)),
        "bits_per_byte": sum(bits) / sum(sizes),
        "perplexity": math.exp(sum(nats) / sum(tokens)),
        "mean_ms": sum(row.ms for row in rows) / len(rows),
        "ci": {
            "bits_per_byte": ratio_interval(bits, sizes),
            "perplexity": [math.exp(end) for end in ratio_interval(nats, tokens)],
        },
    }
