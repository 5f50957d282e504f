"""Milliseconds per token of a model folder, and of its prefill, at several context lengths.

    python tests/benchmarks/decode.py MODEL_FOLDER [--provider cpu|cuda] [--json]

Needs numpy, an ONNX Runtime and the package on the path, nothing else. The tokens are random; the
time of a pass does not depend on which they are.
"""

import argparse
import json
import resource
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from autocoder.daemon.engine import Engine
from autocoder.daemon.engine_graph import OnnxGraph
from autocoder.daemon.engine_session import CUDA, OpenSession, open_session
from autocoder.daemon.model_folder import load


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    folder = load(options.folder)
    started = perf_counter()
    graphs = {name: folder.graph(name) for name in folder.graphs}
    opened = open_session(graphs, options.provider, options.threads)
    graph = OnnxGraph(opened.session, folder.context, cuda=opened.provider == CUDA)
    loaded = 1000 * (perf_counter() - started)
    contexts = [n for n in options.contexts if n + options.tokens <= graph.capacity]
    rows = [measure(graph, n, options) for n in contexts]
    report = {
        "model": folder.name,
        "provider": opened.provider,
        "threads": opened.threads,
        "load_ms": round(loaded, 1),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows": rows,
    }
    print(json.dumps(report) if options.json else table(report, opened))
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="decode.py", description=__doc__)
    made.add_argument("folder", type=Path, help="a model folder")
    made.add_argument("--provider", default="auto", help="auto, cpu or cuda")
    made.add_argument("--threads", type=int, help="threads of the CPU; default: physical cores")
    made.add_argument("--contexts", type=int, nargs="+", default=[128, 512, 1024], help="tokens")
    made.add_argument("--tokens", type=int, default=32, help="tokens decoded per round")
    made.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts")
    made.add_argument("--chunk", type=int, help="tokens per prefill pass; default: the engine's")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def measure(graph: OnnxGraph, context: int, options: argparse.Namespace) -> dict[str, Any]:
    """Medians over the rounds; every round prefills from nothing and then decodes greedily."""
    extra = {"chunk": options.chunk} if options.chunk else {}
    engine = Engine(graph, sequences=1, **extra)
    prefills, decodes = [], []
    for number in range(options.rounds + 1):
        ids = np.random.default_rng(number).integers(0, graph.vocabulary, context).tolist()
        started = perf_counter()
        sequence, _, logits = engine.prefill(ids, go_on)
        prefilled = perf_counter()
        for _ in range(options.tokens):
            logits = sequence.extend([int(logits.argmax())], go_on)
        prefills.append(1000 * (prefilled - started))
        decodes.append(1000 * (perf_counter() - prefilled) / options.tokens)
    return {  # the first round warms up
        "context": context,
        "prefill_ms": round(statistics.median(prefills[1:]), 2),
        "decode_ms_per_token": round(statistics.median(decodes[1:]), 3),
    }


def go_on() -> None:
    """Interrupts nothing."""


def table(report: dict[str, Any], opened: OpenSession) -> str:
    lines = [
        f"{report['model']} on {report['provider']}, {report['threads']} threads, "
        f"loaded in {report['load_ms']} ms, peak memory {report['peak_memory_mb']} MB",
        *([f"not CUDA: {opened.reason}"] if opened.reason else []),
        f"{'context':>8} {'prefill ms':>11} {'ms/token':>9}",
        *(
            f"{row['context']:>8} {row['prefill_ms']:>11} {row['decode_ms_per_token']:>9}"
            for row in report["rows"]
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
