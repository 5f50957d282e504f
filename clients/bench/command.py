"""`autocoder bench decode|prefill|typing|load`: the command line; each measures in its own module.

Tables go to standard output, progress to standard error; --json prints one object instead.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.settings import add_engine_options, settings

CONTEXTS = (128, 512, 1024, 2048)
DECODED = 32
CHARACTERS, PASSAGES = 600, 4


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder bench …`. Raises ConfigError, ModelError, DaemonError, ProtocolError."""
    options = _parser().parse_args(arguments)
    options.provider = settings(options).provider
    if options.plot is not None:
        from autocoder.clients.bench.plot import check

        check(options.plot)  # before anything takes long
    measure: Callable[[argparse.Namespace], tuple[dict[str, Any], list[str]]] = options.measure
    report, lines = measure(options)
    if options.plot is not None:
        from autocoder.clients.bench.plot import draw

        draw(options.plot, report.pop("_points"), report)
    report.pop("_points", None)
    print(json.dumps(report) if options.json else "\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autocoder bench", description="How fast suggestions are on this machine."
    )
    names = parser.add_subparsers(required=True, metavar="decode|prefill|typing|load")
    for name, measure, text in (
        ("decode", decode, "milliseconds per token behind contexts of several lengths"),
        ("prefill", prefill, "milliseconds to take in prompts of several lengths"),
    ):
        command = names.add_parser(name, help=text, description=text)
        command.set_defaults(measure=measure)
        _add_pass_options(command)
    command = names.add_parser("typing", help="replay typing a file: keystroke → suggestion")
    command.set_defaults(measure=typing)
    _add_typing_options(command)
    command = names.add_parser("load", help="many typists at once")
    command.set_defaults(measure=load)
    _add_load_options(command)
    for command in names.choices.values():
        _add_common_options(command)
    return parser


def _add_pass_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--contexts", type=int, nargs="+", default=list(CONTEXTS), metavar="N", help="in tokens")
    add("--rounds", type=_count, default=5, metavar="N", help="of which the median counts (5)")


def _add_typing_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    _add_file_option(command)
    add(
        "--characters",
        type=_characters,
        default=CHARACTERS,
        metavar="N",
        help=f"how many are typed, or `all` from an empty file on ({CHARACTERS})",
    )
    add("--passages", type=_count, default=PASSAGES, metavar="N", help="in N places (4)")
    add(
        "--speed",
        type=float,
        default=1.0,
        metavar="X",
        help="pass idle time X times as fast; answers keep their human time (1)",
    )
    _add_request_options(command)


def _add_load_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    _add_file_option(command)
    add("-n", "--typists", type=_count, default=4, metavar="N", help="how many type at once (4)")
    add("--seconds", type=float, default=20.0, metavar="S", help="how long they type (20)")
    _add_request_options(command)


def _add_file_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "file", nargs="?", type=Path, help="source file (default: one of autocoder's own)"
    )


def _add_request_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--seed", type=int, default=1, metavar="S", help="of the keys and the pauses (1)")
    add("--max-lines", type=int, default=1, metavar="N", help="lines of a suggestion; 0: any (1)")
    add("--max-tokens", type=int, default=32, metavar="N", help="tokens of a suggestion (32)")
    add("--running", action="store_true", help="ask the daemon that runs, not a private one")


def _add_common_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--json", action="store_true", help="print one JSON object")
    add("--plot", type=Path, metavar="FILE", help="draw a picture, too (needs matplotlib)")
    add_engine_options(command)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 up")
    return int(text)


def _characters(text: str) -> int | None:
    return None if text == "all" else _count(text)


# The measurements: a report for --json, and lines for people


def decode(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Milliseconds per decoded token."""
    return _passes(options, DECODED, "decode_ms", "ms/token")


def prefill(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Milliseconds of a whole prompt."""
    return _passes(options, 0, "prefill_ms", "prefill ms")


def _passes(
    options: argparse.Namespace, tokens: int, key: str, heading: str
) -> tuple[dict[str, Any], list[str]]:
    from autocoder.clients.bench.passes import fitting, open_model, time_passes
    from autocoder.clients.bench.progress import Progress
    from autocoder.daemon.identity import told

    wanted = fitting(options.contexts, max(options.contexts))
    model = open_model(told(options.model), options.provider, options.threads, wanted[-1] + tokens)
    contexts = fitting(wanted, model.graph.capacity - tokens)
    with Progress("passes", (options.rounds + 1) * len(contexts)) as progress:
        rows = time_passes(model, contexts, options.rounds, tokens, progress.step)
    rounds_key = key.replace("_ms", "_rounds_ms")
    report: dict[str, Any] = {
        "model": model.name,
        "provider": model.provider,
        "threads": model.threads,
        "rounds": options.rounds,
        "rows": [{name: row[name] for name in ("context", key, rounds_key)} for row in rows],
        "_points": {
            "title": f"{model.name}, {model.provider}, {model.threads} threads",
            "x": ("context, tokens", [row["context"] for row in rows]),
            "y": (heading, [row[key] for row in rows]),
        },
    }
    lines = [
        f"{model.name} on {model.provider}, {model.threads} threads, median of {options.rounds}",
        f"{'context':>8} {heading:>11} {'best':>9}",
        *(f"{row['context']:>8} {row[key]:>11} {min(row[rounds_key]):>9}" for row in rows),
    ]
    return report, lines


def typing(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """One typist."""
    from autocoder.clients.bench.replay import replay

    if not options.speed > 0:
        raise ConfigError(f"--speed {options.speed:g}: give a number above 0")
    report = replay(options)
    return report, [
        f"{report['file']}: {report['keys']} keys, {report['typed_s']:.0f} s of typing, "
        f"{report['model']} on {report['provider']}",
        _latencies(report),
        f"answered within 100 ms  {_share(report['in_time_share'])} of the keys; "
        f"{_share(report['superseded_share'])} superseded by the next one",
        f"suggestions             {_share(report['nonempty_share'])} not empty, "
        f"{report['mean_chars'] or 0:.1f} characters",
        f"context                 {report['context_tokens'] or 0:.0f} tokens, "
        f"{_share(report['cached_share'])} from the cache",
        f"computed per key        {report['tokens_per_key'] or 0:.1f} tokens "
        f"({report['prompt_tokens_per_key'] or 0:.1f} of the prompt)",
        f"the daemon              {_number(report['cpu_s_per_minute'])} CPU seconds per minute of "
        f"typing, {report['memory_mb']:.0f} MB",
    ]


def load(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Many typists."""
    from autocoder.clients.bench.crowd import crowd

    if not options.seconds > 0:
        raise ConfigError(f"--seconds {options.seconds:g}: give a number above 0")
    report = crowd(options)
    return report, [
        f"{report['typists']} typists, {report['keys']} keys in {options.seconds:g} s, "
        f"{report['model']} on {report['provider']}",
        _latencies(report),
        f"p95 within 100 ms       {report['typists_in_time']} of {report['typists']} typists",
        f"answered within 100 ms  {_share(report['in_time_share'])} of the keys; "
        f"{_share(report['superseded_share'])} superseded",
        f"the daemon              {_number(report['cpu_share'])} processors busy, "
        f"{report['memory_mb']:.0f} MB",
    ]


def _latencies(report: dict[str, Any]) -> str:
    p50, p95, p99 = (_ms(report[name]) for name in ("p50_ms", "p95_ms", "p99_ms"))
    return f"keystroke → suggestion  p50 {p50}, p95 {p95}, p99 {p99}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
