"""A Hugging Face checkpoint under the serving code: prompt, stops and filters are the daemon's.

Batched on a GPU where torch sees one (bfloat16), otherwise on the CPU (float32). Knows torch and
transformers, and is imported only for `--checkpoint`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch

from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.detokenizer import Detokenizer
from autocoder.daemon.engine import Engine
from autocoder.daemon.live_sequence import Graph
from autocoder.daemon.loading import capacity, fitted
from autocoder.daemon.prompt import Budget, PromptBuilder
from autocoder.daemon.protocol import Completer, ModelInfo
from autocoder.export.checkpoint import load_checkpoint
from autocoder.train.evaluate.asking import as_cursor, prompt_and_middle
from autocoder.train.evaluate.batching import Item, Result, ask_all
from autocoder.train.evaluate.lines import Answer, ask
from autocoder.train.evaluate.rows import Row
from autocoder.train.evaluate.scores import Score, score
from autocoder.train.evaluate.torch_model import TorchModel

LANES = {"cuda": 96, "cpu": 8}
DTYPES = {"cuda": torch.bfloat16, "cpu": torch.float32}
SCORED_TOGETHER = {"cuda": 32, "cpu": 4}
CHUNK = 512  # tokens of a prompt in one pass


class CheckpointModel:
    """What `autocoder eval` asks of a checkpoint. Raises ConfigError for a bad folder."""

    def __init__(self, folder: Path, *, budget: Budget | None = None, lanes: int = 0) -> None:
        checkpoint = load_checkpoint(str(folder))
        self._kind = "cuda" if torch.cuda.is_available() else "cpu"
        self.lanes = lanes or LANES[self._kind]
        self.context = checkpoint.context
        budget = fitted(budget or Budget(), checkpoint.context)
        checkpoint.tokenizer.encode_special_tokens = True
        self.builder = PromptBuilder(checkpoint.tokenizer, checkpoint.prompt, budget)
        self._detokenizer = Detokenizer(checkpoint.tokenizer)
        self.torch_model = checkpoint.model.to(self._kind, DTYPES[self._kind])
        self.capacity = capacity(budget, checkpoint.context)
        self._model = TorchModel(self.torch_model, slots=self.lanes, capacity=self.capacity)
        self._info = ModelInfo(
            name=folder.name,
            sha256="",
            folder=str(folder),
            languages=tuple(sorted(checkpoint.prompt.controls)),
            context=checkpoint.context,
            fills_holes=bool(checkpoint.prompt.parts),
        )

    def completer(self, graph: Graph) -> ModelCompleter:
        """The daemon's completer over one lane's graph."""
        engine = Engine(graph, sequences=1, chunk=CHUNK)
        return ModelCompleter(
            engine, self.builder, self._detokenizer, self._info, provider=self._kind
        )

    def each(
        self, items: Iterable[Item], ask: Callable[[Completer, Item], Result]
    ) -> Iterator[Result]:
        """`ask` of every item, many at a time, in any order; times are those within a batch."""
        return ask_all(self._model, self.completer, items, ask, self.lanes)

    def scored(self, rows: Iterable[Row], *, bits: bool = True) -> Iterator[tuple[Row, Score]]:
        """Every row with its score, in any order. Times are within a batch: compare no latency."""
        waiting: list[Answer] = []
        for answer in self.each(rows, ask):
            waiting.append(answer)
            if len(waiting) == SCORED_TOGETHER[self._kind]:
                yield from self._scores(waiting, bits)
                waiting = []
        yield from self._scores(waiting, bits)

    def _scores(self, answers: Sequence[Answer], bits: bool) -> Iterator[tuple[Row, Score]]:
        nats = self._surprise([row for row, _, _ in answers]) if bits and answers else None
        for number, (row, text, ms) in enumerate(answers):
            yield row, score(text, as_cursor(row).middle, ms, nats[number] if nats else None)

    def _surprise(self, rows: Sequence[Row]) -> list[float]:
        pairs = [prompt_and_middle(self.builder, row) for row in rows]
        return self._model.nats(
            [[*prompt, *middle] for prompt, middle in pairs], [len(prompt) for prompt, _ in pairs]
        )

    def nats(self, windows: list[list[int]]) -> float:
        """Summed nats of every token but the first of each window."""
        size = SCORED_TOGETHER[self._kind]
        parts = [windows[at : at + size] for at in range(0, len(windows), size)]
        return sum(sum(self._model.nats(part, [1] * len(part))) for part in parts)
