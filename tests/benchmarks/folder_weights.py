"""The weights of a model folder, or of a Hugging Face checkpoint, by their Hugging Face names.

The comparisons need the very weights that the daemon serves in other engines' formats. Matrices
come on the grid on which the folder stores them (`autocoder.export.quantise`), so that nothing is
rounded a second time; norms come as float32. Llama-type models only; knows no other format.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.model_folder import Architecture, load
from autocoder.export.graph import attribute
from autocoder.export.quantise import KINDS, Quantised, quantise, trained_block

Weight = Quantised | NDArray[np.float32]


@dataclass(frozen=True)
class Decoder:
    """A Llama-type decoder: its sizes, its tokenizer's file, and its weights by name."""

    name: str
    architecture: Architecture
    intermediate: int
    context: int
    rope_theta: float
    epsilon: float
    tokenizer: Path
    weights: dict[str, Weight]


def read(folder: Path) -> Decoder:
    """From a model folder or a checkpoint. Raises ConfigError, ModelError for anything else."""
    return _from_checkpoint(folder) if (folder / "config.json").is_file() else _from_folder(folder)


def dense(weight: Weight) -> NDArray[np.float32]:
    """The values that the kernels compute with."""
    return weight.dequantised() if isinstance(weight, Quantised) else weight


def _from_folder(path: Path) -> Decoder:
    folder = load(path)
    if folder.architecture.kind != "llama":
        raise ConfigError(f"{path} is of type {folder.architecture.kind}; only llama is compared")
    model = onnx.load(folder.graph("cpu"))
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    norm = next(n for n in model.graph.node if n.op_type == "SimplifiedLayerNormalization")
    return Decoder(
        name=folder.name,
        architecture=folder.architecture,
        intermediate=len(constants["layer.0.gate_up.weight.scales"]) // 2,
        context=folder.context,
        rope_theta=_theta(constants["rotary.cos"], constants["rotary.sin"]),
        epsilon=float(attribute(norm, "epsilon")),
        tokenizer=folder.tokenizer,
        weights=_named(constants, folder.architecture, KINDS[folder.quantisation]),
    )


def _theta(cos: NDArray[Any], sin: NDArray[Any]) -> float:
    """The rotary base, from the angle of the second frequency at position 1."""
    angle = np.arctan2(np.float64(sin[1, 1]), np.float64(cos[1, 1]))
    return round(float(angle ** -cos.shape[1]), 2)


def _named(constants: dict[str, NDArray[Any]], sizes: Architecture, bits: int) -> dict[str, Weight]:
    grid = partial(_grid, constants, bits)
    found: dict[str, Weight] = {
        "model.embed_tokens.weight": grid("logits.weight"),
        "model.norm.weight": constants["model.norm.weight"],
    }
    query, key = sizes.heads * sizes.head_size, sizes.kv_heads * sizes.head_size
    for layer in range(sizes.layers):
        scope, ours = f"model.layers.{layer}", f"layer.{layer}"
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"{scope}.{name}.weight"] = constants[f"{scope}.{name}.weight"]
        qkv = grid(f"{ours}.qkv.weight")
        both = grid(f"{ours}.gate_up.weight")
        parts = {
            "self_attn.q_proj": _rows(qkv, 0, query),
            "self_attn.k_proj": _rows(qkv, query, query + key),
            "self_attn.v_proj": _rows(qkv, query + key, query + 2 * key),
            "self_attn.o_proj": grid(f"{ours}.attention_out.weight"),
            "mlp.gate_proj": _rows(both, 0, both.rows // 2),
            "mlp.up_proj": _rows(both, both.rows // 2, both.rows),
            "mlp.down_proj": grid(f"{ours}.down_proj.weight"),
        }
        found |= {f"{scope}.{name}.weight": grid for name, grid in parts.items()}
    return found


def _grid(constants: dict[str, NDArray[Any]], bits: int, name: str) -> Quantised:
    packed, scales = constants[f"{name}.packed"], constants[f"{name}.scales"]
    return Quantised(bits, packed.reshape(*scales.shape, -1), scales)


def _rows(grid: Quantised, first: int, last: int) -> Quantised:
    return Quantised(grid.bits, grid.packed[first:last], grid.scales[first:last])


def _from_checkpoint(folder: Path) -> Decoder:
    """Linear layers and the embedding are put on the 4-bit grid, as the export does."""
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != "llama" or not config.get("tie_word_embeddings"):
        raise ConfigError(f"{folder}: only Llama-type checkpoints with a tied head are compared")
    heads, block = config["num_attention_heads"], trained_block(config)
    weights: dict[str, Weight] = {}
    for name, value in load_file(folder / "model.safetensors").items():
        wide = value.astype(np.float32)
        weights[name] = quantise(wide, block=block) if wide.ndim == 2 else wide
    return Decoder(
        name=folder.name,
        architecture=Architecture(
            kind="llama",
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads", heads),
            head_size=config.get("head_dim") or config["hidden_size"] // heads,
            hidden=config["hidden_size"],
            vocab=config["vocab_size"],
        ),
        intermediate=config["intermediate_size"],
        context=config["max_position_embeddings"],
        rope_theta=config.get("rope_parameters", config).get("rope_theta", 10000.0),
        epsilon=config["rms_norm_eps"],
        tokenizer=folder / "tokenizer.json",
        weights=weights,
    )
