"""Optimum's decoder becomes ours: the graph contract of docs/architecture.md.

The passes find modules by their paths (`families.py`, `locate.py`), put fused operators in their
place and let `prune` drop what is no longer needed: optimum's masks, rotary tables, transposes and
concatenated caches. What stays from optimum is the weights, the residual additions and the
feed-forward's activation. Knows no quantisation and no provider: all is float32 here.
"""

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto, helper

from autocoder.daemon.errors import ModelError
from autocoder.export.families import Family
from autocoder.export.graph import MICROSOFT, Array, DecoderGraph, attribute
from autocoder.export.locate import Linear, boundary, linear, norm


@dataclass(frozen=True)
class Shape:
    """The numbers that the attention operator and the cache need."""

    layers: int
    heads: int
    kv_heads: int
    head_size: int


@dataclass(frozen=True)
class Rotary:
    """Cosines and sines of the rotary angles, each (context, head_size / 2) float32."""

    cos: Array
    sin: Array


@dataclass(frozen=True)
class Fusions:
    """Which optional fusions to apply; the defaults are what measured fastest."""

    packed_qkv: bool = True
    gate_up: bool = True
    skip_norm: bool = True


def rewrite(
    graph: DecoderGraph,
    family: Family,
    shape: Shape,
    rotary: Rotary | None,
    fusions: Fusions | None = None,
) -> DecoderGraph:
    """Apply every pass to optimum's graph, in place; returns it. Raises ModelError where the graph
    is not of the family's shape."""
    chosen = fusions or Fusions()
    _add_lengths(graph)
    _embed(graph, family)
    for index in range(shape.layers):
        scope = family.layer.format(index)
        _replace_feed_forward(graph, family, scope, chosen)
        attended = _replace_attention(graph, family, scope, shape, index, rotary, chosen)
        if index == shape.layers - 1:
            _select_rows(graph, attended)
        _replace_norm(graph, f"{scope}/{family.attention_norm}")
        _replace_norm(graph, f"{scope}/{family.feed_forward_norm}")
    _replace_head(graph, family)
    _set_inputs_and_outputs(graph, shape)
    graph.prune()
    if chosen.skip_norm:
        _fuse_skips(graph)
        graph.prune()
    return graph


def _add_lengths(graph: DecoderGraph) -> None:
    """`seqlens_k` (B,) int32 = past_length + T − 1 and `total_sequence_length`, its largest + 1."""
    one = graph.constant("lengths/one", np.array(1, np.int32))
    graph.add("Shape", ["input_ids"], ["lengths/new_64"], start=1, end=2)
    graph.add("Cast", ["lengths/new_64"], ["lengths/new"], to=TensorProto.INT32)
    graph.add("Add", ["past_length", "lengths/new"], ["lengths/total"])
    graph.add("Sub", ["lengths/total", one], ["seqlens_k"])
    graph.add("ReduceMax", ["lengths/total"], ["total_sequence_length"], keepdims=0)


def _embed(graph: DecoderGraph, family: Family) -> None:
    _gather(graph, family.embedding, "input_ids", "embedding")
    if family.positions is not None:
        _add_positions(graph)
        _gather(graph, family.positions, "positions", "position_embedding")


def _gather(graph: DecoderGraph, scope: str, indices: str, name: str) -> None:
    (node,) = [n for n in graph.scope(scope) if n.op_type == "Gather"]
    table = graph.constant(f"{name}.weight", graph.constants[node.input[0]])
    graph.replace_uses(node.output[0], graph.add("Gather", [table, indices], [name]))


def _add_positions(graph: DecoderGraph) -> None:
    """`positions` (B, T) int64 = past_length + 0…T−1."""
    zero = graph.constant("positions/zero", np.array(0, np.int64))
    one = graph.constant("positions/one", np.array(1, np.int64))
    last = graph.constant("positions/last_axis", np.array([1], np.int64))
    graph.add("Squeeze", ["lengths/new_64"], ["positions/new"])
    graph.add("Range", [zero, "positions/new", one], ["positions/steps"])
    graph.add("Cast", ["past_length"], ["positions/past_64"], to=TensorProto.INT64)
    graph.add("Unsqueeze", ["positions/past_64", last], ["positions/past"])
    graph.add("Add", ["positions/past", "positions/steps"], ["positions"])


def _emit(graph: DecoderGraph, name: str, source: str, weight: Array, bias: Array | None) -> str:
    """One MatMul, and an Add where there is a bias; returns the result's name."""
    product = name if bias is None else f"{name}/product"
    graph.add("MatMul", [source, graph.constant(f"{name}.weight", weight)], [product])
    if bias is not None:
        graph.add("Add", [product, graph.constant(f"{name}.bias", bias)], [name])
    return name


def _fused(parts: list[Linear]) -> tuple[Array, Array | None]:
    """Several layers of one input as one: outputs side by side."""
    weight = np.concatenate([part.weight for part in parts], axis=1)
    if all(part.bias is None for part in parts):
        return weight, None
    biases = [
        np.zeros(part.weight.shape[1], np.float32) if part.bias is None else part.bias
        for part in parts
    ]
    return weight, np.concatenate(biases)


def _replace_attention(
    graph: DecoderGraph,
    family: Family,
    scope: str,
    shape: Shape,
    index: int,
    rotary: Rotary | None,
    fusions: Fusions,
) -> str:
    """Everything between the projections becomes GroupQueryAttention; returns its result."""
    parts = [linear(graph, f"{scope}/{name}") for name in family.qkv]
    out = linear(graph, f"{scope}/{family.attention_out}")
    name = f"layer.{index}.attention"
    source = parts[0].input
    if len(parts) == 1 or fusions.packed_qkv:
        weight, bias = _fused(parts)
        _check_width(weight, shape, scope)
        queries = [_emit(graph, f"layer.{index}.qkv", source, weight, bias), "", ""]
    else:
        queries = [
            _emit(graph, f"layer.{index}.{letter}", source, part.weight, part.bias)
            for letter, part in zip("qkv", parts, strict=True)
        ]
    tables = [] if rotary is None else _rotary_tables(graph, rotary)
    graph.add(
        "GroupQueryAttention",
        [
            *queries,
            f"past.{index}.key",
            f"past.{index}.value",
            "seqlens_k",
            "total_sequence_length",
            *tables,
        ],
        [name, f"present.{index}.key", f"present.{index}.value"],
        domain=MICROSOFT,
        num_heads=shape.heads,
        kv_num_heads=shape.kv_heads,
        do_rotary=int(rotary is not None),
    )
    made = _emit(graph, f"layer.{index}.attention_out", name, out.weight, out.bias)
    graph.replace_uses(out.output, made)
    return name


def _check_width(weight: Array, shape: Shape, scope: str) -> None:
    width = (shape.heads + 2 * shape.kv_heads) * shape.head_size
    if weight.shape[1] != width:
        raise ModelError(
            f"the projections of {scope} have {weight.shape[1]} outputs where the config's heads "
            f"need {width}; cannot export this model"
        )


def _rotary_tables(graph: DecoderGraph, rotary: Rotary) -> list[str]:
    return [graph.constant("rotary.cos", rotary.cos), graph.constant("rotary.sin", rotary.sin)]


def _select_rows(graph: DecoderGraph, attended: str) -> None:
    """After the last attention only the wanted rows go on: its result, and the residual beside it.

    The last feed-forward and the head then cost as many tokens as logits are asked for.
    """
    (out,) = graph.consumers(attended)
    result = out.output[0]
    (follower,) = graph.consumers(result)
    if follower.op_type == "Add" and follower.output[0].endswith("attention_out"):
        result = follower.output[0]
        (follower,) = graph.consumers(result)
    (at,) = [i for i, name in enumerate(follower.input) if name != result]
    residual = follower.input[at]
    follower.input[at] = graph.add("Gather", [residual, "rows"], ["rows/residual"], axis=1)
    out.input[0] = graph.add("Gather", [attended, "rows"], ["rows/attended"], axis=1)


def _replace_feed_forward(
    graph: DecoderGraph, family: Family, scope: str, fusions: Fusions
) -> None:
    index = scope.rsplit(".", 1)[1]
    down = "mlp/c_proj" if family.activation else "mlp/down_proj"
    names = [*family.gate_up, down] if family.gate_up else ["mlp/c_fc", down]
    parts = {name: linear(graph, f"{scope}/{name}") for name in names}
    halves = [parts[name] for name in family.gate_up]
    if halves and fusions.gate_up:
        _emit_halves(graph, f"layer.{index}.gate_up", halves)
        del parts[family.gate_up[0]], parts[family.gate_up[1]]
    for name, part in parts.items():
        made = _emit(graph, f"layer.{index}.{name[4:]}", part.input, part.weight, part.bias)
        graph.replace_uses(part.output, made)
    if family.activation:
        _replace_activation(graph, f"{scope}/{family.activation}", f"layer.{index}.gelu")


def _emit_halves(graph: DecoderGraph, name: str, halves: list[Linear]) -> None:
    """Gate and up projection as one product, then split."""
    weight, bias = _fused(halves)
    both = _emit(graph, name, halves[0].input, weight, bias)
    names = [f"{name}/gate", f"{name}/up"]
    graph.add("Split", [both], names, axis=-1, num_outputs=2)
    for half, made in zip(halves, names, strict=True):
        graph.replace_uses(half.output, made)


def _replace_activation(graph: DecoderGraph, scope: str, name: str) -> None:
    """The tanh approximation of GELU, traced as eight nodes, becomes FastGelu."""
    if not any(node.op_type == "Tanh" for node in graph.scope(scope)):
        return
    (source,), (result,) = boundary(graph, scope)
    graph.replace_uses(result, graph.add("FastGelu", [source], [name], domain=MICROSOFT))


def _replace_norm(graph: DecoderGraph, scope: str) -> str:
    found = norm(graph, scope)
    name = scope.strip("/").replace("/", ".")
    gains = [found.weight] if found.bias is None else [found.weight, found.bias]
    kind = "SimplifiedLayerNormalization" if found.bias is None else "LayerNormalization"
    graph.add(kind, [found.input, *gains], [name], axis=-1, epsilon=found.epsilon)
    graph.replace_uses(found.output, name)
    return name


def _replace_head(graph: DecoderGraph, family: Family) -> None:
    """The final norm's result times the head's weight; the embedding itself where they are tied."""
    hidden = _replace_norm(graph, family.final_norm)
    (node,) = [n for n in graph.scope(family.head) if n.op_type == "MatMul"]
    transposed = graph.producer(node.input[1])
    if transposed is not None:  # optimum found the weights tied and transposes the embedding
        weight = graph.constants[transposed.input[0]].T
    else:
        weight = graph.constants[node.input[1]]
    bias = None
    node.output[0] = "optimum.logits"
    _emit(graph, "logits", hidden, weight, bias)


def _set_inputs_and_outputs(graph: DecoderGraph, shape: Shape) -> None:
    cache: list[str | int | None] = ["B", shape.kv_heads, "C", shape.head_size]
    pairs = [f"{i}.{part}" for i in range(shape.layers) for part in ("key", "value")]
    value = helper.make_tensor_value_info
    graph.inputs = [
        value("input_ids", TensorProto.INT64, ["B", "T"]),
        value("past_length", TensorProto.INT32, ["B"]),
        value("rows", TensorProto.INT64, ["R"]),
        *(value(f"past.{pair}", TensorProto.FLOAT, cache) for pair in pairs),
    ]
    vocabulary = graph.constants["logits.weight"].shape[1]
    graph.outputs = [
        value("logits", TensorProto.FLOAT, ["B", "R", vocabulary]),
        *(value(f"present.{pair}", TensorProto.FLOAT, cache) for pair in pairs),
    ]


def _fuse_skips(graph: DecoderGraph) -> None:
    """A residual addition and the norm after it become one node with two results."""
    for node in list(graph.nodes):
        if not node.op_type.endswith("LayerNormalization"):
            continue
        addition = graph.producer(node.input[0])
        if addition is None or addition.op_type != "Add":
            continue
        if any(name in graph.constants for name in addition.input):
            continue
        _fuse_skip(graph, addition.output[0], list(addition.input), node)


def _fuse_skip(graph: DecoderGraph, total: str, terms: list[str], node: NodeProto) -> None:
    name = f"{node.output[0]}.sum"
    kind = "Skip" + node.op_type
    epsilon = float(attribute(node, "epsilon"))
    outputs = [f"{node.output[0]}.normed", "", "", name]
    graph.add(kind, [*terms, *node.input[1:]], outputs, domain=MICROSOFT, epsilon=epsilon)
    graph.replace_uses(node.output[0], outputs[0])
    graph.nodes.remove(node)
    graph.replace_uses(total, name)
