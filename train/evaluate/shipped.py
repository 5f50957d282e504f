"""The shipped model, or any model folder, as `autocoder eval` asks it. Needs no torch.

Rows go through the daemon's own completer, one after the other, as an editor would ask them.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from autocoder.daemon import model_folder
from autocoder.daemon.loading import fitted, load_completer, load_tokenizer
from autocoder.daemon.prompt import Budget, PromptBuilder
from autocoder.daemon.protocol import Completer
from autocoder.train.evaluate.asking import as_cursor, prompt_and_middle
from autocoder.train.evaluate.likelihood import Likelihood
from autocoder.train.evaluate.lines import ask
from autocoder.train.evaluate.rows import Row
from autocoder.train.evaluate.scores import Score, score

Item = TypeVar("Item")
Result = TypeVar("Result")


class ShippedModel:
    """What `autocoder eval` asks of a model folder. Raises ModelError for a damaged one."""

    def __init__(self, folder: Path | None = None, *, budget: Budget | None = None) -> None:
        self._model = model_folder.load(folder)
        self._budget = fitted(budget or Budget(), self._model.context)
        self._completer: Completer | None = None
        self._likelihood: Likelihood | None = None
        self.context = self._model.context
        tokenizer = load_tokenizer(self._model.tokenizer)
        self.builder = PromptBuilder(tokenizer, self._model.prompt, self._budget)

    @property
    def completer(self) -> Completer:
        """The daemon's completer, loaded when it is first asked for."""
        if self._completer is None:
            self._completer = load_completer(self._model.path, budget=self._budget)
        return self._completer

    def each(
        self, items: Iterable[Item], ask: Callable[[Completer, Item], Result]
    ) -> Iterator[Result]:
        """`ask` of every item, one after the other."""
        return (ask(self.completer, item) for item in items)

    def scored(self, rows: Iterable[Row], *, bits: bool = True) -> Iterator[tuple[Row, Score]]:
        """Every row with its score, in order; `bits`: with the surprise of the wanted text."""
        for row, text, ms in self.each(rows, ask):
            nats = self._surprise(row) if bits else None
            yield row, score(text, as_cursor(row).middle, ms, nats)

    def _surprise(self, row: Row) -> float:
        prompt, middle = prompt_and_middle(self.builder, row)
        return self._nats([*prompt, *middle], len(prompt))

    def nats(self, windows: list[list[int]]) -> float:
        """Summed nats of every token but the first of each window."""
        return sum(self._nats(window, 1) for window in windows)

    def _nats(self, ids: list[int], known: int) -> float:
        if self._likelihood is None:
            self._likelihood = Likelihood(self._model)
        return self._likelihood.nats(ids[: self.context], known)
