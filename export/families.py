"""Where each family of models keeps its parts: module paths in transformers' implementations.

The traced ONNX graph names every node after the module that computed it, so these paths find the
layers. A further family of the same shape is one more row here. Knows no ONNX and no torch.
"""

from dataclasses import dataclass

from autocoder.daemon.errors import ConfigError


@dataclass(frozen=True)
class Family:
    """Module paths of one family, as node-name prefixes; `{}` stands for the layer's number.

    `qkv` are the projections into attention: three, or one that is already packed.
    `gate_up` are the two halves of a gated feed-forward, empty where it has none.
    `activation` is a module whose tanh-approximated GELU becomes one node, or None.
    """

    kind: str
    embedding: str
    positions: str | None
    layer: str
    attention_norm: str
    qkv: tuple[str, ...]
    attention_out: str
    feed_forward_norm: str
    gate_up: tuple[str, ...]
    activation: str | None
    final_norm: str
    head: str = "/lm_head"

    @property
    def rotary(self) -> bool:
        """Positions enter by rotating queries and keys, not by an embedding."""
        return self.positions is None


_LLAMA = Family(
    kind="llama",
    embedding="/model/embed_tokens",
    positions=None,
    layer="/model/layers.{}",
    attention_norm="input_layernorm",
    qkv=("self_attn/q_proj", "self_attn/k_proj", "self_attn/v_proj"),
    attention_out="self_attn/o_proj",
    feed_forward_norm="post_attention_layernorm",
    gate_up=("mlp/gate_proj", "mlp/up_proj"),
    activation=None,
    final_norm="/model/norm",
)
_GPT2 = Family(
    kind="gpt2",
    embedding="/transformer/wte",
    positions="/transformer/wpe",
    layer="/transformer/h.{}",
    attention_norm="ln_1",
    qkv=("attn/c_attn",),
    attention_out="attn/c_proj",
    feed_forward_norm="ln_2",
    gate_up=(),
    activation="mlp/act",
    final_norm="/transformer/ln_f",
)
FAMILIES = {"llama": _LLAMA, "qwen2": _LLAMA, "gpt2": _GPT2}


def family_of(model_type: str) -> Family:
    """The family of a config's `model_type`. Raises ConfigError for one that is not known."""
    try:
        return FAMILIES[model_type]
    except KeyError:
        raise ConfigError(
            f"cannot export a model of type {model_type!r}; known: {', '.join(FAMILIES)}"
        ) from None
