"""The CPU's graph for many tokens at once: products in int8, one scale a row and a column.

MatMulNBits multiplies blocks of weights with a scale each, which suits one token; from about
sixteen on, whole rows in int8 are two to three times as fast (tests/benchmarks/prefill_graph.py).
Activations are scaled to 127 row by row as they come, so a token's result does not depend on which
others share its pass. The int8 weights are not stored: `daemon/engine_prefill.py` makes them from
the blocks at load, from the places that `cpu-prefill.json` lists. The head keeps its blocks, for
serving asks for one row of logits.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from onnx import NodeProto, TensorProto

from autocoder.daemon.engine_prefill import LARGEST
from autocoder.export.graph import MICROSOFT, DecoderGraph
from autocoder.export.handed_over import PACKED, products, promised
from autocoder.export.quantise import Quantised

HEAD = "logits"


def prefill_graph(cpu: DecoderGraph) -> DecoderGraph:
    """A copy of the CPU's graph with every block product but the head's in int8."""
    made = cpu.copy()
    made.constant("row/axis", np.array([-1], np.int64))
    made.constant("row/least", np.array(1e-9, np.float32))  # of a row of zeros
    made.constant("row/step", np.array(1 / LARGEST, np.float32))
    made.constant("row/zero", np.array(128, np.uint8))
    scaled: dict[str, tuple[str, str]] = {}
    for node in list(made.nodes):
        if node.op_type == "MatMulNBits" and node.output[0] != HEAD:
            _replace_product(made, node, scaled)
    made.prune()
    return made


def _replace_product(
    graph: DecoderGraph, node: NodeProto, scaled: dict[str, tuple[str, str]]
) -> None:
    source, packed, _ = node.input
    if source not in scaled:
        scaled[source] = _scale_rows(graph, source)
    steps, largest = scaled[source]
    (result,) = node.output
    weight = packed.removesuffix(PACKED)
    graph.nodes.remove(node)
    graph.add(
        "MatMulIntegerToFloat",
        [steps, f"{weight}.int8", "row/step", f"{weight}.channels", "row/zero"],
        [f"{result}/of_scaled"],
        domain=MICROSOFT,
    )
    graph.add("Mul", [f"{result}/of_scaled", largest], [result])


def _scale_rows(graph: DecoderGraph, source: str) -> tuple[str, str]:
    """The rows of a tensor as steps of a 127th of their largest magnitude; that magnitude."""
    name = f"{source}/rows"
    graph.add("Abs", [source], [f"{name}/abs"])
    graph.add("ReduceMax", [f"{name}/abs", "row/axis"], [f"{name}/max"], keepdims=1)
    graph.add("Add", [f"{name}/max", "row/least"], [f"{name}/largest"])
    graph.add("Div", [source, f"{name}/largest"], [f"{name}/scaled"])
    graph.add("QuantizeLinear", [f"{name}/scaled", "row/step", "row/zero"], [f"{name}/steps"])
    return f"{name}/steps", f"{name}/largest"


def made_at_load(cpu: DecoderGraph, grids: Mapping[str, Quantised]) -> Iterator[TensorProto]:
    """Initializers without data, for what the daemon makes; ONNX Runtime takes them from it."""
    for name in prefilled(cpu):
        grid = grids[name]
        yield promised(f"{name}.int8", TensorProto.INT8, (grid.columns, grid.rows), 1)
        yield promised(f"{name}.channels", TensorProto.FLOAT, (grid.rows,), 4)


def prefilled(cpu: DecoderGraph) -> list[str]:
    """The names of the weights that are multiplied in int8: all but the head's."""
    return [name for output, name in products(cpu).items() if output != HEAD]
