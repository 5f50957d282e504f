"""An ONNX graph that can be edited: nodes, constants, and who produces or uses a tensor.

Knows ONNX only; knows no transformer, no quantisation and no files. Constants live outside the
nodes as numpy arrays, so that the passes can concatenate, quantise and share them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Array = NDArray[Any]
MICROSOFT = "com.microsoft"


class DecoderGraph:
    """A mutable graph. Passes change it in place; `prune` drops what no output needs."""

    def __init__(
        self,
        nodes: Iterable[NodeProto] = (),
        constants: dict[str, Array] | None = None,
        opset: int = 18,
    ) -> None:
        self.nodes = list(nodes)
        self.constants = dict(constants or {})
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        self.metadata: dict[str, str] = {}  # what a session's user must know of the graph
        self.opset = opset

    @staticmethod
    def from_model(model: ModelProto) -> "DecoderGraph":
        """Take a model apart: constants out of the nodes, aliases and no-op casts resolved."""
        constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        types = element_types(model)
        opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        graph = DecoderGraph(model.graph.node, constants, opset)
        graph.inputs = list(model.graph.input)
        graph.outputs = list(model.graph.output)
        graph._lift_constants()
        graph._drop_aliases(types)
        return graph

    def _lift_constants(self) -> None:
        for node in [n for n in self.nodes if n.op_type == "Constant"]:
            (value,) = [a for a in node.attribute if a.name == "value"]
            self.constants[node.output[0]] = numpy_helper.to_array(value.t)
            self.nodes.remove(node)

    def _drop_aliases(self, types: dict[str, int]) -> None:
        kept = []
        names: dict[str, str] = {}
        for node in self.nodes:
            for index, name in enumerate(node.input):
                node.input[index] = names.get(name, name)
            if node.op_type == "Identity" or _casts_to_itself(node, types):
                names[node.output[0]] = node.input[0]
            else:
                kept.append(node)
        self.nodes = kept

    def producer(self, tensor: str) -> NodeProto | None:
        """The node that computes a tensor; None for inputs and constants."""
        return next((n for n in self.nodes if tensor in n.output), None)

    def consumers(self, tensor: str) -> list[NodeProto]:
        """The nodes that read a tensor."""
        return [n for n in self.nodes if tensor in n.input]

    def scope(self, prefix: str) -> list[NodeProto]:
        """The nodes of one module of the traced torch model: their names are its path."""
        return [n for n in self.nodes if n.name.startswith(prefix + "/")]

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Append a node named after its first output; returns that output."""
        name = outputs[0]
        self.nodes.append(
            helper.make_node(
                operator, inputs, outputs, name=f"{name}/{operator}", domain=domain, **attributes
            )
        )
        return name

    def constant(self, name: str, value: Array) -> str:
        """Add a constant; returns its name."""
        self.constants[name] = value
        return name

    def replace_uses(self, old: str, new: str) -> None:
        """Let every reader of `old` read `new`."""
        for node in self.nodes:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new

    def prune(self) -> None:
        """Drop nodes and constants that no output needs, and put the nodes in order."""
        producers = {name: node for node in self.nodes for name in node.output if name}
        ordered: dict[int, NodeProto] = {}
        stack = [(value.name, False) for value in reversed(self.outputs)]
        while stack:
            tensor, ready = stack.pop()
            node = producers.get(tensor)
            if node is None or id(node) in ordered:
                continue
            if ready:
                ordered[id(node)] = node
            else:
                stack.append((tensor, True))
                stack += [(name, False) for name in reversed(node.input) if name]
        self.nodes = list(ordered.values())
        used = {name for node in self.nodes for name in node.input}
        self.constants = {k: v for k, v in self.constants.items() if k in used}

    def copy(self) -> "DecoderGraph":
        """Another graph with its own nodes; the constants' arrays are shared."""
        nodes = []
        for node in self.nodes:
            twin = NodeProto()
            twin.CopyFrom(node)
            nodes.append(twin)
        graph = DecoderGraph(nodes, self.constants, self.opset)
        graph.inputs, graph.outputs = list(self.inputs), list(self.outputs)
        graph.metadata = dict(self.metadata)
        return graph

    def to_model(self, initializers: Sequence[TensorProto], name: str) -> ModelProto:
        """Assemble a model around ready initializers (see `weights.py`)."""
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, initializers)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=10, producer_name="autocoder"
        )
        helper.set_model_props(model, self.metadata)
        return model


def element_types(model: ModelProto) -> dict[str, int]:
    """The inferred element type of every tensor, by name.

    The initializers are passed to ONNX's inference as typed inputs: their data may be gigabytes.
    """
    weights = [
        helper.make_tensor_value_info(i.name, i.data_type, i.dims) for i in model.graph.initializer
    ]
    bare = helper.make_graph(
        model.graph.node, "types", [*model.graph.input, *weights], model.graph.output
    )
    inferred = onnx.shape_inference.infer_shapes(
        helper.make_model(bare, opset_imports=model.opset_import)
    ).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    return {value.name: value.type.tensor_type.elem_type for value in values}


def _casts_to_itself(node: NodeProto, types: dict[str, int]) -> bool:
    """True of a cast that changes nothing, such as RMSNorm's up-cast in a float32 model."""
    return bool(node.op_type == "Cast" and attribute(node, "to") == types.get(node.input[0]))


def attribute(node: NodeProto, name: str) -> Any:
    """The value of a node's attribute; None where it has none of that name."""
    found = next((a for a in node.attribute if a.name == name), None)
    return None if found is None else onnx.helper.get_attribute_value(found)


def scalar(array: Array) -> float:
    """The one number of a constant of one element."""
    return float(np.asarray(array).reshape(-1)[0])
