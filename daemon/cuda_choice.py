"""Tokens chosen on the device where the most probable one will not do: drawn, weighed, or
constrained to agree with what was typed.

One run of `cuda-choose.onnx` serves several rows of the logits that the last pass left on the
device; only the chosen tokens come back. Knows rows and tokens; knows no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.cuda_graph import Chosen, CudaFailed
from autocoder.daemon.sampling import Sampling

GREEDY = Sampling()


@dataclass(frozen=True)
class Wish:
    """How the token of one row is to be chosen.

    `allowed` None: any may be. `seen` are the tokens that `sampling`'s penalty weighs down, and
    `chance` in 0…1 is what a draw is decided by.
    """

    row: int
    sampling: Sampling = GREEDY
    allowed: NDArray[np.int64] | None = None
    seen: Sequence[int] = ()
    chance: float = 0.0


@dataclass(frozen=True)
class Answer:
    """The token chosen, and the most probable ones (R,) under the wish, best first, with the
    probabilities (R,) of each among those allowed."""

    chosen: Chosen
    ranked: NDArray[np.int64]
    probabilities: NDArray[np.float32]


class Chooser:
    """A session of `cuda-choose.onnx`."""

    def __init__(self, session: Any, vocabulary: int) -> None:
        self._session = session
        self._vocabulary = vocabulary

    def choose(self, logits: Any, wishes: Sequence[Wish]) -> list[Answer]:
        """A token for each wish, from logits (B, R, V) on the device. Raises CudaFailed."""
        binding = self._session.io_binding()
        device = logits.device_name()
        rows = [int(np.prod(logits.shape()[:-1])), self._vocabulary]
        try:
            binding.bind_input("logits", device, 0, np.float32, rows, logits.data_ptr())
            inputs = self._inputs(wishes)
            for name, array in inputs.items():
                binding.bind_cpu_input(name, array)
            for name in ("told", "ranked", "shares_of"):
                binding.bind_output(name, "cpu")
            self._session.run_with_iobinding(binding)
            told, ranked, shares = (value.numpy() for value in binding.get_outputs())
        except Exception as error:  # the runtime has an exception class for each status code
            raise CudaFailed(f"choosing on the device failed: {error}") from error
        return [
            Answer(Chosen(int(token), float(chance)), order, each)
            for (token, chance), order, each in zip(told, ranked, shares, strict=True)
        ]

    def _inputs(self, wishes: Sequence[Wish]) -> dict[str, NDArray[Any]]:
        columns = {
            "penalty": [_penalty(wish) for wish in wishes],
            "temperature": [1.0 if _greedy(wish) else wish.sampling.temperature for wish in wishes],
            "top_k": [_top_k(wish) for wish in wishes],
            "top_p": [wish.sampling.top_p for wish in wishes],
            "chance": [wish.chance for wish in wishes],
        }
        return {
            "which": np.array([wish.row for wish in wishes], np.int64),
            "allowed": self._allowed(wishes),
            "seen": _seen(wishes),
            **{name: np.array(column, np.float32)[:, None] for name, column in columns.items()},
        }

    def _allowed(self, wishes: Sequence[Wish]) -> NDArray[np.bool_]:
        allowed = np.zeros((len(wishes), self._vocabulary), np.bool_)
        for row, wish in zip(allowed, wishes, strict=True):
            row[slice(None) if wish.allowed is None else wish.allowed] = True
        return allowed


def _greedy(wish: Wish) -> bool:
    return wish.sampling.temperature <= 0 or wish.sampling.top_k == 1


def _top_k(wish: Wish) -> float:
    return 1.0 if _greedy(wish) else float(wish.sampling.top_k or 2**24)


def _penalty(wish: Wish) -> float:
    return wish.sampling.repetition_penalty if wish.seen else 1.0


def _seen(wishes: Sequence[Wish]) -> NDArray[np.int64]:
    """The tokens seen, each row filled up with its first; token 0 where a row has no penalty."""
    rows = [
        np.unique(np.asarray(wish.seen, np.int64))
        if wish.sampling.repetition_penalty != 1 and wish.seen
        else np.zeros(1, np.int64)
        for wish in wishes
    ]
    longest = max(map(len, rows))
    return np.stack([np.pad(row, (0, longest - len(row)), constant_values=row[0]) for row in rows])
