"""Runs an exported graph as the daemon will: caches bound in place, roll-back by length.

For verification and measurement; the daemon's engine is its own. Knows token ids and logits.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from autocoder.daemon.engine_graph import longest_pass
from autocoder.daemon.engine_prefill import hand_over

CUDA = "CUDAExecutionProvider"


def options(threads: int = 2, *, spinning: bool = False) -> ort.SessionOptions:
    """Session options: how many threads, and whether idle ones spin."""
    made = ort.SessionOptions()
    made.intra_op_num_threads = threads
    made.inter_op_num_threads = 1
    made.log_severity_level = 3
    made.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return made


class DecoderSession:
    """One sequence on one graph. `length` counts the tokens in the cache."""

    def __init__(
        self, graph: Path, capacity: int, *, threads: int = 2, spinning: bool = False
    ) -> None:
        device = "cuda" if CUDA in ort.get_available_providers() and "cuda" in graph.name else "cpu"
        providers = [CUDA] if device == "cuda" else ["CPUExecutionProvider"]
        chosen = options(threads, spinning=spinning)
        made = hand_over(graph.with_suffix(".json"), chosen)
        self.session = ort.InferenceSession(str(graph), chosen, providers=providers)
        del made
        self.length = 0
        self._longest = longest_pass(self.session, capacity)
        self._binding = self.session.io_binding()
        self._caches = [
            self._bind_cache(value, capacity, device)
            for value in self.session.get_inputs()
            if value.name.startswith("past.")
        ]

    def _bind_cache(self, value: Any, capacity: int, device: str) -> Any:
        shape = [1, value.shape[1], capacity, value.shape[3]]
        kind = np.float16 if value.type == "tensor(float16)" else np.float32
        cache = ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, kind), device, 0)
        self._binding.bind_ortvalue_input(value.name, cache)
        self._binding.bind_ortvalue_output(value.name.replace("past.", "present."), cache)
        return cache

    def feed(
        self, ids: Sequence[int], rows: Sequence[int] | None = None, *, at: int | None = None
    ) -> NDArray[np.float32]:
        """Append tokens (after rolling back to length `at`); logits (rows, V), all by default."""
        self.length = self.length if at is None else at
        wanted = range(len(ids)) if rows is None else rows
        found = []
        for start in range(0, len(ids), self._longest):
            part = ids[start : start + self._longest]
            here = [row - start for row in wanted if start <= row < start + len(part)]
            found.append(self._pass(part, here or [0])[: len(here)])
        return np.concatenate(found)

    def _pass(self, ids: Sequence[int], rows: Sequence[int]) -> NDArray[np.float32]:
        self._binding.bind_cpu_input("input_ids", np.array([ids], np.int64))
        self._binding.bind_cpu_input("past_length", np.array([self.length], np.int32))
        self._binding.bind_cpu_input("rows", np.array(rows, np.int64))
        self._binding.bind_output("logits", "cpu")  # anew: the last one keeps its shape
        self.session.run_with_iobinding(self._binding)
        self.length += len(ids)
        logits: NDArray[np.float32] = self._binding.get_outputs()[-1].numpy()[0]
        return logits  # bound after the caches, therefore last

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        """The most probable continuation of a prompt, `count` tokens."""
        row = self.feed(prompt, [len(prompt) - 1], at=0)
        found = [int(row[0].argmax())]
        while len(found) < count:
            found.append(int(self.feed([found[-1]])[0].argmax()))
        return found
