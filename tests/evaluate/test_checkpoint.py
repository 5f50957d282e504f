"""Checkpoints in batches: what a batch answers is what each row gets alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autocoder.daemon.completer import ModelCompleter
from autocoder.export.tiny import make_checkpoint
from autocoder.train.evaluate import asking
from autocoder.train.evaluate.batching import Pass, ask_all, batches
from autocoder.train.evaluate.checkpoint import CheckpointModel
from autocoder.train.evaluate.documents import Document
from autocoder.train.evaluate.holes import holes
from autocoder.train.evaluate.lines import ask
from autocoder.train.evaluate.perplexity import surprise
from autocoder.train.evaluate.rows import Row
from tests.evaluate.conftest import PYTHON, Oracle

ROWS = list(holes(Document("a.py", "python", PYTHON), per_file=2))
SHORT = {True: 6, False: 9}  # tokens, since a model that knows nothing never ends


class WholeSequences:
    """A graph without any cache: the whole sequence again for every pass."""

    def __init__(self, model: Any, capacity: int) -> None:
        self.capacity = capacity
        self._model = model

    def new_cache(self) -> list[int]:
        return []

    @torch.inference_mode()
    def run(self, cache: list[int], past: int, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        cache[past:] = ids.tolist()
        logits: NDArray[np.float32] = self._model(torch.tensor([cache])).logits[0, -1].numpy()
        return logits


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    return make_checkpoint(folder, request.param, train_steps=1, layers=2)


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(asking, "MAX_TOKENS", SHORT)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny tensors
    yield
    torch.set_num_threads(threads)


def alone(model: CheckpointModel, rows: Sequence[Row]) -> list[str]:
    completer: ModelCompleter = model.completer(WholeSequences(model.torch_model, model.capacity))
    return [ask(completer, row)[1] for row in rows]


def test_a_batch_answers_as_each_row_alone(checkpoint: Path) -> None:
    model = CheckpointModel(checkpoint, lanes=3)
    together = {row: text for row, text, _ in model.each(ROWS, ask)}
    assert [together[row] for row in ROWS] == alone(model, ROWS)
    assert len(set(together.values())) > 3, "an empty model would prove nothing"


def test_bits_do_not_depend_on_the_batch(checkpoint: Path) -> None:
    model = CheckpointModel(checkpoint, lanes=5)
    for row, score in model.scored(ROWS[:5]):
        assert score.nats == pytest.approx(model._surprise([row])[0], rel=1e-4)
    long = surprise(Document("a", "python", PYTHON), model.builder, model.nats, 64)
    ids = [*model.builder.encode(PYTHON), model.builder.end_id]
    control = model.builder.control_id("python")
    windows = [[control, *ids[at : at + 63]] for at in range(0, len(ids), 63)]
    assert long.nats == pytest.approx(sum(model.nats([each]) for each in windows), rel=1e-4)
    assert long.tokens == len(ids)


class Failing:
    """A batched model that fails."""

    capacity = 100

    def run(self, passes: Sequence[Pass]) -> None:
        raise MemoryError("too much")


def test_a_lane_that_fails_ends_the_run() -> None:
    def completer(graph: Any) -> Oracle:
        return Oracle(lambda request: str(graph.run(graph.new_cache(), 0, np.zeros(1, np.int64))))

    with pytest.raises(MemoryError, match="too much"):
        list(ask_all(Failing(), completer, ROWS, ask, 3))


def test_batches_hold_passes_of_like_lengths_within_the_limit() -> None:
    passes = [Pass(0, 0, np.zeros(size, np.int64)) for size in (1, 300, 1, 2, 290, 40, 1, 310)]
    made = [[len(each.ids) for each in batch] for batch in batches(passes, largest=700)]
    assert made == [[1, 1, 1, 2], [40], [290, 300], [310]]
