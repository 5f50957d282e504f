"""Checkpoint in, verified model folder out. Wires the passes together; each of them lives apart.

The folder is built beside its destination and renamed into place when everything holds, so that a
refused export leaves nothing behind.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx

from autocoder.daemon import model_folder
from autocoder.daemon.cuda_kernel import RECORD
from autocoder.daemon.engine_runtime import import_runtime
from autocoder.daemon.engine_session import PREFILL
from autocoder.daemon.errors import ConfigError
from autocoder.daemon.model_folder import ModelFolder
from autocoder.export.checkpoint import Checkpoint, load_checkpoint, rotary_tables
from autocoder.export.cuda_kernel import kernel_record
from autocoder.export.cuda_step import CHOOSE, STEP, choosing_graph, step_graph
from autocoder.export.cuda_wide import WIDE, spread_at_load, wide_graph
from autocoder.export.graph import DecoderGraph
from autocoder.export.grouped import group_queries
from autocoder.export.handed_over import products, record
from autocoder.export.optimum_model import trace
from autocoder.export.prefill import made_at_load, prefill_graph, prefilled
from autocoder.export.providers import CPU, CUDA, EXACT, Provider, for_provider, quantise_constants
from autocoder.export.quantise import BLOCK, Quantised
from autocoder.export.rewrite import Fusions, Shape, rewrite
from autocoder.export.verify import Bounds, Report, verify
from autocoder.export.weights import WeightsFile

WEIGHTS = "weights.bin"
TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Settings:
    """How to export. `sample` is source text to measure the quantisation's loss on (None: a
    built-in one); `context` caps the checkpoint's own; `block` weights share a scale."""

    name: str | None = None
    quantisation: str = "int4"
    block: int = BLOCK
    context: int | None = None
    licence: str | None = None
    sample: str | None = None
    bounds: Bounds = field(default_factory=Bounds)
    fusions: Fusions = field(default_factory=Fusions)


def export(source: str, out: Path, settings: Settings | None = None) -> ModelFolder:
    """Export a checkpoint (a folder, or a hub name) to the folder `out`, which must not exist.

    Raises ConfigError for a checkpoint that cannot be exported, ModelError where the result
    differs from torch beyond the bounds or no ONNX Runtime is installed; nothing is left at `out`
    then.
    """
    chosen = settings or Settings()
    if out.exists():
        raise ConfigError(f"{out} exists already; remove it or give another folder")
    import_runtime()  # optimum and the verification need one: say so before the work
    checkpoint = load_checkpoint(source, context=chosen.context)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        built = Path(name) / "model"
        built.mkdir(mode=0o755)
        build(checkpoint, built, Path(name), chosen)
        built.rename(out)
    return model_folder.load(out)


def build(checkpoint: Checkpoint, folder: Path, scratch: Path, settings: Settings) -> None:
    """Write every file of the model folder, verifying before the manifest is written."""
    graph = decoder(checkpoint, settings.fusions)
    trained = checkpoint.block
    grids = quantise_constants(graph, settings.quantisation, settings.block, trained)
    write_graphs(graph, grids, folder, checkpoint.architecture.kind, scratch)
    checkpoint.tokenizer.save(str(folder / TOKENIZER), pretty=False)
    exact = scratch / "exact.onnx"
    report = verify(checkpoint, grids, folder, exact, settings.bounds, settings.sample)
    record = manifest(checkpoint, folder, settings, report)
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    (folder / model_folder.MANIFEST).write_text(text, encoding="utf-8")


def decoder(checkpoint: Checkpoint, fusions: Fusions | None = None) -> DecoderGraph:
    """The checkpoint as our float32 graph, before quantisation."""
    sizes = checkpoint.architecture
    shape = Shape(sizes.layers, sizes.heads, sizes.kv_heads, sizes.head_size)
    graph = DecoderGraph.from_model(trace(checkpoint.model))
    return rewrite(graph, checkpoint.family, shape, rotary_tables(checkpoint), fusions)


def write_graphs(
    graph: DecoderGraph, grids: Mapping[str, Quantised], folder: Path, name: str, scratch: Path
) -> None:
    """Write the graphs of the folder with their one weights.bin; exact.onnx goes to `scratch`.

    `exact.onnx` is the CPU's graph with float32 products, for verification only; it reads the
    same weights through a link beside it.
    """
    with WeightsFile(folder / WEIGHTS) as weights:
        for provider, place in ((CPU, folder), (CUDA, folder), (EXACT, scratch)):
            _write(graph, grids, provider, place, name, weights)
        _write_steps(for_provider(graph, dict(grids), CUDA), grids, folder, name, weights)
        if grids:
            _write_prefill(for_provider(graph, dict(grids), CPU), grids, folder, name, weights)
    if scratch != folder:
        (scratch / WEIGHTS).hardlink_to(folder / WEIGHTS)


def _write(
    graph: DecoderGraph,
    grids: Mapping[str, Quantised],
    provider: Provider,
    place: Path,
    name: str,
    weights: WeightsFile,
) -> None:
    made = for_provider(graph, dict(grids), provider)
    if provider.groups_queries:
        group_queries(made)
    model = made.to_model(weights.initializers(made.constants), name)
    onnx.save(model, str(place / f"{provider.name}.onnx"))


def _write_steps(
    cuda: DecoderGraph,
    grids: Mapping[str, Quantised],
    folder: Path,
    name: str,
    weights: WeightsFile,
) -> None:
    """CUDA's graphs for serving (`cuda_step.py`, `cuda_wide.py`)."""
    vocabulary = cuda.outputs[0].type.tensor_type.shape.dim[-1].dim_value
    step = step_graph(cuda)
    for stem, made in ((STEP, step), (CHOOSE, choosing_graph(vocabulary))):
        model = made.to_model(weights.initializers(made.constants), name)
        onnx.save(model, str(folder / f"{stem}.onnx"))
    if grids:
        wide = wide_graph(step)
        stored = weights.initializers(wide.constants)
        model = wide.to_model([*stored, *spread_at_load(step, grids)], name)
        onnx.save(model, str(folder / f"{WIDE}.onnx"))
        listed = record(list(products(step).values()), step, grids, weights)
        (folder / f"{WIDE}.json").write_text(listed, encoding="utf-8")
        if kernel := kernel_record(step, weights):
            (folder / RECORD).write_text(kernel, encoding="utf-8")


def _write_prefill(
    cpu: DecoderGraph,
    grids: Mapping[str, Quantised],
    folder: Path,
    name: str,
    weights: WeightsFile,
) -> None:
    made = prefill_graph(cpu)
    stored = weights.initializers(made.constants)
    model = made.to_model([*stored, *made_at_load(cpu, grids)], name)
    onnx.save(model, str(folder / f"{PREFILL}.onnx"))
    listed = record(prefilled(cpu), cpu, grids, weights)
    (folder / f"{PREFILL}.json").write_text(listed, encoding="utf-8")


def manifest(
    checkpoint: Checkpoint, folder: Path, settings: Settings, report: Report
) -> dict[str, Any]:
    """The record that `daemon/model_folder.py` reads."""
    files = sorted(path for path in folder.iterdir() if path.name != model_folder.MANIFEST)
    card = checkpoint.card
    return {
        "version": model_folder.VERSION,
        "name": settings.name or checkpoint.folder.name,
        "architecture": asdict(checkpoint.architecture),
        "context": checkpoint.context,
        "prompt": checkpoint.prompt.to_manifest(),
        "quantisation": settings.quantisation,
        "graphs": {path.stem: path.name for path in files if path.suffix == ".onnx"},
        "files": {path.name: model_folder.file_hash(path) for path in files},
        "sizes": {path.name: path.stat().st_size for path in files},
        "licence": settings.licence or card.get("licence", ""),
        "training": card.get("training", {}),
        "results": {**card.get("results", {}), "export": report.to_manifest()},
    }
