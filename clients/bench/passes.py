"""Times the model's passes in this process, with the engine and the session of the daemon.

`prefill`: a prompt from nothing, in the chunks that the daemon uses. `decode`: one token behind a
context. The rounds go through all contexts in turn, so that a machine's moods fall on each alike;
medians count. The tokens are random: a pass takes the same time whichever they are.

The one part of the clients that opens a model itself. Knows no text and no daemon.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import numpy as np

from autocoder.daemon import model_folder
from autocoder.daemon.cuda_graph import StepGraph
from autocoder.daemon.cuda_loading import device_or_none
from autocoder.daemon.engine import Engine
from autocoder.daemon.engine_graph import OnnxGraph
from autocoder.daemon.engine_session import CUDA, open_session
from autocoder.daemon.engine_threads import thread_count
from autocoder.daemon.errors import ConfigError
from autocoder.daemon.loading import CHUNK, prefill_opened


@dataclass(frozen=True)
class OpenModel:
    """A model ready to run, and what it runs on."""

    name: str
    provider: str
    threads: int
    reason: str
    graph: OnnxGraph | StepGraph
    chunk: int


def open_model(path: Path | None, provider: str, threads: int | None, longest: int) -> OpenModel:
    """Open a model folder with room for `longest` tokens, within its context.

    Raises ModelError, ConfigError.
    """
    folder = model_folder.load(path)
    graphs = {name: folder.graph(name) for name in folder.graphs}
    room = min(folder.context, longest)
    if device := device_or_none(graphs, provider, room, threads, 0):
        return OpenModel(folder.name, CUDA, thread_count(threads), "", device.graph, CHUNK[True])
    opened = open_session(graphs, provider, threads)
    cuda = opened.provider == CUDA
    if provider == "cuda" and not cuda:  # the figures would be called CUDA's
        raise ConfigError(opened.reason)
    graph = OnnxGraph(opened.session, room, cuda=cuda)
    prefill_opened(folder, graph, opened, hurry=False)
    return OpenModel(
        folder.name, opened.provider, opened.threads, opened.reason, graph, CHUNK[cuda]
    )


def fitting(contexts: Sequence[int], room: int) -> list[int]:
    """The contexts in order, those that exceed `room` cut to it. Raises ConfigError below 1."""
    for context in contexts:
        if context < 1:
            raise ConfigError(f"a context of {context} tokens; give numbers from 1 up")
    return sorted({min(context, room) for context in contexts})


def time_passes(
    model: OpenModel,
    contexts: Sequence[int],
    rounds: int,
    tokens: int,
    step: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """One row per context: medians in milliseconds, and every round's figure.

    `step` is called after every measurement. A round more than asked for warms up.
    """
    one_round = _rounds(model)
    took: dict[int, list[tuple[float, float]]] = {context: [] for context in contexts}
    for number in range(rounds + 1):
        for context in contexts:
            found = one_round(_random_ids(model, context, number), tokens)
            if number:
                took[context].append(found)
            step()
    return [_row(context, took[context]) for context in contexts]


def _random_ids(model: OpenModel, count: int, seed: int) -> list[int]:
    chance = Random(f"{seed} {count}")  # no beginning in common with the round before
    return [chance.randrange(model.graph.vocabulary) for _ in range(count)]


def _rounds(model: OpenModel) -> Callable[[list[int], int], tuple[float, float]]:
    """What times one round: the milliseconds of a prefill, and of one token behind it."""
    if isinstance(model.graph, StepGraph):
        return partial(_on_device, model.graph, model.chunk)
    return partial(_in_engine, Engine(model.graph, sequences=1, chunk=model.chunk))


def _in_engine(engine: Engine, ids: list[int], tokens: int) -> tuple[float, float]:
    started = perf_counter()
    sequence, _, logits = engine.prefill(ids, go_on)
    prefilled = perf_counter()
    for _ in range(tokens):
        logits = sequence.extend([int(np.argmax(logits))], go_on)
    ended = perf_counter()
    return 1000 * (prefilled - started), 1000 * (ended - prefilled) / max(1, tokens)


def _on_device(graph: StepGraph, chunk: int, ids: list[int], tokens: int) -> tuple[float, float]:
    """One lane; the tokens are chosen there, as for a request alone."""
    started = perf_counter()
    for at in range(0, len(ids), chunk):
        (chosen,) = graph.chunk(0, at, ids[at : at + chunk])
    prefilled = perf_counter()
    for place in range(len(ids), len(ids) + tokens):
        (chosen,) = graph.chunk(0, place, [chosen.token])
    ended = perf_counter()
    return 1000 * (prefilled - started), 1000 * (ended - prefilled) / max(1, tokens)


def _row(context: int, took: list[tuple[float, float]]) -> dict[str, Any]:
    prefills, decodes = zip(*took, strict=True)
    return {
        "context": context,
        "prefill_ms": round(statistics.median(prefills), 2),
        "decode_ms": round(statistics.median(decodes), 3),
        "prefill_rounds_ms": [round(each, 2) for each in prefills],
        "decode_rounds_ms": [round(each, 3) for each in decodes],
    }


def go_on() -> None:
    """Interrupts nothing."""
