"""`autocoder eval …`: measure the shipped model, a model folder or a checkpoint.

Knows the options of each measurement and imports what it needs when it is asked for: without
`--checkpoint` nothing here needs torch.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.prompt import Budget, PromptBuilder
from autocoder.daemon.protocol import Completer
from autocoder.train.evaluate.counts import at_least
from autocoder.train.evaluate.lines import Answer, ask
from autocoder.train.evaluate.progress import progress
from autocoder.train.evaluate.rows import Row, read_rows, write_rows
from autocoder.train.evaluate.scores import Score

Item = TypeVar("Item")
Result = TypeVar("Result")
OTHER_FILES = "the files of a folder in another order (a JSONL keeps its own)"


class Measured(Protocol):
    """What a measurement asks of a model: `shipped.ShippedModel`, `checkpoint.CheckpointModel`."""

    builder: PromptBuilder
    context: int

    def each(
        self, items: Iterable[Item], ask: Callable[[Completer, Item], Result]
    ) -> Iterator[Result]: ...
    def scored(self, rows: Iterable[Row], *, bits: bool = True) -> Iterator[tuple[Row, Score]]: ...
    def nats(self, windows: list[list[int]]) -> float: ...


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder eval NAME …`; returns the exit status."""
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autocoder eval",
        description="Measure the bundled model, a model folder, or a checkpoint.",
    )
    commands = parser.add_subparsers(required=True, metavar="NAME")
    for add in ADDED:
        add(commands)
    return parser


def _measuring(commands: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    """A subcommand with the options that choose a model and a form of output."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    which = command.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, help="model folder (default: the bundled one)")
    which.add_argument(
        "--checkpoint", type=Path, help="Hugging Face folder, batched by torch (a GPU if there)"
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    command.set_defaults(run=run)
    return command


def _add_perplexity(commands: Any) -> None:
    text = "bits per byte and perplexity by language"
    command = _measuring(commands, "perplexity", text, _perplexity)
    _with_source(command, f"other seed, {OTHER_FILES}")
    _with_bytes(command)


def _with_source(command: argparse.ArgumentParser, seed: str) -> None:
    command.add_argument("source", type=Path, help="folder of sources, or .jsonl(.xz) with text")
    command.add_argument("--seed", type=int, default=0, help=seed)


def _with_bytes(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--limit-bytes",
        type=at_least(1),
        default=500_000,
        help="bytes per language (default 500000)",
    )
    command.add_argument("--window", type=at_least(2), default=2048, help="tokens (default 2048)")


def _with_holes(command: argparse.ArgumentParser, limit: int | None) -> None:
    command.add_argument(
        "--per-file", type=at_least(1), default=1, help="holes of each kind per file"
    )
    text = "rows of each kind and language, at most" + (f" (default {limit})" if limit else "")
    command.add_argument("--limit", type=at_least(1), default=limit, help=text)
    command.add_argument("--kinds", help="end_of_line,line,block,comment (default) or body_line")


def _with_prompts(command: argparse.ArgumentParser) -> None:
    command.add_argument("--unseen", type=Path, help="sources that the model never saw")
    command.add_argument(
        "--prompts", type=at_least(1), default=100, help="per language (default 100)"
    )


def _add_lines(commands: Any) -> None:
    text = "exact match, edit similarity, bits per byte and latency on rows"
    command = _measuring(commands, "lines", text, _lines)
    command.add_argument("file", type=Path, help="JSONL of language, prefix, suffix, middle")
    command.add_argument("--limit", type=at_least(1), help="measure the first N rows only")
    command.add_argument("--no-bits", action="store_true", help="no bits per byte: half the time")
    add = command.add_argument
    add("--prefix-tokens", type=at_least(0), default=Budget.prefix_tokens, help="of the prompt")
    add("--suffix-tokens", type=at_least(0), default=Budget.suffix_tokens, help="of the prompt")


def _add_holes(commands: Any) -> None:
    text = "make rows for `eval lines` from source files, and measure them"
    command = _measuring(commands, "holes", text, _holes)
    _with_source(command, f"other seed, other holes, and {OTHER_FILES}")
    _with_holes(command, None)
    command.add_argument("-o", "--output", type=Path, help="write the rows here; measure nothing")


def _add_rename(commands: Any) -> None:
    text = "whether continuations follow renamed identifiers, and what misleads them"
    command = _measuring(commands, "rename", text, _rename)
    command.add_argument("--show", action="store_true", help="print every continuation as well")
    command.add_argument(
        "--limit", type=at_least(1), help="the first N functions of each language only"
    )


def _add_memory(commands: Any) -> None:
    text = "longest verbatim overlaps of continuations with the training corpus"
    command = _measuring(commands, "memory", text, _memory)
    command.add_argument("corpus", type=Path, help="folder of shards (.jsonl.xz) or of sources")
    _with_prompts(command)
    command.add_argument("--seed", type=int, default=0, help="other seed, other cuts")


def _add_report(commands: Any) -> None:
    text = "all measurements as Markdown, JSON and pictures"
    command = _measuring(commands, "report", text, _report)
    _with_source(command, f"other seed, other holes and cuts, and {OTHER_FILES}")
    _with_bytes(command)
    _with_holes(command, 250)
    _with_prompts(command)
    add = command.add_argument
    add("-o", "--output", type=Path, required=True, help="folder for the report")
    add("--rows", type=Path, action="append", default=[], help="more rows to measure, as JSONL")
    add("--corpus", type=Path, help="the training corpus, to measure what is memorised")
    add("--functions", type=at_least(1), help="rename the first N functions of each language only")


def _model(options: argparse.Namespace, budget: Budget | None = None) -> Measured:
    if options.checkpoint:
        from autocoder.train.evaluate.checkpoint import CheckpointModel

        return CheckpointModel(options.checkpoint, budget=budget)
    from autocoder.train.evaluate.shipped import ShippedModel

    return ShippedModel(options.model, budget=budget)


def _perplexity(options: argparse.Namespace) -> int:
    return _show(perplexity_result(_model(options), options), options.json)


def perplexity_result(model: Measured, options: argparse.Namespace) -> dict[str, Any]:
    """The measurement of perplexity on `source`, up to `limit_bytes` a language."""
    from autocoder.train.evaluate.documents import documents
    from autocoder.train.evaluate.perplexity import chosen, measure

    found = documents(options.source, options.seed)
    texts = chosen(found, model.builder.form.controls, options.limit_bytes)
    window = min(options.window, model.context)
    return measure(progress(texts, what="documents"), model.builder, model.nats, window)


def _lines(options: argparse.Namespace) -> int:
    rows = list(islice(read_rows(options.file), options.limit))
    if not rows:
        raise ConfigError(f"{options.file} has no rows; `autocoder eval holes DIR` makes some")
    budget = Budget(options.prefix_tokens, options.suffix_tokens)
    return _measure_rows(_model(options, budget), rows, options, bits=not options.no_bits)


def _holes(options: argparse.Namespace) -> int:
    rows = hole_rows(options)
    if not options.output:
        return _measure_rows(_model(options), rows, options, bits=True)
    count = write_rows(rows, options.output)
    print(json.dumps({"rows": count}) if options.json else f"{count} rows in {options.output}")
    return 0


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


def _rename(options: argparse.Namespace) -> int:
    return _show(rename_result(_model(options), options.limit, options.show), options.json)


def rename_result(model: Measured, limit: int | None = None, show: bool = False) -> dict[str, Any]:
    """The measurement of renaming; `show` prints every continuation to standard error."""
    from autocoder.train.evaluate.rename import measure

    def answers(rows: list[Row]) -> Iterator[Answer]:
        for row, text, ms in progress(model.each(rows, ask), len(rows)):
            if show:
                print(f"{row.path}: {row.middle!r} wanted, {text!r} given", file=sys.stderr)
            yield row, text, ms

    return measure(answers, limit)


def _memory(options: argparse.Namespace) -> int:
    return _show(memory_result(_model(options), options), options.json)


def memory_result(model: Measured, options: argparse.Namespace) -> dict[str, Any]:
    """The measurement of memory: prompts from `corpus` and `unseen`, `prompts` of each language."""
    from autocoder.train.evaluate.documents import documents
    from autocoder.train.evaluate.memory import continued, measure, prompts

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
    found = list(progress(model.each(asked, continued), len(asked), "prompts"))
    return measure(found, progress(documents(options.corpus), what="documents of the corpus"))


def _report(options: argparse.Namespace) -> int:
    from autocoder.train.evaluate.report import LINES, MEMORY, PERPLEXITY, RENAME, write

    model = _model(options)
    results = {PERPLEXITY: perplexity_result(model, options)}
    results[LINES] = rows_result(model, hole_rows(options))
    for file in options.rows:
        results[f"{LINES}:{file.stem}"] = rows_result(model, list(read_rows(file)))
    results[RENAME] = rename_result(model, options.functions)
    if options.corpus:
        results[MEMORY] = memory_result(model, options)
    pictures = _plot(results, options.output)
    name = (options.checkpoint or options.model or Path("the bundled model")).name
    path = write(results, options.output, model=name, pictures=pictures)
    print(json.dumps(results, indent=2) if options.json else f"report in {path}")
    return 0


def _plot(results: dict[str, Any], folder: Path) -> dict[str, list[str]]:
    """PNGs beside the report, by measurement; none where matplotlib is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        from autocoder.train.evaluate.plots import draw
    except ModuleNotFoundError as error:
        print(f"no plots: {error.name} is missing (autocoder[train] brings it)", file=sys.stderr)
        return {}
    return draw(results, folder)


def _measure_rows(
    model: Measured, rows: list[Row], options: argparse.Namespace, *, bits: bool
) -> int:
    return _show(rows_result(model, rows, bits=bits), options.json)


def rows_result(model: Measured, rows: list[Row], *, bits: bool = True) -> dict[str, Any]:
    """The measurement of rows."""
    from autocoder.train.evaluate.lines import summarise

    return summarise(progress(model.scored(rows, bits=bits), len(rows)))


def _show(result: dict[str, Any], as_json: bool) -> int:
    from autocoder.train.evaluate.tables import table

    print(json.dumps(result, indent=2) if as_json else table(result))
    return 0


ADDED = (_add_perplexity, _add_lines, _add_holes, _add_rename, _add_memory, _add_report)
