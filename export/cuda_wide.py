"""CUDA's graph for passes of more than one token: products with float16 weights, made at load.

With one token MatMulNBits reads its 4-bit blocks as they are; with more, ONNX Runtime spreads a
whole weight out in float16 before every product, which costs more than the product. So the daemon
spreads them out once, from the blocks in `weights.bin` (`autocoder.daemon.cuda_weights`), whose
places `cuda-wide.json` lists. The other nodes are those of `cuda-step.onnx`.
"""

from collections.abc import Iterator, Mapping

from onnx import NodeProto, TensorProto

from autocoder.export.graph import DecoderGraph
from autocoder.export.handed_over import PACKED, products, promised
from autocoder.export.quantise import Quantised

WIDE = "cuda-wide"


def wide_graph(step: DecoderGraph) -> DecoderGraph:
    """A copy of the step's graph with every block product as a plain one."""
    made = step.copy()
    for node in made.nodes:
        if node.op_type == "MatMulNBits":
            spread = NodeProto(name=node.name, op_type="MatMul")
            spread.input.extend([node.input[0], _half(node)])
            spread.output.extend(node.output)
            node.CopyFrom(spread)
    made.prune()
    return made


def _half(node: NodeProto) -> str:
    return f"{node.input[1].removesuffix(PACKED)}.half"


def spread_at_load(step: DecoderGraph, grids: Mapping[str, Quantised]) -> Iterator[TensorProto]:
    """Initializers without data, for what the daemon makes: (K, N) float16."""
    for name in products(step).values():
        grid = grids[name]
        yield promised(f"{name}.half", TensorProto.FLOAT16, (grid.columns, grid.rows), 2)
