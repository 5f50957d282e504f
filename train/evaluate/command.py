"""`autocoder eval …`: measure the shipped model, a model folder or a checkpoint.

Knows the options of each measurement and how results are printed; what is measured is the affair of
`autocoder.train.evaluate.measurements`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autocoder.daemon.prompt import Budget
from autocoder.train.evaluate.counts import at_least
from autocoder.train.evaluate.measurements import (
    given_rows,
    hole_rows,
    load_model,
    memory_prompts,
    memory_result,
    perplexity_result,
    rename_result,
    rows_result,
)
from autocoder.train.evaluate.rows import write_rows

OTHER_FILES = "the files of a folder in another order (a JSONL keeps its own)"


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
    default = "$AUTOCODER_MODEL, else the bundled one"
    which.add_argument("--model", type=Path, help=f"model folder (default: {default})")
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


def _perplexity(options: argparse.Namespace) -> int:
    return _show(perplexity_result(load_model(options), options), options.json)


def _lines(options: argparse.Namespace) -> int:
    rows = given_rows(options.file, options.limit)
    model = load_model(options, Budget(options.prefix_tokens, options.suffix_tokens))
    return _show(rows_result(model, rows, bits=not options.no_bits), options.json)


def _holes(options: argparse.Namespace) -> int:
    from autocoder.train.evaluate.outputs import check_file

    if not options.output:
        rows = hole_rows(options)
        return _show(rows_result(load_model(options), rows), options.json)
    check_file(options.output)
    count = write_rows(hole_rows(options), options.output)
    print(json.dumps({"rows": count}) if options.json else f"{count} rows in {options.output}")
    return 0


def _rename(options: argparse.Namespace) -> int:
    result = rename_result(load_model(options), options.limit, options.show)
    return _show(result, options.json)


def _memory(options: argparse.Namespace) -> int:
    model = load_model(options)
    asked = memory_prompts(model, options)
    return _show(memory_result(model, asked, options.corpus), options.json)


def _report(options: argparse.Namespace) -> int:
    from autocoder.train.evaluate.reporting import report

    results, path = report(options)
    print(json.dumps(results, indent=2) if options.json else f"report in {path}")
    return 0


def _show(result: dict[str, Any], as_json: bool) -> int:
    from autocoder.train.evaluate.tables import table

    print(json.dumps(result, indent=2) if as_json else table(result))
    return 0


ADDED = (_add_perplexity, _add_lines, _add_holes, _add_rename, _add_memory, _add_report)
