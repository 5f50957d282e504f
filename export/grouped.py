"""Attention whose rounding does not depend on the number of new tokens, and faster for few of them.

GroupQueryAttention multiplies each query head by itself: for one new token that is a row times a
matrix, for which ONNX Runtime has a kernel of its own, whose sums round otherwise than those of
several rows. Here the G query heads that share a key's head are G rows of one product: a pass of
one token has as many rows as the kernel for several wants, results agree to the last bit, and each
key is read once instead of G times.

The operator itself sees G·T rows of as many heads as there are keys', not causal, behind a cache
into which the graph has written the new keys and values; a bias hides what lies beyond each row's
token. It demands more keys than rows, so it is shown (G + 1)·T at least, the rest hidden: a pass
may have no more than C / (G + 1) tokens, and B is 1. The query heads must lie in another order, in
which the weights before and behind are read; the session folds that at load, `weights.bin` stays.

Knows the names that `rewrite.py` gives; knows no quantisation but its blocks' layout.
"""

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto

from autocoder.daemon.engine_graph import KEYS_PER_TOKEN
from autocoder.export.graph import MICROSOFT, DecoderGraph, attribute


@dataclass(frozen=True)
class Heads:
    """The attention's heads: `queries`, `keys` (as many as values), each of `size` numbers."""

    queries: int
    keys: int
    size: int

    @property
    def group(self) -> int:
        """Query heads that share one of keys."""
        return self.queries // self.keys

    @property
    def order(self) -> list[int]:
        """The query heads in the order in which rows of all keys' heads lie one after another."""
        return [key * self.group + row for row in range(self.group) for key in range(self.keys)]


def group_queries(graph: DecoderGraph) -> bool:
    """Rewrite every attention in place; False where heads share no keys or cannot be reordered.

    Takes a graph in float32 or on a grid, before or behind `providers.for_provider`.
    """
    nodes = [node for node in graph.nodes if node.op_type == "GroupQueryAttention"]
    heads = _heads(graph, nodes)
    if heads is None:
        return False
    _add_places(graph, heads)
    _add_bias(graph, heads)
    for index, node in enumerate(nodes):
        _reorder_weights(graph, node, heads)
        _replace(graph, node, index, heads)
    graph.metadata[KEYS_PER_TOKEN] = str(heads.group + 1)
    graph.prune()
    return True


def _heads(graph: DecoderGraph, nodes: list[NodeProto]) -> Heads | None:
    """What all attentions have in common, or None where one is not of the kind to be grouped."""
    (cache,) = [value for value in graph.inputs if value.name == "past.0.key"]
    size = cache.type.tensor_type.shape.dim[3].dim_value
    found = {(attribute(n, "num_heads"), attribute(n, "kv_num_heads")) for n in nodes}
    packed = all(not node.input[1] for node in nodes)
    if len(found) != 1 or not packed or size % _block(graph):
        return None
    heads = Heads(*found.pop(), size)
    return heads if heads.group > 1 else None


def _block(graph: DecoderGraph) -> int:
    """How many weights share a scale: heads are moved in whole blocks. 1 without blocks."""
    products = [node for node in graph.nodes if node.op_type == "MatMulNBits"]
    return max((attribute(node, "block_size") for node in products), default=1)


def _add_places(graph: DecoderGraph, heads: Heads) -> None:
    """Where each new token stands, in the forms that the operators want."""
    for name, value in {"zero": 0, "one": 1, "third": [2]}.items():
        graph.constant(f"grouped/{name}", np.array(value, np.int64))
    for name, shape in {"column": [-1, 1], "flat": [1, -1], "deep": [1, 1, -1, 1]}.items():
        graph.constant(f"grouped/as_{name}", np.array(shape, np.int64))
    graph.constant("grouped/for_rows", np.zeros(heads.group, np.int64))
    graph.constant("grouped/for_keys", np.zeros(heads.keys, np.int64))
    graph.constant("grouped/along", np.array([[[0, 0, 1]]], np.int64))
    corners = np.zeros((1, heads.keys, 3), np.int64)
    corners[0, :, 1] = np.arange(heads.keys)
    graph.constant("grouped/corners", corners)
    graph.add("Cast", ["past_length"], ["grouped/past"], to=TensorProto.INT64)
    graph.add("Add", ["grouped/past", "lengths/new_64"], ["grouped/total"])
    graph.add("Range", ["grouped/past", "grouped/total", "grouped/one"], ["grouped/positions"])
    graph.add("Reshape", ["grouped/positions", "grouped/as_column"], ["grouped/column"])
    graph.add("Add", ["grouped/column", "grouped/for_keys"], ["grouped/key_positions"])
    graph.add("Add", ["grouped/column", "grouped/for_rows"], ["grouped/of_rows"])
    graph.add("Reshape", ["grouped/of_rows", "grouped/as_flat"], ["grouped/row_positions"])
    graph.add("Unsqueeze", ["grouped/column", "grouped/third"], ["grouped/depth"])
    graph.add("Mul", ["grouped/depth", "grouped/along"], ["grouped/shifts"])
    graph.add("Add", ["grouped/shifts", "grouped/corners"], ["grouped/slots"])


def _add_bias(graph: DecoderGraph, heads: Heads) -> None:
    """How many keys the operator is shown, and the bias (1, 1, rows, keys): 0, or -inf to hide.

    Where there are fewer keys than rows, more are shown, and hidden.
    """
    graph.constant("grouped/needed", np.array(heads.group + 1, np.int64))
    graph.constant("grouped/hidden", np.array(-np.inf, np.float32))
    graph.constant("grouped/seen", np.array(0, np.float32))
    graph.add("Mul", ["lengths/new_64", "grouped/needed"], ["grouped/least"])
    graph.add("Max", ["grouped/total", "grouped/least"], ["grouped/shown"])
    graph.add("Cast", ["grouped/shown"], ["grouped/length"], to=TensorProto.INT32)
    graph.add("Sub", ["grouped/shown", "grouped/one"], ["grouped/last"])
    graph.add("Cast", ["grouped/last"], ["grouped/seqlens"], to=TensorProto.INT32)
    graph.add("Range", ["grouped/zero", "grouped/shown", "grouped/one"], ["grouped/keys"])
    graph.add("Reshape", ["grouped/of_rows", "grouped/as_deep"], ["grouped/limits"])
    graph.add("Greater", ["grouped/keys", "grouped/limits"], ["grouped/beyond"])
    graph.add("Where", ["grouped/beyond", "grouped/hidden", "grouped/seen"], ["grouped/bias"])


def _replace(graph: DecoderGraph, node: NodeProto, index: int, heads: Heads) -> None:
    """Write the new keys and values into the cache, then let every row look at all of it."""
    name = f"grouped.{index}"
    packed, past_key, past_value = node.input[0], node.input[3], node.input[4]
    tables = list(node.input[7:9])
    result, key, value = node.output
    count = heads.queries + 2 * heads.keys
    graph.constant("grouped/heads", np.array([-1, count, heads.size], np.int64))
    graph.constant("grouped/parts", np.array([heads.queries, heads.keys, heads.keys], np.int64))
    graph.constant("grouped/rows_shape", np.array([1, -1, heads.keys * heads.size], np.int64))
    graph.constant("grouped/shape", np.array([1, -1, heads.queries * heads.size], np.int64))
    graph.constant("grouped/no_keys", np.zeros((1, 0, heads.keys * heads.size), np.float32))
    graph.nodes.remove(node)
    graph.add("Reshape", [packed, "grouped/heads"], [f"{name}.heads"])
    parts = [f"{name}.{part}" for part in ("query", "key", "value")]
    graph.add("Split", [f"{name}.heads", "grouped/parts"], parts, axis=1)
    if tables:
        turned = ["grouped/key_positions", *tables]
        graph.add("RotaryEmbedding", [parts[1], *turned], [f"{name}.turned"], domain=MICROSOFT)
        parts[1] = f"{name}.turned"
    graph.add("ScatterND", [past_key, "grouped/slots", parts[1]], [key])
    graph.add("ScatterND", [past_value, "grouped/slots", parts[2]], [value])
    graph.add("Reshape", [parts[0], "grouped/rows_shape"], [f"{name}.rows"])
    inputs = [f"{name}.rows", "grouped/no_keys", "grouped/no_keys", key, value]
    inputs += ["grouped/seqlens", "grouped/length", *(tables or ["", ""])]
    inputs += ["grouped/row_positions" if tables else "", "grouped/bias"]
    attributes = {a.name: attribute(node, a.name) for a in node.attribute}
    attributes |= {"num_heads": heads.keys, "causal": 0}
    graph.add(node.op_type, inputs, [f"{name}.seen"], domain=MICROSOFT, **attributes)
    graph.add("Reshape", [f"{name}.seen", "grouped/shape"], [result])


def _reorder_weights(graph: DecoderGraph, node: NodeProto, heads: Heads) -> None:
    """Give the product before an attention the heads' order as outputs, that behind as inputs."""
    rest = range(heads.queries, heads.queries + 2 * heads.keys)
    before = graph.producer(node.input[0])
    assert before is not None
    order = [*heads.order, *rest]
    if before.op_type == "Add":  # a bias behind the product
        at = next(i for i, name in enumerate(before.input) if name in graph.constants)
        before.input[at] = _reordered(graph, before.input[at], 0, order)
        before = graph.producer(before.input[1 - at])
        assert before is not None
    _reorder(graph, before, order, outputs=True)
    (behind,) = graph.consumers(node.output[0])
    if behind.op_type == "Gather":  # only the wanted rows go on
        (behind,) = graph.consumers(behind.output[0])
    _reorder(graph, behind, heads.order, outputs=False)


def _reorder(graph: DecoderGraph, product: NodeProto, order: list[int], *, outputs: bool) -> None:
    """MatMul has its weight as (K, N), MatMulNBits as (N, K/block, …) with scales (N, K/block)."""
    if product.op_type == "MatMul":
        product.input[1] = _reordered(graph, product.input[1], int(outputs), order)
        return
    for at in (1, 2):
        product.input[at] = _reordered(graph, product.input[at], int(not outputs), order)


def _reordered(graph: DecoderGraph, tensor: str, axis: int, order: list[int]) -> str:
    """A constant, or a Cast of one, whose `axis` is cut into as many parts as `order` lists."""
    shape = graph.constants[tensor.removesuffix(".cast")].shape
    parts = [*shape[:axis], len(order), -1]
    name = f"{tensor}.ordered"
    order_name = graph.constant(f"grouped/order_of_{len(order)}", np.array(order, np.int64))
    cut = graph.constant(f"{name}/cut", np.array(parts, np.int64))
    whole = graph.constant(f"{name}/whole", np.array(shape, np.int64))
    graph.add("Reshape", [tensor, cut], [f"{name}/parts"])
    graph.add("Gather", [f"{name}/parts", order_name], [f"{name}/moved"], axis=axis)
    return graph.add("Reshape", [f"{name}/moved", whole], [name])
