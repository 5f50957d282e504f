"""The way back: a model folder becomes the Hugging Face checkpoint that fine-tuning begins from.

Reads the CPU's graph, where every weight has a name, and undoes what the export did: blocks of
4 bits become the float32 values that the kernels compute with, fused projections come apart. The
values lie on the grid already, so exporting the checkpoint again gives the same `weights.bin`; in
bfloat16 they are rounded (8 bits of a value that needs up to 15). Knows the export's names of
constants; knows no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from autocoder.daemon import model_folder
from autocoder.daemon.errors import ConfigError
from autocoder.daemon.model_folder import ModelFolder
from autocoder.export.checkpoint import CARD
from autocoder.export.graph import Array, attribute
from autocoder.export.prompts import RECORD
from autocoder.export.quantise import BLOCK, BLOCK_KEY, BLOCKS, Quantised

BUNDLED = "bundled"  # the command's word for the shipped model
_THETA_DIGITS = 6
_TABLE_TOLERANCE = 1e-3  # radians at the last position: float32 angles of thousands of radians


@dataclass(frozen=True)
class Stored:
    """What a graph holds: constants by name, the gains of norms by the norm's name, their epsilon.

    Equal constants share one name in a graph, so norms are found by what they compute.
    """

    constants: Mapping[str, Array]
    gains: Mapping[str, Array]
    epsilon: float
    block: int = BLOCK

    def matrix(self, name: str) -> Array:
        """The (outputs, inputs) float32 values of a weight, from its grid where it has one."""
        if f"{name}.packed" in self.constants:
            return self._dequantised(f"{name}.packed", f"{name}.scales")
        if f"{name}.rows" in self.constants:
            return self._dequantised(f"{name}.rows", f"{name}.scales")
        if name in self.constants:
            return np.ascontiguousarray(self.constants[name].T)
        raise ConfigError(f"the graph has no weight {name!r}: it is none that this export wrote")

    def _dequantised(self, packed: str, scales: str) -> Array:
        steps, factors = self.constants[packed], self.constants[scales]
        blocks = steps.reshape(*factors.shape, -1)
        bits = blocks.shape[-1] * 8 // self.block
        return Quantised(bits, blocks, factors).dequantised()


def unpack(source: Path | None, out: Path, *, dtype: str = "float32") -> ModelFolder:
    """Write the checkpoint of a model folder (None: the bundled one) to `out`; returns the folder.

    `out` must not exist; it gets model.safetensors, config.json, the tokenizer, the prompt format
    and the card. Raises ConfigError for a model that is no Llama, ModelError for a damaged folder.
    """
    model = model_folder.load(source or model_folder.bundled())
    if out.exists():
        raise ConfigError(f"{out} exists already; remove it or give another folder")
    if model.architecture.kind != "llama":
        raise ConfigError(
            f"cannot unpack a model of type {model.architecture.kind!r}, only llama; "
            "fine-tune from the checkpoint that it was exported from"
        )
    stored = read(model.graph("cpu"))
    tensors = parameters(stored, model)
    hidden = out.with_name(f".{out.name}.part")
    hidden.mkdir(parents=True, exist_ok=True)
    _write_weights(tensors, hidden / "model.safetensors", dtype)
    _write_records(model, config(stored, model, tensors, dtype), hidden)
    hidden.rename(out)
    return model


def read(graph: Path) -> Stored:
    """Every constant of a graph, its external data included."""
    model = onnx.load(str(graph))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    norms = [node for node in model.graph.node if node.op_type.endswith("LayerNormalization")]
    gains = {node.output[0].removesuffix(".normed"): constants[node.input[-1]] for node in norms}
    blocks = {attribute(n, "block_size") for n in model.graph.node if n.op_type == "MatMulNBits"}
    epsilon = float(attribute(norms[0], "epsilon"))
    return Stored(constants, gains, epsilon, blocks.pop() if blocks else BLOCK)


def block_of_values(stored: Stored) -> int:
    """The block of the grid that the values lie on: larger than what is stored where, in every
    weight, neighbouring blocks have the same scale."""
    scales = [value for name, value in stored.constants.items() if name.endswith(".scales")]
    block = stored.block
    while scales and 2 * block in BLOCKS and all(_in_pairs(each) for each in scales):
        scales, block = [each[:, ::2] for each in scales], 2 * block
    return block


def _in_pairs(scales: Array) -> bool:
    return scales.shape[1] % 2 == 0 and np.array_equal(scales[:, ::2], scales[:, 1::2])


def parameters(stored: Stored, model: ModelFolder) -> dict[str, Array]:
    """Hugging Face's names → float32 values; no head of its own where it is the embedding."""
    sizes = model.architecture
    queries, keys = sizes.heads * sizes.head_size, sizes.kv_heads * sizes.head_size
    found = {
        "model.embed_tokens.weight": _embedding(stored),
        "model.norm.weight": stored.gains["model.norm"],
    }
    for index in range(sizes.layers):
        here, there = f"layer.{index}", f"model.layers.{index}"
        q, k, v = np.split(stored.matrix(f"{here}.qkv.weight"), [queries, queries + keys])
        gate, up = np.split(stored.matrix(f"{here}.gate_up.weight"), 2)
        found |= {
            f"{there}.self_attn.q_proj.weight": q,
            f"{there}.self_attn.k_proj.weight": k,
            f"{there}.self_attn.v_proj.weight": v,
            f"{there}.self_attn.o_proj.weight": stored.matrix(f"{here}.attention_out.weight"),
            f"{there}.mlp.gate_proj.weight": gate,
            f"{there}.mlp.up_proj.weight": up,
            f"{there}.mlp.down_proj.weight": stored.matrix(f"{here}.down_proj.weight"),
        }
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[f"{there}.{norm}.weight"] = stored.gains[f"{there}.{norm}"]
    head = stored.matrix("logits.weight")
    if not np.array_equal(head, found["model.embed_tokens.weight"]):
        found["lm_head.weight"] = head
    return {name: np.ascontiguousarray(value, np.float32) for name, value in found.items()}


def config(
    stored: Stored, model: ModelFolder, tensors: Mapping[str, Array], dtype: str
) -> dict[str, Any]:
    """config.json for `LlamaForCausalLM`: the rotary base where transformers 4 and 5 each look."""
    sizes = model.architecture
    theta = rotary_base(stored.constants["rotary.cos"], stored.constants["rotary.sin"])
    end = model.prompt.end
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": sizes.vocab,
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "head_dim": sizes.head_size,
        "intermediate_size": len(tensors["model.layers.0.mlp.gate_proj.weight"]),
        "max_position_embeddings": model.context,
        "rms_norm_eps": float(f"{stored.epsilon:.6g}"),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": "lm_head.weight" not in tensors,
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "bos_token_id": None,
        "eos_token_id": _token_ids(model).get(end),
        "torch_dtype": dtype,
        "dtype": dtype,
        BLOCK_KEY: block_of_values(stored),
    }


def rotary_base(cos: Array, sin: Array) -> float:
    """The base θ whose angles position · θ^(−2i/D) the (positions, D/2) tables hold.

    Raises ConfigError where no base gives them: a model with scaled positions.
    """
    positions, half = cos.shape
    slowest = np.arctan2(sin[:, -1], cos[:, -1]).astype(np.float64)  # the last pair's angles
    at = max(1, min(positions - 1, int(1 / slowest[1])))  # far out, within the first turn
    base = (slowest[at] / at) ** (-half / max(1, half - 1))
    theta = float(f"{base:.{_THETA_DIGITS}g}")
    angles = np.outer(np.arange(positions), theta ** (-np.arange(half) / half))
    if np.abs(np.exp(1j * angles) - (cos + 1j * sin)).max() > _TABLE_TOLERANCE:
        raise ConfigError(
            "the rotary tables are scaled ones, which cannot be unpacked; fine-tune from the "
            "checkpoint that the model was exported from"
        )
    return theta


def _embedding(stored: Stored) -> Array:
    """(tokens, hidden); a Gather's table is not transposed, unlike a product's weight."""
    if "embedding.weight" in stored.constants:
        return stored.constants["embedding.weight"]
    return stored.matrix("embedding.weight")


def _write_weights(tensors: Mapping[str, Array], path: Path, dtype: str) -> None:
    """safetensors; bfloat16 by way of torch, as numpy has none."""
    if dtype == "float32":
        from safetensors.numpy import save_file

        save_file(dict(tensors), str(path), metadata={"format": "pt"})
        return
    import torch
    from safetensors.torch import save_file as save_torch_file

    narrow = {name: torch.tensor(value).bfloat16() for name, value in tensors.items()}
    save_torch_file(narrow, str(path), metadata={"format": "pt"})


def _write_records(model: ModelFolder, settings: dict[str, Any], folder: Path) -> None:
    """config.json, the tokenizer, and what a later export takes over: prompt and card."""
    results = {name: value for name, value in model.results.items() if name != "export"}
    card = {"licence": model.licence, "training": dict(model.training), "results": results}
    names = {"eos_token": model.prompt.end, "pad_token": "<pad>"}
    known = _token_ids(model)
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.context,
        "clean_up_tokenization_spaces": False,
        **{role: token for role, token in names.items() if token in known},
    }
    records = {
        "config.json": settings,
        "tokenizer_config.json": tokenizer,
        RECORD: model.prompt.to_manifest(),
        CARD: card,
    }
    for name, record in records.items():
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "tokenizer.json").write_bytes(model.tokenizer.read_bytes())


def _token_ids(model: ModelFolder) -> dict[str, int]:
    """The added (special) tokens of the tokenizer file and their ids."""
    record = json.loads(model.tokenizer.read_text(encoding="utf-8"))
    return {token["content"]: int(token["id"]) for token in record["added_tokens"]}
