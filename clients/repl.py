"""`autocoder repl`: type code at a prompt, see ghost text, and get the continuation printed.

The interaction of the 2020 blog: choose a language, give context, read what the model makes of it,
with its joint probability and its time. Where standard input is no terminal, all of it is the
context and the continuation goes to standard output.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from autocoder.clients.once import complete_once
from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.daemon.languages import LANGUAGES
from autocoder.daemon.protocol import Complete, Completion, request_from, request_message

NAMES = tuple(row.name for row in LANGUAGES)
HELP = """\
Type code. Grey text is a suggestion: Tab or the right arrow takes it, Esc sends it away.
Enter after a finished line prints its continuation; after an open one (: { ( [ ,) it begins a
new line. In several lines, an empty line prints. Alt-Enter begins a new line in any case.

  :language L      python, java, …             :again           continue the last text once more
  :candidates N    how many continuations      :temperature T   0 is greedy, above 0 samples
  :lines N         lines at most, 0: no limit  :tokens N        tokens at most
  :settings        what is set                 :quit            leave (also Ctrl-D)"""
NUMBERS = {
    "candidates": ("candidates", int),
    "temperature": ("temperature", float),
    "lines": ("max_lines", int),
    "tokens": ("max_tokens", int),
}


class Asks(Protocol):
    """What is needed of a client."""

    async def complete(self, request: Complete) -> Completion: ...


@dataclass(frozen=True)
class Session:
    """What the next request will be: its `prefix` is the context that was given last."""

    request: Complete
    wants_answer: bool = False
    message: str = ""
    over: bool = False


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="autocoder repl",
        description="Type code and see it continued; from a pipe, continue what comes in.",
    )
    add = made.add_argument
    add("--language", choices=NAMES, default="python", help="the code's language (python)")
    add("--candidates", type=int, default=1, metavar="N", help="continuations to print (1)")
    add("--temperature", type=float, default=0.0, metavar="T", help="0 is greedy (0)")
    add("--top-k", type=int, default=0, metavar="K", help="sample from the K likeliest; 0: all (0)")
    add("--top-p", type=float, default=1.0, metavar="P", help="sample from this much mass (1)")
    add("--seed", type=int, metavar="S", help="the same seed gives the same answer")
    add("--max-tokens", type=int, default=64, metavar="N", help="tokens at most (64)")
    add("--max-lines", type=int, default=0, metavar="N", help="lines at most; 0: no limit (0)")
    add(
        "--model",
        metavar="DIR",
        help="model folder (default: $AUTOCODER_MODEL, else daemon start's or the bundled)",
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the loop, or answer standard input; the exit status."""
    options = vars(parser().parse_args(arguments))
    model = options.pop("model")
    request = checked(Complete("", document="repl", **options))
    if not sys.stdin.isatty():
        return answer_pipe(request, model)
    return asyncio.run(converse(Session(request), model))


def checked(request: Complete) -> Complete:
    """The request, if every value of it is in its range. Raises ProtocolError."""
    request_from(request_message("", request))
    return request


def answer_pipe(request: Complete, model: str | None) -> int:
    """Continue standard input; status 1 where the model has nothing to say."""
    data = sys.stdin.buffer.read()
    try:
        context = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"standard input is not UTF-8 text: {error}") from error
    completion = complete_once(replace(request, prefix=context), client="repl", model=model)
    for suggestion in completion.suggestions:
        print(suggestion.text)
    return 0 if completion.suggestions else 1


async def converse(session: Session, model: str | None) -> int:
    """Read, continue, print, until the user leaves."""
    from autocoder.clients.client import Client
    from autocoder.clients.repl_prompt import Prompt

    client = Client("repl", model=model)
    prompt = Prompt(client)
    try:
        print(f"autocoder repl · {session.request.language} · :help says what else there is")
        while not session.over:
            text = await prompt.read(session.request)
            session = step(session, text)
            if session.message:
                print(session.message)
            if session.wants_answer:
                await answer(client, session.request)
        return 0
    finally:
        await client.close()


def step(session: Session, text: str | None) -> Session:
    """The session after one input: a command, a context, or None for the end."""
    plain = replace(session, wants_answer=False, message="")
    if text is None:
        return replace(plain, over=True)
    if text.startswith(":") and "\n" not in text:
        return _commanded(plain, *text[1:].split())
    if not text.strip():
        return plain
    return replace(plain, request=replace(plain.request, prefix=text), wants_answer=True)


def _commanded(session: Session, name: str = "help", value: str = "") -> Session:
    if name in ("q", "quit", "exit"):
        return replace(session, over=True)
    if name == "again":
        known = bool(session.request.prefix)
        return replace(session, wants_answer=known, message="" if known else "Nothing yet.")
    if name == "settings":
        return replace(session, message=_settings(session.request))
    if name == "language":
        return _set(session, "language", value if value in NAMES else None, " or ".join(NAMES))
    if name in NUMBERS:
        field, kind = NUMBERS[name]
        return _set(session, field, _number(kind, value), "a number")
    unknown = "" if name == "help" else f"There is no command :{name}.\n\n"
    return replace(session, message=unknown + HELP)


def _number(kind: type[int] | type[float], value: str) -> float | None:
    try:
        return kind(value)
    except ValueError:
        return None


def _set(session: Session, field: str, value: str | float | None, wanted: str) -> Session:
    if value is None:
        return replace(session, message=f"Give {wanted}.")
    try:
        request = checked(replace(session.request, **{field: value}))  # type: ignore[arg-type]
    except AutocoderError as error:
        return replace(session, message=str(error))
    return replace(session, request=request, message=_settings(request))


def _settings(request: Complete) -> str:
    return (
        f"language {request.language} · candidates {request.candidates} · "
        f"temperature {request.temperature:g} · "
        f"at most {request.max_lines or 'any number of'} lines, {request.max_tokens} tokens"
    )


async def answer(client: Asks, request: Complete) -> None:
    """Ask for the continuations of the context and print them."""
    began = time.perf_counter()
    try:
        completion = await client.complete(request)
    except AutocoderError as error:
        print(f"No continuation: {error}")
        return
    print_completion(request.prefix, completion, (time.perf_counter() - began) * 1000)


def print_completion(context: str, completion: Completion, ms: float) -> None:
    """The context's last line with each continuation, its joint probability, and the time."""
    if not completion.suggestions:
        print(f"The model has nothing to add ({ms:.0f} ms).")
    last_line = context.rpartition("\n")[2]
    for number, suggestion in enumerate(completion.suggestions, 1):
        tokens = len(suggestion.token_probabilities)
        print(
            f"── {number} · joint probability {suggestion.probability:.3g} · "
            f"{tokens} token{'s' * (tokens != 1)} · {ms:.0f} ms"
        )
        print(last_line + _bold(suggestion.text))


def _bold(text: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[1m{text}\x1b[0m"
