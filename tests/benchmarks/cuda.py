"""What CUDA costs, on a machine with an NVIDIA GPU: `python tests/benchmarks/cuda.py WHAT`.

    steps       milliseconds of a step and of a chunk, by size, captured and not
    alike       are texts the same alone, together, guessed ahead, and on the CPU?
    suggestion  24 tokens through the socket with the prompt cached, and 150 keys of one file
    medium DIR  writes a GPT-2 of 355 M random parameters for `autocoder bench … --model DIR`
    waiting N   N typists at a daemon whose device only waits as long as a GPU would take

Each prints JSON. `medium` needs autocoder[train]; it and `waiting` need no GPU.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from autocoder import daemon
from autocoder.clients.bench.private_daemon import private_daemon
from autocoder.daemon import lifecycle, model_folder
from autocoder.daemon.connection import connected
from autocoder.daemon.cuda_completer import CudaCompleter
from autocoder.daemon.cuda_graph import STEPPED, Chosen, StepGraph
from autocoder.daemon.cuda_loading import open_device
from autocoder.daemon.loading import load_completer
from autocoder.daemon.protocol import Complete, Completion

CAPACITY, PLACE = 1160, 600  # tokens of a lane, and how many are there already
FILES = 40
STEP_S, SHORT_CHUNK_S, LONG_CHUNK_S, COPY_S = 0.0015, 0.0005, 0.0023, 0.001
SERVE = "serve"  # what `waiting` starts
MEDIUM = {"vocab": 50257, "hidden": 1024, "layers": 24, "heads": 16, "intermediate": 4096}


def median_ms(run: Callable[[], Any], times: int = 60) -> float:
    """The median, once it is warm and captured."""
    took = []
    for _ in range(20 + times):
        started = time.perf_counter()
        run()
        took.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(took[20:]), 3)


def steps() -> dict[str, Any]:
    """Milliseconds, by what runs."""
    model = model_folder.load(None)
    graphs = {name: model.graph(name) for name in model.graphs}
    found = {}
    for captures in (True, False):
        opened = open_device(graphs, CAPACITY, 4, lane_bytes=4 << 30, captures=captures)
        found["captured" if captures else "not captured"] = _sizes(opened.graph)
    return found


def _sizes(graph: StepGraph) -> dict[str, float]:
    chunks = {f"chunk of {size}": _chunk(graph, size) for size in (1, 4, 8, 16, 64, 512)}
    rows = {"chunk of 8, 8 rows": median_ms(lambda: graph.chunk(0, PLACE, [7] * 8, 8))}
    return {**chunks, **rows, **{f"step of {n}": _step(graph, n) for n in STEPPED if n > 1}}


def _chunk(graph: StepGraph, tokens: int) -> float:
    """Behind PLACE tokens where it is short, else from the beginning."""
    place = PLACE if tokens <= 16 else 0
    return median_ms(lambda: graph.chunk(0, place, [7] * tokens))


def _step(graph: StepGraph, lanes: int) -> float | None:
    if lanes > graph.lanes:
        return None
    fed = {lane: (9, PLACE) for lane in range(lanes)}
    return median_ms(lambda: graph.step(fed, lambda start, stop: [9] * (stop - start)))


def alike() -> dict[str, Any]:
    """How many of FILES continuations are the same text, and how long they take."""
    requests = [_hole(number, path) for number, path in enumerate(_sources())]
    gpu, cpu = load_completer(None, "cuda", repository=False), load_completer(None, "cpu")
    assert isinstance(gpu, CudaCompleter)
    gpu.guesses = False
    _alone(gpu, requests)
    alone_s, alone = _timed(lambda: _alone(gpu, requests))
    gpu.guesses = True
    guessed = _alone(gpu, [replace(request, document="g") for request in requests])
    other = [replace(request, document=f"t{request.document}") for request in requests]
    _together(gpu, other)
    together_s, together = _timed(lambda: _together(gpu, other))
    return {
        "texts": len(requests),
        "together as alone": _same(alone, together),
        "guessed as not": _same(alone, guessed),
        "cpu as cuda": _same(alone, _alone(cpu, requests)),
        "alone_s": round(alone_s, 3),
        "together_s": round(together_s, 3),
    }


def _sources() -> list[Path]:
    return sorted(Path(daemon.__file__).parent.glob("*.py"))[:FILES]


def _hole(number: int, path: Path) -> Complete:
    text = path.read_text()
    at = text.rfind("\n", 0, len(text) * 2 // 3) + 1
    return Complete(
        text[:at], text[at + 200 :], str(number), language="python", max_lines=2, max_tokens=24
    )


def _alone(completer: Any, requests: list[Complete]) -> list[Completion]:
    return [completer.complete(request, lambda: False) for request in requests]


def _together(completer: CudaCompleter, requests: list[Complete]) -> list[Completion]:
    begun = [completer.begin(completer.prepare(request)) for request in requests]
    while waiting := [each for each in begun if not completer.over(each)]:
        completer.advance(waiting)
    for each in begun:
        completer.end(each)
    return [completer.completion(each) for each in begun]


def _timed(run: Callable[[], list[Completion]]) -> tuple[float, list[Completion]]:
    started = time.perf_counter()
    found = run()
    return time.perf_counter() - started, found


def _same(one: list[Completion], other: list[Completion]) -> int:
    pairs = zip(one, other, strict=True)
    return sum([s.text for s in a.suggestions] == [s.text for s in b.suggestions] for a, b in pairs)


def suggestion() -> dict[str, Any]:
    """Milliseconds at the socket. The first row asks the same again and again, the second adds a
    comment each time, so that nothing is recalled; the third types on, a line at most."""
    text = Path(daemon.__file__).with_name("prompt.py").read_text()
    at = text.rfind("\n", 0, 6000) + 1
    with private_daemon(None, "cuda") as running, connected(running.place.address) as connection:

        def ask(prefix: str, **options: Any) -> tuple[float, dict[str, Any]]:
            request = Complete(prefix, document="d", language="python", **options)
            started = time.perf_counter()
            reply = connection.ask(request, 20)
            return 1000 * (time.perf_counter() - started), reply

        long: dict[str, Any] = {"max_lines": 0, "max_tokens": 24}
        again = [ask(text[:at], **long) for _ in range(40)]
        fresh = [ask(f"{text[:at]}# {'x' * number}\n", **long) for number in range(1, 41)]
        keys = [ask(text[:end], max_tokens=32) for end in range(at, at + 150)]
    return {"again": _row(again), "fresh": _row(fresh), "keys": _row(keys)}


def _row(asked: list[tuple[float, dict[str, Any]]]) -> dict[str, float]:
    took = sorted(ms for ms, _ in asked[5:])
    tokens = statistics.mean(reply["generated_tokens"] for _, reply in asked[5:])
    p95 = took[round(0.95 * (len(took) - 1))]
    return {
        "p50_ms": round(statistics.median(took), 2),
        "p95_ms": round(p95, 2),
        "tokens": round(tokens, 1),
    }


def medium(out: Path) -> dict[str, Any]:
    """Exported without bounds: random weights say nothing of a graph's rounding."""
    from autocoder.export import exporting, tiny
    from autocoder.export.verify import Bounds

    with tempfile.TemporaryDirectory() as name:
        folder = tiny.make_checkpoint(
            Path(name) / "gpt2", "gpt2", train_steps=0, context=1024, **MEDIUM
        )
        settings = exporting.Settings(name="gpt2-medium-sized", bounds=Bounds(10, 10, 10))
        model = exporting.export(str(folder), out, settings)
    return {"folder": str(model.path)}


class Waiting:
    """A device that takes its time, and says a line break at every eighth place."""

    lanes, vocabulary, logits = 256, 24576, None
    line_break = 230  # the bundled tokenizer's

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity

    def step(self, fed: Any, resting: Any, allowed: Any) -> dict[int, Chosen]:
        resting(0, max(fed) + 1)
        time.sleep(STEP_S)
        return {lane: self._said(lane, fed[lane][1], allowed.get(lane)) for lane in fed}

    def chunk(
        self, lane: int, past: int, ids: list[int], rows: int = 1, allowed: Any = None
    ) -> list[Chosen]:
        time.sleep(LONG_CHUNK_S if len(ids) > 16 else SHORT_CHUNK_S)
        last = past + len(ids) - rows + 1
        return [self._said(lane, last + n, (allowed or {}).get(n)) for n in range(rows)]

    def _said(self, lane: int, place: int, allowed: Any) -> Chosen:
        if allowed is not None:
            return Chosen(int(allowed[0]), 0.5)
        number = lane * 31 + place * 7919
        return Chosen(300 + number % 20000 if number % 8 else self.line_break, 0.5)

    def row(self, number: int) -> int:
        return number

    def offset(self, lane: int) -> int:
        return lane

    def copy(self, source: int, target: int) -> bool:
        time.sleep(COPY_S)
        return True

    def capture_next(self, held: Any) -> bool:
        return False


def waiting(typists: str) -> None:
    """`autocoder bench load` against a daemon of this file's own."""
    from autocoder.clients.bench.command import main as bench

    lifecycle.run_command = lambda wanted: [sys.executable, __file__, SERVE, *wanted.words]
    bench(["load", "-n", typists, "--seconds", "8", "--provider", "cuda", "--json"])


def serve(words: list[str]) -> int:
    """Be that daemon."""
    from autocoder.daemon import cuda_loading
    from autocoder.daemon.command import main as daemon_main

    def opened(graphs: Any, capacity: int, threads: int, **options: Any) -> Any:
        return cuda_loading.OpenDevice(cast(Any, Waiting(capacity)), cast(Any, None))

    cuda_loading.open_device = opened
    return daemon_main(["run", "--called", *words])


def main() -> None:
    """Run one of them."""
    if sys.argv[1:2] == [SERVE]:
        sys.exit(serve(sys.argv[2:]))
    parser = argparse.ArgumentParser(description="What CUDA costs.")
    parser.add_argument("what", choices=("steps", "alike", "suggestion", "medium", "waiting"))
    parser.add_argument("argument", nargs="?", default="")
    options = parser.parse_args()
    if options.what == "waiting":
        waiting(options.argument)
    elif options.what == "medium":
        print(json.dumps(medium(Path(options.argument))))
    else:
        print(json.dumps(globals()[options.what](), indent=2))


if __name__ == "__main__":
    main()
