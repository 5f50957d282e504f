"""Bits per byte and perplexity of source files under a shipped model, by language. Needs no torch.

Plain documents as in pre-training: windows of the model's context, each begun by the language's
control code, every token predicted once from what stands before it in its window, the closing token
included. Runs the graph by the contract of docs/architecture.md, asking for every row's logits.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon import model_folder
from autocoder.daemon.completer import load_tokenizer
from autocoder.daemon.engine_graph import cache_shape
from autocoder.daemon.engine_session import open_session
from autocoder.daemon.errors import ConfigError
from autocoder.daemon.prompt import PromptBuilder
from autocoder.train.evaluate.holes import read

CHUNK = 256  # rows of logits held at once


def measure(folder: Path | None, source: Path, limit_bytes: int) -> dict[str, Any]:
    """`{"by_language": {language: {rows, bytes, bits_per_byte, perplexity}}}` of `source`."""
    model = model_folder.load(folder)
    scorer = Scorer(model)
    found: dict[str, list[tuple[int, float, int]]] = defaultdict(list)
    for language, text in texts(source):
        if language in model.prompt.controls and _bytes(found[language]) < limit_bytes:
            found[language].append((len(text.encode()), *scorer.score(language, text)))
    if not found:
        raise ConfigError(f"{source} has no text in a language of the model {model.name}")
    return {"by_language": {name: _summary(rows) for name, rows in sorted(found.items()) if rows}}


def texts(source: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of a folder's source files, or of JSONL lines with both fields."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            file = read(path, source)
            if file is not None:
                yield file.language, "".join(file.lines)
        return
    if not source.is_file():
        raise ConfigError(f"no folder or file {source}")
    with source.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                yield record["language"], record["text"]
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(
                    f"{source}:{number} needs `language` and `text` ({error})"
                ) from error


def _bytes(rows: list[tuple[int, float, int]]) -> int:
    return sum(size for size, _, _ in rows)


def _summary(rows: list[tuple[int, float, int]]) -> dict[str, Any]:
    size, nats, tokens = (sum(column) for column in zip(*rows, strict=True))
    return {
        "rows": len(rows),
        "bytes": size,
        "bits_per_byte": nats / math.log(2) / max(size, 1),
        "perplexity": math.exp(nats / max(tokens, 1)),
    }


class Scorer:
    """A model's graph, asked for the probability of given text."""

    def __init__(self, model: model_folder.ModelFolder, window: int = 1024) -> None:
        graphs = {"cpu": model.graph("cpu")}
        self.session = open_session(graphs, "cpu").session
        self.builder = PromptBuilder(load_tokenizer(model.tokenizer), model.prompt)
        self.window = min(window, model.context)
        self.shape = cache_shape(self.session)

    def score(self, language: str, text: str) -> tuple[float, int]:
        """Nats of the whole text, and how many tokens it has."""
        ids = [*self.builder.encode(text), self.builder.end_id]
        control, step = self.builder.control_id(language), self.window - 1
        windows = [[control, *ids[at : at + step]] for at in range(0, len(ids), step)]
        return sum(self._nats(np.asarray(each, np.int64)) for each in windows), len(ids)

    def _nats(self, ids: NDArray[np.int64]) -> float:
        caches = self._caches()
        total, past = 0.0, 0
        for start in range(0, len(ids) - 1, CHUNK):
            part = ids[start : min(start + CHUNK, len(ids) - 1)]
            logits, caches = self._run(part, past, caches)
            total += _cross_entropy(logits, ids[start + 1 : start + 1 + len(part)])
            past += len(part)
        return total

    def _caches(self) -> dict[str, NDArray[Any]]:
        empty = np.zeros(self.shape.buffer(self.window), self.shape.dtype)
        names = [f"{i}.{part}" for i in range(self.shape.layers) for part in ("key", "value")]
        return {name: empty.copy() for name in names}

    def _run(
        self, ids: NDArray[np.int64], past: int, caches: dict[str, NDArray[Any]]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
        feeds = {
            "input_ids": ids[None, :],
            "past_length": np.asarray([past], np.int32),
            "rows": np.arange(len(ids), dtype=np.int64),
            **{f"past.{name}": value for name, value in caches.items()},
        }
        outputs = ["logits", *(f"present.{name}" for name in caches)]
        logits, *present = self.session.run(outputs, feeds)
        return logits[0], dict(zip(caches, present, strict=True))


def _cross_entropy(logits: NDArray[np.float32], wanted: NDArray[np.int64]) -> float:
    """Summed nats of `wanted` (T,) under logits (T, V)."""
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top, dtype=np.float64).sum(axis=1)) + top[:, 0]
    return float((log_sum - logits[np.arange(len(wanted)), wanted]).sum())
