"""A model folder (or a Hugging Face checkpoint) of Llama type as a GGUF file for llama.cpp.

    python tests/benchmarks/gguf.py daemon/model model-q4_0.gguf [--type q4_0|q8_0|f32]

The stored weights lie on the grid of Q4_0 (one float16 scale a block, steps -8…7), so both Q4_0 and
Q8_0 hold them bit for bit, larger blocks as several of 32 with one scale; nothing is rounded. The
format is described in ggml's docs/gguf.md. Two conventions of llama.cpp are not obvious: its
"llama" architecture rotates pairs of neighbouring elements where Hugging Face rotates halves, so
the rows of q and k are reordered within each head; and a Q4_0 block keeps elements 0…15 in the low
and 16…31 in the high nibbles.
"""

import argparse
import json
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from folder_weights import Decoder, Weight, dense, read
from numpy.typing import NDArray

from autocoder.export.quantise import BLOCK, Quantised

VERSION, ALIGNMENT = 3, 32
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # types of metadata
F32 = 0  # types of tensors, and llama.cpp's number for a file mostly of that type
TENSOR_TYPES = {"f32": 0, "q4_0": 2, "q8_0": 8}
FILE_TYPES = {"f32": 0, "q4_0": 2, "q8_0": 7}
NORMAL, CONTROL = 1, 3  # kinds of tokens

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def main(arguments: Sequence[str]) -> int:
    """Convert one folder."""
    parser = argparse.ArgumentParser(prog="gguf.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="model folder or Hugging Face checkpoint")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--type", choices=tuple(TENSOR_TYPES), default="q4_0")
    options = parser.parse_args(arguments)
    write(read(options.folder), options.out, options.type)
    print(f"{options.out}: {options.out.stat().st_size / 2**20:.1f} MiB")
    return 0


def write(decoder: Decoder, path: Path, kind: str = "q4_0") -> Path:
    """Write the file: header, metadata, the tensors' table, then their data; returns its path."""
    tensors = {name: (weight, *_encoded(weight, kind)) for name, weight in _tensors(decoder)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        settings = _metadata(decoder, kind)
        file.write(b"GGUF" + struct.pack("<IQQ", VERSION, len(tensors), len(settings)))
        for key, (type_, value) in settings.items():
            file.write(_text(key) + struct.pack("<I", type_) + _value(type_, value))
        _write_table(file, tensors)
        for _, _, data in tensors.values():
            file.write(b"\0" * (-file.tell() % ALIGNMENT) + data)
    return path


def _write_table(file: IO[bytes], tensors: dict[str, tuple[Weight, int, bytes]]) -> None:
    offset = 0
    for name, (weight, type_, data) in tensors.items():
        shape = _shape(weight)[::-1]  # the fastest dimension first
        file.write(_text(name) + struct.pack("<I", len(shape)))
        file.write(struct.pack(f"<{len(shape)}QIQ", *shape, type_, offset))
        offset += len(data) + -len(data) % ALIGNMENT


def _shape(weight: Weight) -> tuple[int, ...]:
    if isinstance(weight, Quantised):
        return (weight.rows, weight.columns)
    return tuple(weight.shape)


def _tensors(decoder: Decoder) -> list[tuple[str, Weight]]:
    """The weights under llama.cpp's names; the tied head is left out, as its converter does."""
    found: list[tuple[str, Weight]] = []
    sizes = decoder.architecture
    for name, weight in decoder.weights.items():
        heads = {"q_proj": sizes.heads, "k_proj": sizes.kv_heads}.get(name.split(".")[-2])
        if heads:
            weight = _interleaved(weight, heads)
        found.append((_renamed(name), weight))
    return found


def _renamed(name: str) -> str:
    if name.startswith("model.layers."):
        _, _, layer, part = name.removesuffix(".weight").split(".", 3)
        return f"blk.{layer}.{NAMES[part]}.weight"
    return {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
    }[name]


def _interleaved(weight: Weight, heads: int) -> Weight:
    """Within each head, row i of the first half beside row i of the second."""
    rows = _shape(weight)[0]
    order = np.arange(rows).reshape(heads, 2, -1).swapaxes(1, 2).reshape(-1)
    if isinstance(weight, Quantised):
        return Quantised(weight.bits, weight.packed[order], weight.scales[order])
    return weight[order]


def _encoded(weight: Weight, kind: str) -> tuple[int, bytes]:
    """The type and the bytes of one tensor; vectors stay float32."""
    if not isinstance(weight, Quantised) or kind == "f32":
        return F32, dense(weight).astype("<f4").tobytes()
    weight = weight.divided(BLOCK)
    steps = _steps(weight)
    if kind == "q4_0":
        if weight.bits != 4:
            raise SystemExit("these weights lie on an 8-bit grid; convert with --type q8_0")
        stored: NDArray[Any] = (steps[..., :16] | steps[..., 16:] << 4).astype(np.uint8)
    else:
        stored = (steps.astype(np.int16) - (1 << (weight.bits - 1))).astype(np.int8).view(np.uint8)
    scales = weight.scales.astype("<f2")[..., None].view(np.uint8)
    return TENSOR_TYPES[kind], np.concatenate([scales, stored], axis=-1).tobytes()


def _steps(grid: Quantised) -> NDArray[np.uint8]:
    """(N, K/32, 32): the steps in order, 0…15 or 0…255."""
    if grid.bits == 8:
        return grid.packed
    both = np.stack([grid.packed & 15, grid.packed >> 4], axis=-1)
    return both.reshape(*grid.scales.shape, BLOCK)


def _metadata(decoder: Decoder, kind: str) -> dict[str, tuple[int, Any]]:
    sizes = decoder.architecture
    return {
        "general.architecture": (STRING, "llama"),
        "general.name": (STRING, decoder.name),
        "general.file_type": (UINT32, FILE_TYPES[kind]),
        "general.quantization_version": (UINT32, 2),
        "llama.context_length": (UINT32, decoder.context),
        "llama.embedding_length": (UINT32, sizes.hidden),
        "llama.block_count": (UINT32, sizes.layers),
        "llama.feed_forward_length": (UINT32, decoder.intermediate),
        "llama.attention.head_count": (UINT32, sizes.heads),
        "llama.attention.head_count_kv": (UINT32, sizes.kv_heads),
        "llama.attention.layer_norm_rms_epsilon": (FLOAT32, decoder.epsilon),
        "llama.rope.dimension_count": (UINT32, sizes.head_size),
        "llama.rope.freq_base": (FLOAT32, decoder.rope_theta),
        "llama.vocab_size": (UINT32, sizes.vocab),
        **_vocabulary(decoder),
    }


def _vocabulary(decoder: Decoder) -> dict[str, tuple[int, Any]]:
    """The byte-level BPE. llama.cpp has no such pre-tokeniser as ours, so it splits a little
    otherwise ("default"); what is compared token for token is fed as ids."""
    record = json.loads(decoder.tokenizer.read_text(encoding="utf-8"))
    names = dict(record["model"]["vocab"])
    special = {token["content"]: token["id"] for token in record["added_tokens"]}
    tokens = [f"<unused{i}>" for i in range(decoder.architecture.vocab)]
    for name, id in (names | special).items():
        tokens[id] = name
    known = set(names.values()) - set(special.values())
    kinds = [NORMAL if i in known else CONTROL for i in range(len(tokens))]
    merges = [" ".join(m) if isinstance(m, list) else m for m in record["model"]["merges"]]
    eos = special.get("<eos>", 0)
    marks = {"fim_pre": "<prefix>", "fim_suf": "<suffix>", "fim_mid": "<middle>"}
    return {
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.pre": (STRING, "default"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
        "tokenizer.ggml.token_type": (ARRAY, (INT32, kinds)),
        "tokenizer.ggml.merges": (ARRAY, (STRING, merges)),
        "tokenizer.ggml.bos_token_id": (UINT32, eos),
        "tokenizer.ggml.eos_token_id": (UINT32, eos),
        "tokenizer.ggml.add_bos_token": (BOOL, False),
        **{
            f"tokenizer.ggml.{key}_token_id": (UINT32, special[token])
            for key, token in marks.items()
            if token in special
        },
    }


def _text(text: str) -> bytes:
    data = text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def _value(type_: int, value: Any) -> bytes:
    if type_ == STRING:
        return _text(value)
    if type_ == ARRAY:
        kind, entries = value
        return struct.pack("<IQ", kind, len(entries)) + b"".join(_value(kind, e) for e in entries)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}[type_], value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
