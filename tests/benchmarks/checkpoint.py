"""A model folder as a Hugging Face checkpoint in float32, for engines that start from one.

    python tests/benchmarks/checkpoint.py daemon/model OUT

The values are those that the folder's quantised kernels compute with, so every engine gets the
same weights. Llama-type models only.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from folder_weights import Decoder, dense, read


def write_checkpoint(decoder: Decoder, out: Path) -> Path:
    """Write `config.json`, `model.safetensors` and the tokenizer; returns the folder."""
    from safetensors.numpy import save_file

    out.mkdir(parents=True)
    tensors = {name: np.ascontiguousarray(dense(w)) for name, w in decoder.weights.items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config(decoder), indent=2))
    shutil.copy(decoder.tokenizer, out / "tokenizer.json")
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<eos>"}
    (out / "tokenizer_config.json").write_text(json.dumps(names))
    return out


def config(decoder: Decoder) -> dict[str, object]:
    """What transformers 4 and 5 both read."""
    sizes = decoder.architecture
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": sizes.vocab,
        "hidden_size": sizes.hidden,
        "intermediate_size": decoder.intermediate,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "head_dim": sizes.head_size,
        "hidden_act": "silu",
        "max_position_embeddings": decoder.context,
        "rms_norm_eps": decoder.epsilon,
        "rope_theta": decoder.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": decoder.rope_theta},
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "dtype": "float32",
    }


if __name__ == "__main__":
    write_checkpoint(read(Path(sys.argv[1])), Path(sys.argv[2]))
