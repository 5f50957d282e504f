"""`bench load`: many people type at once, each in a document of their own, at human speed."""

import argparse
import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import zmq.asyncio

from autocoder.clients.bench.keystrokes import KEY_S
from autocoder.clients.bench.passage import Passage, default_file, read_source
from autocoder.clients.bench.private_daemon import Measured
from autocoder.clients.bench.progress import Progress
from autocoder.clients.bench.replay import about, chosen_daemon, latency_points, request_for
from autocoder.clients.bench.samples import IN_TIME_MS, in_time_share, latencies
from autocoder.clients.bench.typist import Pace, Typist
from autocoder.daemon.protocol import Complete


def crowd(options: argparse.Namespace) -> dict[str, Any]:
    """The report of `autocoder bench load`. Raises AutocoderError."""
    path: Path = options.file or default_file()
    text = read_source(path)
    request = request_for(path, options)
    with chosen_daemon(options) as daemon:
        steps = round(options.typists * options.seconds / KEY_S)
        with Progress("typing", steps) as progress:
            before, started = daemon.cpu_s(), time.perf_counter()
            typists = asyncio.run(_all(daemon, request, text, options, progress))
            after, took_s = daemon.cpu_s(), time.perf_counter() - started
        status = daemon.status()
    samples = [sample for typist in typists for sample in typist.samples]
    superseded = sum(sample.completion is None for sample in samples)
    return {
        "typists": options.typists,
        "typists_in_time": sum(_in_time(typist) for typist in typists),
        **latencies(samples),
        "in_time_share": in_time_share(samples),
        "superseded_share": round(superseded / len(samples), 4) if samples else None,
        "keys": len(samples),
        "seconds": round(took_s, 1),
        "cpu_share": None
        if before is None or after is None
        else round((after - before) / took_s, 2),
        "file": str(path),
        **about(status),
        "_points": latency_points(samples, f"{path.name}, {options.typists} at once"),
    }


async def _all(
    daemon: Measured, request: Complete, text: str, options: argparse.Namespace, progress: Progress
) -> list[Typist]:
    end: float = time.monotonic() + options.seconds

    def pressed() -> bool:
        progress.step()
        return time.monotonic() < end

    with zmq.asyncio.Context() as context:
        typists = [
            Typist(
                context,
                daemon.place.address,
                replace(request, document=f"{request.document} {number}"),
                Pace(),
                pressed,
            )
            for number in range(options.typists)
        ]
        await _together(
            [_one(typist, text, number, options) for number, typist in enumerate(typists)]
        )
    return typists


async def _one(typist: Typist, text: str, number: int, options: argparse.Namespace) -> None:
    """Somewhere in the file, from some moment on: nobody begins at the same place or time."""
    chance = Random(f"{options.seed} {number}")
    await asyncio.sleep(chance.random() * min(1.0, options.seconds / 4))
    start = text.rfind("\n", 0, len(text) * number // options.typists + 1) + 1
    await typist.type([Passage(text[:start], text[start:], ""), Passage("", text, "")], chance)


async def _together(work: Sequence[Any]) -> None:
    """All at once; the first failure ends the others and is raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


def _in_time(typist: Typist) -> bool:
    """Whether this one's p95 lies within 100 ms."""
    p95 = latencies(typist.samples)["p95_ms"]
    return p95 is not None and p95 <= IN_TIME_MS
