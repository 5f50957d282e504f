"""Where a forward pass spends its time: milliseconds by operator, as ONNX Runtime's profiler sees.

    python tests/benchmarks/profile_pass.py [MODEL_FOLDER] [--context 512] [--tokens 1] [--json]

`--tokens 1` is one decoding step behind `--context` tokens; `--tokens 512 --context 0` a prefill in
one pass. The profiler itself costs a few microseconds an operator, so the same pass is also timed
without it. "between operators" is what is left of a pass beside its operators: the executor, and
waking threads.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime

from autocoder.daemon.engine_graph import OnnxGraph
from autocoder.daemon.engine_session import session_options
from autocoder.daemon.model_folder import bundled, load

WARM = 3


def main(arguments: Sequence[str]) -> int:
    """Profile one kind of pass."""
    options = parser().parse_args(arguments)
    folder = load(options.folder or bundled())
    graph = folder.graph("cpu")
    plain_ms = timed(graph, None, options)
    with tempfile.TemporaryDirectory() as scratch:
        prefix = Path(scratch) / "profile"
        timed(graph, prefix, options)
        (trace,) = Path(scratch).glob("profile*.json")
        events = json.loads(trace.read_text())
    report = {"context": options.context, "tokens": options.tokens, "ms": round(plain_ms, 3)}
    report |= summary(events, options.passes)
    print(json.dumps(report) if options.json else table(report))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("folder", nargs="?", type=Path, help="model folder (default: the bundled)")
    made.add_argument("--context", type=int, default=512, help="tokens already in the cache (512)")
    made.add_argument("--tokens", type=int, default=1, help="tokens of one pass (1)")
    made.add_argument("--passes", type=int, default=20, help="passes of which the mean counts (20)")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def timed(graph: Path, trace: Path | None, options: argparse.Namespace) -> float:
    """Median milliseconds of a pass; with `trace` the profiler writes there."""
    settings = session_options(options.threads)
    if trace is not None:
        settings.enable_profiling = True
        settings.profile_file_prefix = str(trace)
    session = onnxruntime.InferenceSession(str(graph), settings, providers=["CPUExecutionProvider"])
    run = OnnxGraph(session, options.context + options.tokens)
    cache = run.new_cache()
    ids = np.random.default_rng(0).integers(40, run.vocabulary, options.tokens)
    took = []
    for _ in range(WARM + options.passes):
        started = perf_counter()
        run.run(cache, options.context, ids)
        took.append(1000 * (perf_counter() - started))
    session.end_profiling()
    return statistics.median(took[WARM:])


def summary(events: list[dict[str, Any]], passes: int) -> dict[str, Any]:
    """Milliseconds and calls per pass by operator, of the last `passes` passes."""
    runs = sorted((e for e in events if e["name"] == "model_run"), key=lambda e: e["ts"])[-passes:]
    first = runs[0]["ts"]
    spent: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for event in events:
        if event.get("cat") != "Node" or event["ts"] < first:
            continue
        if event["name"].endswith("_kernel_time"):
            name = label(event)
            spent[name] += event["dur"]
            calls[name] += 1
    whole = sum(run["dur"] for run in runs)
    spent["between operators"] = whole - sum(spent.values())
    rows = [
        {"operator": name, "ms": round(us / 1000 / passes, 4), "calls": calls[name] / passes}
        for name, us in sorted(spent.items(), key=lambda item: -item[1])
    ]
    return {"profiled_ms": round(whole / 1000 / passes, 3), "operators": rows}


def label(event: dict[str, Any]) -> str:
    """The operator; products are told apart by what they compute."""
    operator = str(event["args"]["op_name"])
    if operator != "MatMulNBits":
        return operator
    part = event["name"].removesuffix("_kernel_time").split("/")[0].split(".")[-1]
    return f"{operator} {part}"


def table(report: dict[str, Any]) -> str:
    """A Markdown table."""
    lines = [
        f"{report['tokens']} tokens behind {report['context']}: {report['ms']} ms a pass, "
        f"{report['profiled_ms']} ms under the profiler",
        "",
        "| operator | ms a pass | share | calls |",
        "| --- | ---: | ---: | ---: |",
    ]
    for row in report["operators"]:
        share = row["ms"] / report["profiled_ms"]
        lines.append(f"| {row['operator']} | {row['ms']:.3f} | {share:.1%} | {row['calls']:g} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
