"""How surprised a shipped model is by given tokens: nats, through ONNX Runtime. Needs no torch.

Runs the graph by the contract of docs/architecture.md, asking for the logits of every row wanted.
Knows token ids; knows no text.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon import model_folder
from autocoder.daemon.engine_graph import cache_shape, keys_per_token
from autocoder.daemon.engine_session import open_session

CHUNK = 256  # rows of logits held at once


class Likelihood:
    """A model's graph on the CPU, asked for the probability of given tokens."""

    def __init__(self, model: model_folder.ModelFolder) -> None:
        self.context = model.context
        self._session = open_session({"cpu": model.graph("cpu")}, "cpu").session
        self._shape = cache_shape(self._session)
        self._room = CHUNK * keys_per_token(self._session)  # of a cache, for a pass of CHUNK

    def nats(self, ids: list[int], known: int = 1) -> float:
        """Summed −log p of ids[known:], each given all before it; `known` is at least 1."""
        tokens = np.asarray(ids, np.int64)
        caches = self._caches(len(ids))
        total, past = 0.0, 0
        while past < len(ids) - 1:
            end = min(past + CHUNK, len(ids) - 1)
            first = max(0, known - 1 - past)  # the first row whose next token is wanted
            rows = np.arange(min(first, end - past - 1), end - past, dtype=np.int64)
            logits, caches = self._run(tokens[past:end], past, rows, caches)
            if first < end - past:
                total += cross_entropy(logits, tokens[past + first + 1 : end + 1])
            past = end
        return total

    def _caches(self, length: int) -> dict[str, NDArray[Any]]:
        buffer = self._shape.buffer(max(length, self._room))
        empty = np.zeros(buffer, self._shape.dtype)
        names = [f"{i}.{part}" for i in range(self._shape.layers) for part in ("key", "value")]
        return {name: empty.copy() for name in names}

    def _run(
        self,
        ids: NDArray[np.int64],
        past: int,
        rows: NDArray[np.int64],
        caches: dict[str, NDArray[Any]],
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
        feeds = {
            "input_ids": ids[None, :],
            "past_length": np.asarray([past], np.int32),
            "rows": rows,
            **{f"past.{name}": value for name, value in caches.items()},
        }
        outputs = ["logits", *(f"present.{name}" for name in caches)]
        logits, *present = self._session.run(outputs, feeds)
        return logits[0], dict(zip(caches, present, strict=True))


def cross_entropy(logits: NDArray[np.float32], wanted: NDArray[np.int64]) -> float:
    """Summed nats of `wanted` (T,) under logits (T, V)."""
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top, dtype=np.float64).sum(axis=1)) + top[:, 0]
    return float((log_sum - logits[np.arange(len(wanted)), wanted]).sum())
