"""`bench typing`: one person writes passages of a file, against a daemon of the bench's own."""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Any

import zmq.asyncio

from autocoder.clients.bench.passage import Passage, default_file, passages, read_source
from autocoder.clients.bench.private_daemon import Measured, private_daemon
from autocoder.clients.bench.progress import Progress
from autocoder.clients.bench.samples import Sample, typing_figures
from autocoder.clients.bench.typist import Pace, Typist
from autocoder.clients.once import wanted
from autocoder.daemon.endpoint import endpoint
from autocoder.daemon.lifecycle import ensure
from autocoder.daemon.protocol import Complete, request_from, request_message


def replay(options: argparse.Namespace) -> dict[str, Any]:
    """The report of `autocoder bench typing`. Raises AutocoderError."""
    path: Path = options.file or default_file()
    parts = passages(read_source(path), options.passages, options.characters)
    request = request_for(path, options)
    with chosen_daemon(options) as daemon, Progress("typing", _characters(parts)) as progress:
        before = daemon.cpu_s()
        typist = asyncio.run(_typed(daemon, request, parts, options, progress))
        after = daemon.cpu_s()
        status = daemon.status()
    return {
        **typing_figures(typist.samples),
        "cpu_s_per_minute": per_minute(before, after, typist.typed_s),
        "typed_s": round(typist.typed_s, 1),
        "speed": options.speed,
        "file": str(path),
        "lines": read_source(path).count("\n"),
        **about(status),
        "_points": latency_points(typist.samples, path.name),
    }


def request_for(path: Path, options: argparse.Namespace) -> Complete:
    """What every key asks for. Raises ProtocolError for a value out of range."""
    request = Complete(
        "",
        document=str(path),
        path=str(path),
        max_lines=options.max_lines,
        max_tokens=options.max_tokens,
    )
    request_from(request_message("", request))
    return request


def chosen_daemon(options: argparse.Namespace) -> AbstractContextManager[Measured]:
    """A private daemon, or with --running the user's own."""
    if not options.running:
        return private_daemon(options.model, options.provider, options.threads)
    place = endpoint()
    return nullcontext(Measured(place, ensure(wanted("bench", options.model), place=place), 0.0))


async def _typed(
    daemon: Measured,
    request: Complete,
    parts: Sequence[Passage],
    options: argparse.Namespace,
    progress: Progress,
) -> Typist:
    def pressed() -> bool:
        progress.step()
        return True

    with zmq.asyncio.Context() as context:
        address = daemon.place.address
        typist = Typist(context, address, request, Pace(options.speed), pressed)
        await typist.type(parts, Random(options.seed))
    return typist


def _characters(parts: Sequence[Passage]) -> int:
    return sum(len(part.typed) for part in parts)


def per_minute(before: float | None, after: float | None, typed_s: float) -> float | None:
    """CPU seconds per minute of typing at human speed."""
    if before is None or after is None or not typed_s:
        return None
    return round((after - before) * 60 / typed_s, 3)


def about(status: dict[str, Any]) -> dict[str, Any]:
    """What served, for the report."""
    return {
        "model": status["model"]["name"],
        "provider": status["provider"],
        "threads": status["threads"],
        "memory_mb": status["memory_mb"],
    }


def latency_points(samples: Sequence[Sample], title: str) -> dict[str, Any]:
    """What --plot draws: every answered key's milliseconds."""
    answered = [(at, s.latency_ms) for at, s in enumerate(samples) if s.completion]
    return {
        "title": f"typing {title}",
        "x": ("keystroke", [at for at, _ in answered]),
        "y": ("keystroke → suggestion, ms", [ms for _, ms in answered]),
    }
