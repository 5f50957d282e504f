"""Says where the daemon's own CUDA kernel (`daemon/cuda_kernel.cu`) finds a model's weights.

The kernel is written for one kind of decoder: Llama's, with heads of 64, products in 4-bit blocks
of 32 without biases, rotary positions and an embedding in such blocks too. `kernel_record` looks
whether the graph of a step is that, node by node; where it is not, the model is served without.
"""

import json
from collections.abc import Sequence
from typing import Any

from onnx import NodeProto, helper

from autocoder.daemon.cuda_kernel import BLOCK, HEAD
from autocoder.export.graph import DecoderGraph
from autocoder.export.weights import WeightsFile

LAYER = (
    *("MatMulNBits", "GroupQueryAttention", "MatMulNBits", "SkipSimplifiedLayerNormalization"),
    *("MatMulNBits", "Split", "Sigmoid", "Mul", "Mul", "MatMulNBits"),
    "SkipSimplifiedLayerNormalization",
)
START, END = ("GatherBlockQuantized", "SimplifiedLayerNormalization"), ("MatMulNBits",)
TOLD = ("Where", "ArgMax", "Softmax", "GatherElements", "Concat")
PASSING = ("Cast", "Gather")  # of what is there already
BLOCKS = {"bits": 4, "block_size": BLOCK}
ATTENTION = {"num_heads", "kv_num_heads", "do_rotary", "scale", "local_window_size"}


def kernel_record(step: DecoderGraph, weights: WeightsFile) -> str | None:
    """The JSON that `KernelRecord.read` reads; None where the kernel is not for this graph."""
    nodes = [node for node in step.nodes if node.op_type not in PASSING]
    count = sum(node.op_type == "GroupQueryAttention" for node in nodes)
    if [node.op_type for node in nodes] != [*START, *LAYER * count, *END, *TOLD]:
        return None
    layers = [nodes[2 + at * len(LAYER) :][: len(LAYER)] for at in range(count)]
    sizes = _sizes(step, nodes, layers)
    if sizes is None:
        return None
    place = _Places(step, weights)
    embedding, head = nodes[0], nodes[2 + count * len(LAYER)]
    norms = [nodes[1], *(layer[-1] for layer in layers)]  # the one behind a layer is the next's
    places = {
        "embedding": place(embedding.input[0]),
        "embedding_scales": place(embedding.input[2]),
        "cos": place(layers[0][1].input[7]),
        "sin": place(layers[0][1].input[8]),
        "norm": place(norms[-1].input[-1]),
        "head": place(head.input[1]),
        "head_scales": place(head.input[2]),
    }
    listed = [_layer(place, norm, nodes) for norm, nodes in zip(norms, layers, strict=False)]
    found = {"weights": weights.path.name, "sizes": sizes, "places": places, "layers": listed}
    return json.dumps(found, indent=1) + "\n"


class _Places:
    """Where the constants behind a node's input lie in the weights file."""

    def __init__(self, graph: DecoderGraph, weights: WeightsFile) -> None:
        self._graph, self._weights = graph, weights

    def __call__(self, name: str) -> int:
        while name not in self._graph.constants:  # narrowed at load
            producer = self._graph.producer(name)
            assert producer is not None and producer.op_type == "Cast"
            name = producer.input[0]
        return self._weights.place(self._graph.constants[name])


def _layer(place: _Places, norm: NodeProto, nodes: Sequence[NodeProto]) -> dict[str, int]:
    products = dict(zip(("qkv", "out", "gate_up", "down"), _products(nodes), strict=True))
    found = {"norm": place(norm.input[-1]), "second_norm": place(nodes[3].input[-1])}
    for name, product in products.items():
        found |= {name: place(product.input[1]), f"{name}_scales": place(product.input[2])}
    return found


def _products(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    return [node for node in nodes if node.op_type == "MatMulNBits"]


def _sizes(
    step: DecoderGraph, nodes: Sequence[NodeProto], layers: Sequence[Sequence[NodeProto]]
) -> dict[str, Any] | None:
    """The kernel's macros; None where the model has others than it can be compiled with."""
    products = _products(nodes)
    told = [_told(node) for node in products]
    attentions = [layer[1] for layer in layers]
    attention = _told(attentions[0])
    heads, kv_heads = attention["num_heads"], attention["kv_num_heads"]
    hidden, mlp, vocabulary = told[0]["K"], told[2]["N"] // 2, told[-1]["N"]
    shape = [(hidden, (heads + 2 * kv_heads) * HEAD), (heads * HEAD, hidden)]
    shape += [(hidden, 2 * mlp), (mlp, hidden)]
    epsilons = {_told(node)["epsilon"] for node in nodes if "epsilon" in _told(node)}
    alike = (
        [(each["K"], each["N"]) for each in told] == [*shape * len(layers), (hidden, vocabulary)],
        all(BLOCKS.items() <= each.items() for each in (_told(nodes[0]), *told)),
        all(len(list(filter(None, node.input))) == 3 for node in (nodes[0], *products)),
        all(_told(node) == attention and len(node.input) == 9 for node in attentions),
        _plainly_rotated(attention),
        hidden % BLOCK == mlp % BLOCK == heads % kv_heads == 0,
        len(epsilons) == 1,
        _gated(layers),
    )
    if not all(alike):
        return None
    names = {"HIDDEN": hidden, "HEADS": heads, "KV_HEADS": kv_heads, "MLP": mlp}
    return {**names, "VOCABULARY": vocabulary, "LAYERS": len(layers), "EPSILON": epsilons.pop()}


def _plainly_rotated(attention: dict[str, Any]) -> bool:
    """Rotary in halves, all of the past seen, scores over the root of the head's size."""
    scale, window = attention.get("scale", 0), attention.get("local_window_size", -1)
    plain = set(attention) <= ATTENTION and attention.get("do_rotary") == 1 and window == -1
    return bool(plain and scale in (0, HEAD**-0.5))


def _gated(layers: Sequence[Sequence[NodeProto]]) -> bool:
    """silu(first half) · second half."""
    for layer in layers:
        split, sigmoid, silu, gated = layer[5:9]
        gate, up = split.output
        if [*sigmoid.input] != [gate] or {*silu.input} != {gate, sigmoid.output[0]}:
            return False
        if {*gated.input} != {silu.output[0], up}:
            return False
    return True


def _told(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}
