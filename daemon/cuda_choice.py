"""Tokens chosen on the device where the most probable one will not do: drawn, or weighed.

One run of `cuda-choose.onnx` serves several rows of the logits that the last pass left on the
device; only the chosen tokens come back. Its runs are captured as CUDA graphs for a few numbers of
rows, up to which they are filled. Knows rows and tokens; knows no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.cuda_buffers import fixed, run_options
from autocoder.daemon.cuda_graph import Chosen
from autocoder.daemon.errors import CudaFailed
from autocoder.daemon.sampling import Sampling

GREEDY = Sampling()
CAPTURED = (1, 2, 4, 8, 16, 32, 64)  # rows
ANY_NUMBER = 2**24  # of tokens that may be drawn


@dataclass(frozen=True)
class Wish:
    """How the token of one row is to be chosen.

    `allowed` None: any may be. `seen` are the tokens that `sampling`'s penalty weighs down, and
    `chance` in 0…1 is what a draw is decided by. `ranks`: the most probable ones are wanted too.
    """

    row: int
    sampling: Sampling = GREEDY
    allowed: NDArray[np.int64] | None = None
    seen: Sequence[int] = ()
    chance: float = 0.0
    ranks: bool = False


@dataclass(frozen=True)
class Answer:
    """The token chosen, and the most probable ones under the wish, best first, with the
    probabilities of each among those allowed; none where they were not wanted."""

    chosen: Chosen
    ranked: Sequence[int] = ()
    probabilities: Sequence[float] = ()


class Chooser:
    """A session of `cuda-choose.onnx` over `logits`, the buffer (M, V) of a `StepGraph`."""

    def __init__(self, session: Any, logits: Any, *, captures: bool = False) -> None:
        self._session = session
        self._logits = logits
        self._device = logits.device_name()
        self._vocabulary = int(logits.shape()[-1])
        self._captures = captures
        (self._ranked,) = (
            node.shape[-1] for node in session.get_outputs() if node.name == "ranked"
        )
        self._bound: dict[tuple[int, int], _Bound] = {}

    def choose(self, wishes: Sequence[Wish]) -> list[Answer]:
        """A token for each wish. Raises CudaFailed."""
        try:
            return self._chosen(wishes)
        except Exception as error:  # the runtime has an exception class for each status code
            if not self._captures:
                raise CudaFailed(f"choosing on the device failed: {error}") from error
        self._captures = False  # perhaps that was it
        self._bound.clear()
        return self.choose(wishes)

    def _chosen(self, wishes: Sequence[Wish]) -> list[Answer]:
        seen = _seen(wishes)
        count = next((size for size in CAPTURED if size >= len(wishes)), len(wishes))
        bound = self._bound_for(count, seen.shape[1])
        bound.write(self._inputs(wishes, seen, count))
        self._session.run_with_iobinding(bound.binding, bound.options)
        return bound.answers(wishes)

    def _bound_for(self, count: int, seen: int) -> "_Bound":
        form = count, seen
        if form in self._bound:
            return self._bound[form]
        kept = count in CAPTURED and seen == 1
        number = 1 + len(self._bound) if kept else None
        made = self._bind(count, seen, run_options(number if self._captures else None))
        if kept:
            self._bound[form] = made
        return made

    def _bind(self, count: int, seen: int, options: Any) -> "_Bound":
        """Buffers for `count` rows."""
        binding = self._session.io_binding()
        inputs = {
            "which": fixed(np.zeros((count,), np.int64), self._device),
            "allowed": fixed(np.zeros((count, self._vocabulary), np.bool_), self._device),
            "seen": fixed(np.zeros((count, seen), np.int64), self._device),
            "how": fixed(np.zeros((count, 5), np.float32), self._device),
        }
        outputs = {
            "told": fixed(np.zeros((count, 2), np.float32), self._device),
            "ranked": fixed(np.zeros((count, self._ranked), np.int64), self._device),
            "shares_of": fixed(np.zeros((count, self._ranked), np.float32), self._device),
        }
        binding.bind_ortvalue_input("logits", self._logits)
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, value)
        return _Bound(binding, options, inputs, outputs)

    def _inputs(
        self, wishes: Sequence[Wish], seen: NDArray[np.int64], count: int
    ) -> dict[str, NDArray[Any]]:
        more = count - len(wishes)
        filled = [*wishes, *[wishes[0]] * more]
        return {
            "which": np.array([wish.row for wish in filled], np.int64),
            "allowed": self._allowed(filled),
            "seen": np.concatenate([seen, np.repeat(seen[:1], more, axis=0)]),
            "how": np.array([_how(wish) for wish in filled], np.float32),
        }

    def _allowed(self, wishes: Sequence[Wish]) -> NDArray[np.bool_]:
        allowed = np.zeros((len(wishes), self._vocabulary), np.bool_)
        for row, wish in zip(allowed, wishes, strict=True):
            row[slice(None) if wish.allowed is None else wish.allowed] = True
        return allowed


@dataclass(frozen=True)
class _Bound:
    """The buffers of one number of rows, at addresses that do not change."""

    binding: Any
    options: Any
    inputs: dict[str, Any]
    outputs: dict[str, Any]

    def write(self, arrays: dict[str, NDArray[Any]]) -> None:
        for name, array in arrays.items():
            self.inputs[name].update_inplace(array)

    def answers(self, wishes: Sequence[Wish]) -> list[Answer]:
        """What the last run chose."""
        told = self.outputs["told"].numpy()
        chosen = [
            Chosen(int(token), float(chance)) for token, chance in told[: len(wishes)].tolist()
        ]
        if not any(wish.ranks for wish in wishes):
            return [Answer(each) for each in chosen]
        ranked, shares = (self.outputs[name].numpy().tolist() for name in ("ranked", "shares_of"))
        return [
            Answer(each, row, chances) if wish.ranks else Answer(each)
            for wish, each, row, chances in zip(wishes, chosen, ranked, shares, strict=False)
        ]


def _how(wish: Wish) -> tuple[float, ...]:
    """Penalty, temperature, top-k, top-p, chance: the most probable token where none is drawn."""
    sampling = wish.sampling
    penalty = sampling.repetition_penalty if wish.seen else 1.0
    if sampling.temperature <= 0 or sampling.top_k == 1:
        return penalty, 1.0, 1.0, 1.0, 0.0
    most = float(sampling.top_k or ANY_NUMBER)
    return penalty, sampling.temperature, most, sampling.top_p, wish.chance


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
