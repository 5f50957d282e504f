"""`autocoder complete [FILE]`: print one suggestion, for scripts.

Exit status 0 with a suggestion, 1 without one, 2 for what the user can mend.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from autocoder.clients.cursor import around, offset
from autocoder.clients.once import complete_once
from autocoder.daemon.errors import ConfigError
from autocoder.daemon.languages import LANGUAGES
from autocoder.daemon.protocol import (
    Complete,
    Completion,
    completion_fields,
    request_from,
    request_message,
)


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder complete`."""
    options = _parser().parse_args(arguments)
    completion = complete_once(_request(options), client="complete", model=options.model)
    if options.json:
        print(json.dumps(completion_fields(completion), ensure_ascii=False))
    else:
        _print_text(completion)
    return 0 if completion.suggestions else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autocoder complete",
        description="Print the most probable continuation at a cursor: the text and nothing else.",
    )
    add = parser.add_argument
    add("file", nargs="?", default="-", metavar="FILE", help="a source file; - or none: stdin")
    add("--language", metavar="L", help="python, java, … (default: by the file's ending)")
    add("--at", metavar="LINE:COL", help="the cursor, counting from 1 (default: the text's end)")
    add("--json", action="store_true", help="print all suggestions, probabilities and times")
    add("--max-lines", type=int, default=1, metavar="N", help="lines at most; 0: no limit (1)")
    add("--max-tokens", type=int, default=48, metavar="N", help="tokens at most (48)")
    add("--candidates", type=int, default=1, metavar="N", help="alternatives; see --json (1)")
    add("--temperature", type=float, default=0.0, metavar="T", help="0 is greedy (0)")
    add("--top-k", type=int, default=0, metavar="K", help="sample from the K likeliest; 0: all (0)")
    add("--top-p", type=float, default=1.0, metavar="P", help="sample from this much mass (1)")
    add("--repetition-penalty", type=float, default=1.0, metavar="R", help="above 1: less (1)")
    add("--seed", type=int, metavar="S", help="the same seed gives the same answer")
    add("--stop", action="append", default=[], metavar="TEXT", help="end before TEXT; repeatable")
    add(
        "--model",
        metavar="DIR",
        help="model folder (default: $AUTOCODER_MODEL, else daemon start's or the bundled)",
    )
    return parser


def _known(language: str | None) -> str | None:
    names = [row.name for row in LANGUAGES]
    if language is not None and language not in names:
        raise ConfigError(f"no language {language!r}; there are {', '.join(names)}")
    return language


def _request(options: argparse.Namespace) -> Complete:
    text = _read(options.file)
    at = len(text) if options.at is None else offset(text, options.at)
    prefix, suffix = around(text, at)
    request = Complete(
        prefix=prefix,
        suffix=suffix,
        document=options.file,
        path=None if options.file == "-" else options.file,
        language=_known(options.language),
        max_tokens=options.max_tokens,
        max_lines=options.max_lines,
        candidates=options.candidates,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        repetition_penalty=options.repetition_penalty,
        seed=options.seed,
        stop=tuple(options.stop),
    )
    request_from(request_message("", request))  # a value out of range is refused before anything
    return request


def _read(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 text: {error}") from error


def _print_text(completion: Completion) -> None:
    if not completion.suggestions:
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(completion.suggestions[0].text.encode("utf-8"))
    if sys.stdout.isatty():  # to a pipe or a file goes the text exactly
        sys.stdout.buffer.write(b"\n")
