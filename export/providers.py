"""A float32 decoder becomes what one provider runs: quantised products, its float type.

Both providers' graphs name the same stored constants (packed steps, float16 scales, float32 norms
and tables), so `weights.bin` holds each once; a Cast that the session folds at load brings them to
the provider's type. Knows no layers: only MatMul and Gather with constant weights.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from autocoder.export.graph import MICROSOFT, DecoderGraph
from autocoder.export.quantise import BLOCK, KINDS, Quantised, quantise


@dataclass(frozen=True)
class Provider:
    """`float_type` of activations and cache. `accuracy_level` 4 lets MatMulNBits multiply in int8
    (activations quantised per block on the fly), 1 in float32; 0 is the kernel's own choice.
    `groups_queries`: attention as `grouped.py` writes it."""

    name: str
    float_type: int
    accuracy_level: int
    groups_queries: bool


CPU = Provider("cpu", TensorProto.FLOAT, 4, True)
CUDA = Provider("cuda", TensorProto.FLOAT16, 0, False)
EXACT = Provider("exact", TensorProto.FLOAT, 1, True)


def quantise_constants(
    graph: DecoderGraph, kind: str, block: int = BLOCK, trained: int = BLOCK
) -> dict[str, Quantised]:
    """The grids of every weight that a MatMul multiplies by; the table of a tied embedding too.

    In blocks of `block`, at the values of blocks of `trained` where those are larger. Keys are the
    names of constants; a matrix (K, N) of a MatMul is quantised as (N, K). Returns nothing for
    kind `none`.
    """
    if kind not in KINDS:
        return {}

    def on_grid(weights: Any) -> Quantised:
        return quantise(weights, KINDS[kind], max(block, trained)).divided(block)

    grids = {}
    for node in graph.nodes:
        if node.op_type == "MatMul" and node.input[1] in graph.constants:
            grids[node.input[1]] = on_grid(graph.constants[node.input[1]].T)
    if "embedding.weight" in graph.constants:
        table = graph.constants["embedding.weight"]
        tied = np.array_equal(table, graph.constants["logits.weight"].T)
        grids["embedding.weight"] = grids["logits.weight"] if tied else on_grid(table)
    return grids


def for_provider(
    graph: DecoderGraph, grids: dict[str, Quantised], provider: Provider
) -> DecoderGraph:
    """A copy of the graph for one provider, its weights on the given grids."""
    made = graph.copy()
    for name, grid in grids.items():
        made.constants[f"{name}.packed"] = grid.packed
        made.constants[f"{name}.scales"] = grid.scales
    for node in list(made.nodes):
        if node.op_type == "MatMul" and node.input[1] in grids:
            _quantise_product(made, node, grids[node.input[1]], provider)
        elif node.op_type == "Gather" and node.input[0] in grids:
            _quantise_gather(made, node, grids[node.input[0]])
    _set_types(made, provider)
    made.prune()
    return made


def _quantise_product(
    graph: DecoderGraph, node: NodeProto, grid: Quantised, provider: Provider
) -> None:
    source, weight = node.input
    graph.nodes.remove(node)
    graph.add(
        "MatMulNBits",
        [source, f"{weight}.packed", f"{weight}.scales"],
        list(node.output),
        domain=MICROSOFT,
        K=grid.columns,
        N=grid.rows,
        bits=grid.bits,
        block_size=grid.block,
        accuracy_level=provider.accuracy_level,
    )


def _quantise_gather(graph: DecoderGraph, node: NodeProto, grid: Quantised) -> None:
    table, indices = node.input
    flat = graph.constant(f"{table}.rows", grid.packed.reshape(grid.rows, -1))
    graph.nodes.remove(node)
    graph.add(
        "GatherBlockQuantized",
        [flat, indices, f"{table}.scales"],
        list(node.output),
        domain=MICROSOFT,
        bits=grid.bits,
        block_size=grid.block,
        gather_axis=0,
        quantize_axis=1,
    )


def _set_types(graph: DecoderGraph, provider: Provider) -> None:
    """Bring float constants, inputs and outputs to the provider's type; logits stay float32."""
    wanted = helper.tensor_dtype_to_np_dtype(provider.float_type)
    for name, value in list(graph.constants.items()):
        if value.dtype.kind == "f" and value.dtype != wanted:
            cast = f"{name}.cast"
            graph.replace_uses(name, cast)
            graph.add("Cast", [name], [cast], to=provider.float_type)
    graph.inputs = [_typed(value, provider.float_type) for value in graph.inputs]
    logits, *presents = graph.outputs
    graph.outputs = [logits, *(_typed(value, provider.float_type) for value in presents)]
    if provider.float_type != TensorProto.FLOAT:
        producer = graph.producer("logits")
        assert producer is not None
        producer.output[0] = "logits.narrow"
        graph.add("Cast", ["logits.narrow"], ["logits"], to=TensorProto.FLOAT)


def _typed(value: ValueInfoProto, float_type: int) -> ValueInfoProto:
    kind = value.type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        return value
    dims = [d.dim_param or d.dim_value for d in kind.shape.dim]
    return helper.make_tensor_value_info(value.name, float_type, dims)
