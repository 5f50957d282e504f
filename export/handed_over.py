"""Weights that no file holds: the daemon makes them at load from blocks in `weights.bin`.

The graph names them without data (`promised`), and a list beside it says where the blocks lie
(`record`, read by `daemon/engine_prefill.py`). Knows block products; not what is made of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from onnx import TensorProto

from autocoder.daemon.engine_prefill import StoredProduct
from autocoder.export.graph import DecoderGraph
from autocoder.export.quantise import Quantised
from autocoder.export.weights import WeightsFile

MADE_AT_LOAD = "made-at-load"  # the file that the graph names for what no file holds
PACKED = ".packed"


def products(graph: DecoderGraph) -> dict[str, str]:
    """The names of the weights that a graph has in blocks, by the product's output."""
    nodes = [node for node in graph.nodes if node.op_type == "MatMulNBits"]
    return {node.output[0]: node.input[1].removesuffix(PACKED) for node in nodes}


def promised(name: str, kind: int, shape: tuple[int, ...], size: int) -> TensorProto:
    """An initializer without data: the daemon makes its elements, of `size` bytes each."""
    tensor = TensorProto(name=name, data_type=kind, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    place = {"location": MADE_AT_LOAD, "offset": 0, "length": int(np.prod(shape)) * size}
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def record(
    names: Sequence[str],
    graph: DecoderGraph,
    grids: Mapping[str, Quantised],
    weights: WeightsFile,
) -> str:
    """The JSON that `PrefillWeights.read` reads: where the grid of each weight lies."""
    lines = ",\n".join(
        json.dumps(asdict(_stored(name, graph, grids[name], weights))) for name in names
    )
    return f'{{"weights": "{weights.path.name}", "products": [\n{lines}\n]}}\n'


def _stored(name: str, graph: DecoderGraph, grid: Quantised, weights: WeightsFile) -> StoredProduct:
    packed = weights.place(graph.constants[f"{name}{PACKED}"])
    scales = weights.place(graph.constants[f"{name}.scales"])
    return StoredProduct(name, grid.bits, grid.rows, grid.columns, packed, scales, grid.block)
