"""Finds linear layers, norms and module boundaries in a traced graph. Changes nothing.

A traced linear layer looks different in every family (MatMul and Add; Gemm between two Reshapes),
so what is found is returned in one form: input tensor, weight (K, N), bias or None, output tensor.
"""

from dataclasses import dataclass

from onnx import NodeProto

from autocoder.daemon.errors import ModelError
from autocoder.export.graph import Array, DecoderGraph, attribute, scalar


@dataclass(frozen=True)
class Linear:
    """output = input @ weight + bias; weight is (K, N)."""

    input: str
    weight: Array
    bias: Array | None
    output: str


@dataclass(frozen=True)
class Norm:
    """A normalisation over the last axis: RMSNorm where `bias` is None, else LayerNorm."""

    input: str
    weight: str
    bias: str | None
    epsilon: float
    output: str


def boundary(graph: DecoderGraph, scope: str) -> tuple[list[str], list[str]]:
    """The tensors that enter a module (no constants) and those that leave it."""
    inside = graph.scope(scope)
    if not inside:
        raise ModelError(
            f"the exported graph has no module {scope}; is optimum-onnx 0.1.0 installed?"
        )
    names = {id(node) for node in inside}
    made = {name for node in inside for name in node.output}
    read = [name for node in inside for name in node.input if name]
    enters = [n for n in dict.fromkeys(read) if n not in made and n not in graph.constants]
    outside = {name for node in graph.nodes if id(node) not in names for name in node.input}
    leaves = [n for node in inside for n in node.output if n in outside]
    return enters, leaves


def linear(graph: DecoderGraph, scope: str) -> Linear:
    """The linear layer that a module computes. Raises ModelError where it is none."""
    enters, leaves = boundary(graph, scope)
    node = _product(graph, scope)
    if len(leaves) != 1:
        raise ModelError(f"module {scope} has {len(leaves)} results, not one; cannot export it")
    return Linear(enters[0], _weight(graph, node), _bias(graph, scope, node), leaves[0])


def _product(graph: DecoderGraph, scope: str) -> NodeProto:
    found = [n for n in graph.scope(scope) if n.op_type in ("MatMul", "Gemm")]
    if len(found) != 1 or found[0].input[1] not in graph.constants:
        raise ModelError(f"module {scope} is no linear layer; cannot export it")
    return found[0]


def _weight(graph: DecoderGraph, node: NodeProto) -> Array:
    weight = graph.constants[node.input[1]]
    return weight.T if node.op_type == "Gemm" and attribute(node, "transB") else weight


def _bias(graph: DecoderGraph, scope: str, node: NodeProto) -> Array | None:
    if node.op_type == "Gemm":
        return graph.constants[node.input[2]] if len(node.input) > 2 else None
    for other in graph.scope(scope):
        if other.op_type == "Add" and node.output[0] in other.input:
            (name,) = [n for n in other.input if n != node.output[0]]
            return graph.constants[name]
    return None


def norm(graph: DecoderGraph, scope: str) -> Norm:
    """The LayerNorm or RMSNorm that a module computes."""
    nodes = graph.scope(scope)
    enters, leaves = boundary(graph, scope)
    if len(enters) != 1 or len(leaves) != 1:
        raise ModelError(f"module {scope} is no normalisation of one tensor; cannot export it")
    if nodes[0].op_type == "LayerNormalization":
        _, weight, bias = nodes[0].input
        return Norm(enters[0], weight, bias, float(attribute(nodes[0], "epsilon")), leaves[0])
    (shift,) = [n for n in nodes if n.op_type == "Add"]
    (epsilon,) = [name for name in shift.input if name in graph.constants]
    (gain,) = [n for n in nodes if n.op_type == "Mul" and n.output[0] == leaves[0]]
    (weight,) = [name for name in gain.input if name in graph.constants]
    return Norm(enters[0], weight, None, scalar(graph.constants[epsilon]), leaves[0])
