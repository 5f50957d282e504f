"""`autocoder eval …`: measure the shipped model, or any model folder, on the CPU or GPU at hand."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autocoder.daemon.errors import ConfigError
from autocoder.train.evaluate.rows import read_rows, write_rows


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder eval NAME …`; returns the exit status."""
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="autocoder eval", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="NAME")
    holes = commands.add_parser("holes", help="make rows from the source files of a folder")
    holes.add_argument("folder", type=Path, help="folder of source files")
    holes.add_argument("-o", "--output", type=Path, required=True, help="JSONL file to write")
    holes.add_argument("--seed", type=int, default=0, help="other seed, other holes (default 0)")
    holes.add_argument("--per-file", type=int, default=1, help="holes of each kind per file")
    holes.set_defaults(run=_holes)
    lines = commands.add_parser("lines", help="exact match, edit similarity and latency on rows")
    lines.add_argument("file", type=Path, help="JSONL of language, prefix, suffix, middle")
    lines.add_argument("--limit", type=int, help="measure the first N rows only")
    lines.set_defaults(run=_lines)
    perplexity = commands.add_parser("perplexity", help="bits per byte and perplexity by language")
    perplexity.add_argument("source", type=Path, help="folder of source files, or JSONL with text")
    perplexity.add_argument("--limit-bytes", type=int, default=200_000, help="bytes per language")
    perplexity.set_defaults(run=_perplexity)
    for command in (lines, perplexity):
        command.add_argument("--model", type=Path, help="model folder (default: the bundled one)")
        command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _holes(options: argparse.Namespace) -> int:
    from autocoder.train.evaluate.holes import rows

    if not options.folder.is_dir():
        raise ConfigError(f"no folder {options.folder}")
    made = rows(options.folder, seed=options.seed, per_file=options.per_file)
    count = write_rows(made, options.output)
    print(f"{count} rows in {options.output}")
    return 0


def _lines(options: argparse.Namespace) -> int:
    from itertools import islice

    from autocoder.daemon.completer import load_completer
    from autocoder.train.evaluate.lines import measure

    rows = list(islice(read_rows(options.file), options.limit))
    if not rows:
        raise ConfigError(f"{options.file} has no rows")
    return _show(measure(load_completer(options.model), _with_progress(rows)), options.json)


def _perplexity(options: argparse.Namespace) -> int:
    from autocoder.train.evaluate.perplexity import measure

    return _show(measure(options.model, options.source, options.limit_bytes), options.json)


def _with_progress(rows: list[Any]) -> Any:
    for number, row in enumerate(rows, 1):
        if sys.stderr.isatty():
            print(f"\r{number}/{len(rows)}", end="", file=sys.stderr, flush=True)
        yield row
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)


def _show(result: dict[str, Any], as_json: bool) -> int:
    print(json.dumps(result, indent=2) if as_json else table(result))
    return 0


def table(result: dict[str, Any]) -> str:
    """A Markdown table: one row per language, and per kind of hole where there are kinds."""
    languages: dict[str, dict[str, Any]] = dict(result["by_language"])
    for language, kinds in result.get("by_kind", {}).items():
        languages |= {f"{language}: {kind}": record for kind, record in kinds.items() if kind}
    columns = [name for name in next(iter(languages.values()), {}) if name != "ci"]
    lines = [f"| | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for language, record in languages.items():
        cells = " | ".join(_cell(record.get(name)) for name in columns)
        lines.append(f"| {language} | {cells} |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
