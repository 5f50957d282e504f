"""Models of `transformers` to compare with, made to the shape of a recipe.

The Llama-type one computes what `model.py` computes; the GPT-2-type one has learned positions,
LayerNorm, biases, plain attention and GELU, and is given about the same number of parameters. Knows
no training.
"""

from typing import Any

import torch
from torch import Tensor, nn

from autocoder.train.pretrain.model import ModelConfig, hugging_face_config


class Reference(nn.Module):
    """A `transformers` model as token ids (B, T) to logits (B, T, V)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, ids: Tensor, attend: Any = None) -> Tensor:
        """`attend` is not heeded: attention is causal over the whole window."""
        return self.inner(input_ids=ids, use_cache=False).logits


def llama(config: ModelConfig) -> Reference:
    """`LlamaForCausalLM`, as anybody would take it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    record = hugging_face_config(config)
    wanted = {k: v for k, v in record.items() if k not in ("torch_dtype", "dtype", "model_type")}
    return Reference(LlamaForCausalLM(LlamaConfig(**wanted)))


def gpt2(config: ModelConfig) -> Reference:
    """`GPT2LMHeadModel` of the same width, as deep as the parameters of `config` allow."""
    from transformers import GPT2Config, GPT2LMHeadModel

    width = config.hidden_size
    per_layer = 12 * width * width + 13 * width
    rest = parameters(config) - (config.vocab_size + config.max_position_embeddings) * width
    record = GPT2Config(
        vocab_size=config.vocab_size,
        n_positions=config.max_position_embeddings,
        n_embd=width,
        n_layer=max(1, round(rest / per_layer)),
        n_head=config.num_attention_heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=0,
    )
    return Reference(GPT2LMHeadModel(record))


def parameters(config: ModelConfig) -> int:
    """How many parameters `model.py`'s model of a config has."""
    from autocoder.train.pretrain.model import CodeModel

    with torch.device("meta"):
        return sum(p.numel() for p in CodeModel(config).parameters())
