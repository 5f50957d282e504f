"""Times the export's choices against each other, and against optimum's plain graph, in one run.

    python tests/benchmarks/export_variants.py [CHECKPOINT] [--threads 2] [--rounds 5]

Prints, per variant, milliseconds of one decoding step at 512 tokens of context and of a prefill of
512, median and best over interleaved rounds (on a busy machine the best says more), and what
loading the session takes. Without a checkpoint it
makes a random one of the bundled model's shape (60 M parameters, Llama-type).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from autocoder.export.checkpoint import Checkpoint, load_checkpoint
from autocoder.export.decoder_session import DecoderSession, options
from autocoder.export.exporting import decoder
from autocoder.export.optimum_model import trace
from autocoder.export.providers import CPU, Provider, for_provider, quantise_constants
from autocoder.export.rewrite import Fusions
from autocoder.export.tiny import make_checkpoint
from autocoder.export.weights import WeightsFile

CONTEXT = 512


@dataclass(frozen=True)
class Variant:
    """One way to export, and to run."""

    name: str
    quantisation: str = "int4"
    fusions: Fusions = field(default_factory=Fusions)
    provider: Provider = CPU


VARIANTS = (
    Variant("default"),
    Variant("q, k, v apart", fusions=Fusions(packed_qkv=False)),
    Variant("gate, up apart", fusions=Fusions(gate_up=False)),
    Variant("no skip norm", fusions=Fusions(skip_norm=False)),
    Variant("accuracy level 0", provider=replace(CPU, accuracy_level=0)),
    Variant("int8", quantisation="int8"),
    Variant("float32", quantisation="none"),
)


def main() -> None:
    """Build every variant, time them in turns, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", help="Hugging Face folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--spinning", action="store_true", help="let idle threads spin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="variants whose name contains this")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = chosen.checkpoint or str(bundled_shape(folder / "checkpoint"))
        run(load_checkpoint(source), folder, chosen)


def bundled_shape(folder: Path) -> Path:
    """A random checkpoint of the bundled model's shape."""
    return make_checkpoint(
        folder,
        vocab=24576,
        train_steps=0,
        hidden=640,
        layers=10,
        heads=10,
        kv_heads=2,
        intermediate=1792,
        context=2048,
    )


def run(checkpoint: Checkpoint, folder: Path, chosen: argparse.Namespace) -> None:
    """Time the variants that `chosen` asks for."""
    steps: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {}
    loads: dict[str, float] = {}
    for variant in VARIANTS:
        if chosen.only is None or chosen.only in variant.name:
            path = write(checkpoint, variant, folder / variant.name.replace(" ", "-"))
            start = time.perf_counter()
            session = DecoderSession(path, 1024, threads=chosen.threads, spinning=chosen.spinning)
            loads[variant.name] = 1000 * (time.perf_counter() - start)
            steps[variant.name] = ours(session)
    if chosen.only is None:
        steps["optimum, float32"], loads["optimum, float32"] = plain(checkpoint, folder, chosen)
    report(steps, loads, chosen)


def write(checkpoint: Checkpoint, variant: Variant, folder: Path) -> Path:
    """Export one variant's CPU graph."""
    folder.mkdir()
    graph = decoder(checkpoint, variant.fusions)
    made = for_provider(graph, quantise_constants(graph, variant.quantisation), variant.provider)
    with WeightsFile(folder / "weights.bin") as weights:
        model = made.to_model(weights.initializers(made.constants), "variant")
    onnx.save(model, str(folder / "cpu.onnx"))
    return folder / "cpu.onnx"


def ours(session: DecoderSession) -> tuple[Callable[[], None], Callable[[], None]]:
    """One prefill of 512 and one step at 512, on our graph."""
    ids = np.random.default_rng(0).integers(6, 600, CONTEXT).tolist()
    return (
        lambda: void(session.feed(ids, [CONTEXT - 1], at=0)),
        lambda: void(session.feed([7], at=CONTEXT)),
    )


def plain(
    checkpoint: Checkpoint, folder: Path, chosen: argparse.Namespace
) -> tuple[tuple[Callable[[], None], Callable[[], None]], float]:
    """The same on optimum's graph as it comes: caches are concatenated and copied."""
    path = folder / "optimum.onnx"
    onnx.save(trace(checkpoint.model), str(path))
    made = options(chosen.threads, spinning=chosen.spinning)
    start = time.perf_counter()
    session = ort.InferenceSession(str(path), made, providers=["CPUExecutionProvider"])
    load = 1000 * (time.perf_counter() - start)
    sizes = checkpoint.architecture
    ids = np.random.default_rng(0).integers(6, 600, (1, CONTEXT))

    def feeds(new: Any, past: int) -> dict[str, Any]:
        shape = (1, sizes.kv_heads, past, sizes.head_size)
        inputs = {v.name for v in session.get_inputs()}
        caches = {n: np.zeros(shape, np.float32) for n in inputs if n.startswith("past")}
        return caches | {
            "input_ids": new,
            "attention_mask": np.ones((1, past + new.shape[1]), np.int64),
            "position_ids": np.arange(past, past + new.shape[1])[None],
        }

    prompt, step = feeds(ids, 0), feeds(ids[:, :1], CONTEXT)
    both = (lambda: void(session.run(None, prompt)), lambda: void(session.run(None, step)))
    return both, load


def void(_: object) -> None:
    """Drop a result."""


def report(
    steps: dict[str, tuple[Callable[[], None], Callable[[], None]]],
    loads: dict[str, float],
    chosen: argparse.Namespace,
) -> None:
    """Interleaved rounds; the medians as a Markdown table."""
    prefills: dict[str, list[float]] = {name: [] for name in steps}
    decodes: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(chosen.rounds):
        for name, (prefill, decode) in steps.items():
            prefills[name].append(timed(prefill, 1))
            decode()
            decodes[name].append(timed(decode, 24))
    spin = "spinning" if chosen.spinning else "not spinning"
    print(
        f"{chosen.threads} threads, {spin}, {chosen.rounds} rounds, onnxruntime {ort.__version__}"
    )
    print("| variant | prefill 512, ms (best) | decode at 512, ms (best) | load, ms |")
    print("|---|---|---|---|")
    for name in steps:
        prefill, decode = prefills[name], decodes[name]
        print(
            f"| {name} | {statistics.median(prefill):.0f} ({min(prefill):.0f}) "
            f"| {statistics.median(decode):.2f} ({min(decode):.2f}) | {loads[name]:.0f} |"
        )


def timed(step: Callable[[], None], times: int) -> float:
    """Milliseconds of one step, the mean of `times`."""
    start = time.perf_counter()
    for _ in range(times):
        step()
    return 1000 * (time.perf_counter() - start) / times


if __name__ == "__main__":
    main()
