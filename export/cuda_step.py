"""CUDA's graphs for serving: a pass that ends in the chosen tokens, and the choice where it is not
the plain one.

`cuda-step.onnx` is `cuda.onnx` with another head and another way of saying lengths. What a captured
CUDA graph reads must lie at fixed addresses on the device, and nothing in it may pass through the
host: so lengths come in as the operator wants them, `last` (B,) being the place of each sequence's
last new token and `most` (1,), on the CPU, the longest that a sequence may be; models with learnt
positions take `positions` (B, T). `allowed` (B, R, V) says which tokens each row may choose. Out
come `told` (B, R, 2), the most probable token of each row among those and its probability, and the
`logits` (B, R, V), which stay on the device.

`cuda-choose.onnx` chooses anew from such logits, for the N rows `which`: among the tokens
`allowed`, with those `seen` made less likely, drawn as the columns HOW of `how` say, the last being
a number in 0…1 by which it is decided. At most RANKED tokens take part in a draw.

Knows the contract of docs/architecture.md; knows no daemon.
"""

import numpy as np
from onnx import TensorProto, helper

from autocoder.export.graph import DecoderGraph

STEP, CHOOSE = "cuda-step", "cuda-choose"
RANKED = 256  # of the most probable tokens, those that can be drawn
OPSET = 18
HOW = ("penalty", "temperature", "top_k", "top_p", "chance")  # columns of an input
NEVER = -1e30  # a logit without a chance
LENGTHS = ("seqlens_k", "total_sequence_length", "positions")  # made by the host instead


def step_graph(cuda: DecoderGraph) -> DecoderGraph:
    """A copy of the graph for CUDA that takes lengths as they are and chooses by itself."""
    made = cuda.copy()
    learnt = any("positions" in node.input for node in made.nodes)
    made.nodes = [node for node in made.nodes if not set(LENGTHS) & set(node.output)]
    made.replace_uses("seqlens_k", "last")
    made.replace_uses("total_sequence_length", "most")
    _greedy(made)
    value = helper.make_tensor_value_info
    ids, rows, *caches = (each for each in made.inputs if each.name != "past_length")
    vocabulary = made.outputs[0].type.tensor_type.shape.dim[-1].dim_value
    allowed = value("allowed", TensorProto.BOOL, ["B", "R", vocabulary])
    places = [value("positions", TensorProto.INT64, ["B", "T"])] if learnt else []
    lengths = [value("last", TensorProto.INT32, ["B"]), value("most", TensorProto.INT32, [1])]
    made.inputs = [ids, *lengths, *places, rows, allowed, *caches]
    made.outputs = [value("told", TensorProto.FLOAT, ["B", "R", 2]), *made.outputs]
    made.prune()
    return made


def _greedy(graph: DecoderGraph) -> None:
    """`told`: the argmax of every row of logits, and the softmax there. No ReduceMax: where there
    is more than one row, CUDA's takes a millisecond for it."""
    never = graph.constant("told/never", np.array(NEVER, np.float32))
    graph.add("Where", ["allowed", "logits", never], ["told/agreeing"])
    graph.add("ArgMax", ["told/agreeing"], ["told/token"], axis=-1, keepdims=1)
    graph.add("Softmax", ["told/agreeing"], ["told/shares"], axis=-1)
    graph.add("GatherElements", ["told/shares", "told/token"], ["told/chance"], axis=-1)
    graph.add("Cast", ["told/token"], ["told/number"], to=TensorProto.FLOAT)  # exact below 2^24
    graph.add("Concat", ["told/number", "told/chance"], ["told"], axis=-1)


def choosing_graph(vocabulary: int) -> DecoderGraph:
    """The graph that chooses from logits (M, V), without weights."""
    graph = DecoderGraph(opset=OPSET)
    value, whole = helper.make_tensor_value_info, TensorProto.INT64
    graph.inputs = [
        value("logits", TensorProto.FLOAT, ["M", vocabulary]),
        value("which", whole, ["N"]),
        value("allowed", TensorProto.BOOL, ["N", vocabulary]),
        value("seen", whole, ["N", "S"]),
        value("how", TensorProto.FLOAT, ["N", len(HOW)]),
    ]
    ranked = min(RANKED, vocabulary)
    _weigh(graph)
    _draw(graph, ranked)
    graph.outputs = [
        value("told", TensorProto.FLOAT, ["N", 2]),
        value("ranked", whole, ["N", ranked]),
        value("shares_of", TensorProto.FLOAT, ["N", ranked]),
    ]
    graph.prune()
    return graph


def _weigh(graph: DecoderGraph) -> None:
    """`agreeing`: the rows' logits where allowed; `weighed`: with the penalty on what was seen."""
    never = graph.constant("never", np.array(NEVER, np.float32))
    zero = graph.constant("zero", np.array(0, np.float32))
    graph.add("Split", ["how"], list(HOW), axis=1, num_outputs=len(HOW))
    graph.add("Gather", ["logits", "which"], ["rows"], axis=0)
    graph.add("Where", ["allowed", "rows", never], ["agreeing"])
    graph.add("GatherElements", ["agreeing", "seen"], ["old"], axis=1)
    graph.add("Greater", ["old", zero], ["positive"])
    graph.add("Div", ["old", "penalty"], ["smaller"])
    graph.add("Mul", ["old", "penalty"], ["lower"])
    graph.add("Where", ["positive", "smaller", "lower"], ["new"])
    graph.add("ScatterElements", ["agreeing", "seen", "new"], ["weighed"], axis=1)


def _draw(graph: DecoderGraph, ranked: int) -> None:
    """Inverse transform sampling among the ranked tokens that `top_k` and `top_p` leave."""
    last = graph.constant("last_axis", np.array([-1], np.int64))
    axis = graph.constant("axis", np.array(1, np.int64))
    never, zero = "never", "zero"
    graph.add("Div", ["weighed", "temperature"], ["scaled"])
    count = graph.constant("count", np.array([ranked], np.int64))
    graph.add("TopK", ["scaled", count], ["values", "ranked"], axis=1)
    places = graph.constant("places", np.arange(ranked, dtype=np.float32)[None, :])
    graph.add("Less", [places, "top_k"], ["in_k"])
    graph.add("Where", ["in_k", "values", never], ["kept"])
    graph.add("Softmax", ["kept"], ["shares"], axis=1)
    graph.add("CumSum", ["shares", axis], ["reached"])
    graph.add("Sub", ["reached", "shares"], ["before"])
    graph.add("Less", ["before", "top_p"], ["in_p"])
    first = graph.constant("first", np.arange(ranked)[None, :] == 0)
    graph.add("Or", ["in_p", first], ["inside"])
    graph.add("Where", ["inside", "shares", zero], ["masses"])
    graph.add("CumSum", ["masses", axis], ["sums"])
    graph.add("ReduceMax", ["sums", last], ["sum"], keepdims=1)
    graph.add("Mul", ["sum", "chance"], ["drawn"])
    graph.add("LessOrEqual", ["sums", "drawn"], ["passed"])
    graph.add("And", ["passed", "inside"], ["skipped"])
    graph.add("Cast", ["skipped"], ["skips"], to=TensorProto.FLOAT)
    graph.add("ReduceSum", ["skips", last], ["skipping"], keepdims=1)
    graph.add("Cast", ["inside"], ["insides"], to=TensorProto.FLOAT)
    graph.add("ReduceSum", ["insides", last], ["number"], keepdims=1)
    one = graph.constant("one", np.array(1, np.float32))
    graph.add("Sub", ["number", one], ["highest"])
    graph.add("Min", ["skipping", "highest"], ["place_of"])
    graph.add("Cast", ["place_of"], ["place"], to=TensorProto.INT64)
    graph.add("GatherElements", ["ranked", "place"], ["token"], axis=1)
    graph.add("Softmax", ["agreeing"], ["chances"], axis=1)
    graph.add("GatherElements", ["chances", "token"], ["probability"], axis=1)
    graph.add("GatherElements", ["chances", "ranked"], ["shares_of"], axis=1)
    graph.add("Cast", ["token"], ["token_float"], to=TensorProto.FLOAT)
    graph.add("Concat", ["token_float", "probability"], ["told"], axis=1)
