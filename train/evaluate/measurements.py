"""Every measurement of a model, from the options of `autocoder eval`; each gives its `--json`.

Imports what a measurement needs when it is asked for: without `--checkpoint` nothing here needs
torch. Knows options; knows no command line and no form of output.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.prompt import Budget, PromptBuilder
from autocoder.daemon.protocol import Completer
from autocoder.train.evaluate.lines import Answer, ask
from autocoder.train.evaluate.progress import progress
from autocoder.train.evaluate.rows import Row, read_rows
from autocoder.train.evaluate.scores import Score

if TYPE_CHECKING:
    from autocoder.train.evaluate.memory import Prompt

Item = TypeVar("Item")
Result = TypeVar("Result")


class Measured(Protocol):
    """What a measurement asks of a model: `shipped.ShippedModel`, `checkpoint.CheckpointModel`."""

    builder: PromptBuilder
    context: int

    def each(
        self, items: Iterable[Item], ask: Callable[[Completer, Item], Result]
    ) -> Iterator[Result]: ...
    def scored(self, rows: Iterable[Row], *, bits: bool = True) -> Iterator[tuple[Row, Score]]: ...
    def nats(self, windows: list[list[int]]) -> float: ...


def load_model(options: argparse.Namespace, budget: Budget | None = None) -> Measured:
    """The model that `--checkpoint` or `--model` names, or the one that the daemon would take."""
    if options.checkpoint:
        from autocoder.train.evaluate.checkpoint import CheckpointModel

        return CheckpointModel(options.checkpoint, budget=budget)
    from autocoder.train.evaluate.shipped import ShippedModel

    return ShippedModel(options.model, budget=budget)


def perplexity_result(model: Measured, options: argparse.Namespace) -> dict[str, Any]:
    """The measurement of perplexity on `source`, up to `limit_bytes` a language."""
    from autocoder.train.evaluate.documents import documents
    from autocoder.train.evaluate.perplexity import chosen, measure

    found = documents(options.source, options.seed)
    texts = chosen(found, model.builder.form.controls, options.limit_bytes)
    window = min(options.window, model.context)
    return measure(progress(texts, what="documents"), model.builder, model.nats, window)


def given_rows(file: Path, limit: int | None = None) -> list[Row]:
    """The first `limit` rows of a file, at least one."""
    rows = list(islice(read_rows(file), limit))
    if not rows:
        raise ConfigError(f"{file} has no rows; `autocoder eval holes DIR` makes some")
    return rows


def hole_rows(options: argparse.Namespace) -> list[Row]:
    """The holes of `source`, `per_file` of each kind and file, at most `limit` of each kind."""
    from autocoder.train.evaluate.documents import documents
    from autocoder.train.evaluate.holes import named, rows

    found, kinds = documents(options.source, options.seed), named(options.kinds)
    drawn = {"seed": options.seed, "per_file": options.per_file, "limit": options.limit}
    made = list(rows(found, **drawn, kinds=kinds))
    if not made:
        raise ConfigError(f"{options.source} has no code to make holes in; give Python or Java")
    return made


def rows_result(model: Measured, rows: list[Row], *, bits: bool = True) -> dict[str, Any]:
    """The measurement of rows."""
    from autocoder.train.evaluate.lines import summarise

    return summarise(progress(model.scored(rows, bits=bits), len(rows)))


def rename_result(model: Measured, limit: int | None = None, show: bool = False) -> dict[str, Any]:
    """The measurement of renaming; `show` prints every continuation to standard error."""
    from autocoder.train.evaluate.rename import measure

    def answers(rows: list[Row]) -> Iterator[Answer]:
        for row, text, ms in progress(model.each(rows, ask), len(rows)):
            if show:
                print(f"{row.path}: {row.middle!r} wanted, {text!r} given", file=sys.stderr)
            yield row, text, ms

    return measure(answers, limit)


def memory_prompts(model: Measured, options: argparse.Namespace) -> list["Prompt"]:
    """Prompts from `corpus` and `unseen`, `prompts` of each language."""
    from autocoder.train.evaluate.documents import documents
    from autocoder.train.evaluate.memory import prompts

    languages = model.builder.form.controls
    sources = [("seen", options.corpus), ("unseen", options.unseen)]
    asked = [
        prompt
        for group, source in sources
        if source
        for prompt in prompts(documents(source), group, options.prompts, languages, options.seed)
    ]
    if not any(prompt.group == "seen" for prompt in asked):
        raise ConfigError(f"{options.corpus} has no document of 1000 characters; give the corpus")
    return asked


def memory_result(model: Measured, asked: list["Prompt"], corpus: Path) -> dict[str, Any]:
    """The measurement of memory: the prompts' continuations against all of the corpus."""
    from autocoder.train.evaluate.documents import documents
    from autocoder.train.evaluate.memory import continued, measure

    found = list(progress(model.each(asked, continued), len(asked), "prompts"))
    return measure(found, progress(documents(corpus), what="documents of the corpus"))
