"""A Llama-type decoder, lean enough to compile well, with Hugging Face's parameter names.

`transformers.LlamaForCausalLM` computes the same function from the same checkpoint (a test compares
their logits). Shapes: B sequences, T tokens, C hidden, H heads, K KV heads, D head size, V tokens.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autocoder.daemon.errors import ConfigError
from autocoder.export.quantise import BLOCK, BLOCK_KEY

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  # q, k, v (B, heads, T, D) to (B, H, T, D)
ROPE_THETA = 10_000.0  # both transformers 4 and 5 fall back to this value


@dataclass(frozen=True)
class ModelConfig:
    """The shape of the model; the defaults have 60.0 million parameters."""

    vocab_size: int = 24_576
    hidden_size: int = 640
    num_hidden_layers: int = 10
    num_attention_heads: int = 10
    num_key_value_heads: int = 2
    intermediate_size: int = 1792
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


class RMSNorm(nn.Module):
    """Zhang and Sennrich, 2019."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * scale).type_as(x) * self.weight.type_as(x)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions (Ainslie et al., 2023; Su et al., 2021)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size, head = config.hidden_size, config.head_dim
        self.heads, self.kv_heads, self.head = (
            config.num_attention_heads,
            config.num_key_value_heads,
            head,
        )
        self.q_proj = nn.Linear(size, self.heads * head, bias=False)
        self.k_proj = nn.Linear(size, self.kv_heads * head, bias=False)
        self.v_proj = nn.Linear(size, self.kv_heads * head, bias=False)
        self.o_proj = nn.Linear(self.heads * head, size, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        batch, length, _ = x.shape
        sizes = [self.heads, self.kv_heads, self.kv_heads]
        together = side_by_side(x, self.q_proj, self.k_proj, self.v_proj)
        heads = together.view(batch, length, sum(sizes), self.head).transpose(1, 2)
        q, k, v = heads.split(sizes, dim=1)
        y = attend(rotate(q, cos, sin), rotate(k, cos, sin), v)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, -1))


def side_by_side(x: Tensor, *layers: nn.Linear) -> Tensor:
    """Several layers of one input as one product, so that the input is read once."""
    return F.linear(x, torch.cat([layer.weight for layer in layers]))


def causally(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Every token sees all tokens of the window before it."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # (B, heads, T, D)
    left, right = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-right, left), dim=-1) * sin).type_as(x)


class MLP(nn.Module):
    """SwiGLU (Shazeer, 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size, wide = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(size, wide, bias=False)
        self.up_proj = nn.Linear(size, wide, bias=False)
        self.down_proj = nn.Linear(wide, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = side_by_side(x, self.gate_proj, self.up_proj).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


class Block(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, attend)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class CodeModel(nn.Module):
    """Token ids (B, T) to logits (B, T, V); embedding and head share their weights."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        cos, sin = rotary_tables(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, Attention):
            self._shrink(module.o_proj)
        if isinstance(module, MLP):
            self._shrink(module.down_proj)

    def _shrink(self, layer: nn.Linear) -> None:
        """What is added to the residual stream starts small (GPT-2)."""
        nn.init.normal_(layer.weight, std=0.02 / (2 * self.config.num_hidden_layers) ** 0.5)

    def forward(self, ids: Tensor, attend: Attend = causally) -> Tensor:
        x = self.model.embed_tokens(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.model.layers:
            x = block(x, cos, sin, attend)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)


def losses(model: nn.Module, windows: Tensor, attend: Attend = causally) -> Tensor:
    """Cross-entropy in nats of every next token: windows (B, T) to (B * (T − 1),) float32."""
    logits = model(windows[:, :-1], attend)
    return F.cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten(), reduction="none")


def rotary_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and sin, (T, D) float32."""
    half = torch.arange(0, config.head_dim, 2).float() / config.head_dim
    angles = torch.outer(
        torch.arange(config.max_position_embeddings).float(), 1.0 / ROPE_THETA**half
    )
    both = torch.cat((angles, angles), dim=-1)
    return both.cos(), both.sin()


def hugging_face_config(config: ModelConfig) -> dict[str, Any]:
    """config.json for `LlamaForCausalLM`, for transformers 4 (`rope_theta`) and 5."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **asdict(config),
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "rope_theta": ROPE_THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "bos_token_id": None,
        "eos_token_id": 0,
        "torch_dtype": "float32",
        "dtype": "float32",
    }


def save(model: CodeModel, folder: Path, block: int = BLOCK) -> None:
    """Write a checkpoint that `transformers` loads: config.json and float32 safetensors.

    `block` weights will share a scale: `autocoder export` reads it from config.json.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().float().cpu() for name, value in model.state_dict().items()}
    save_file(state, str(folder / "model.safetensors.part"), metadata={"format": "pt"})
    (folder / "model.safetensors.part").rename(folder / "model.safetensors")
    settings = hugging_face_config(model.config) | {BLOCK_KEY: block}
    record = json.dumps(settings, indent=2)
    (folder / "config.json").write_text(record + "\n")


def load(folder: Path) -> CodeModel:
    """The model of a checkpoint folder, float32. Raises ConfigError where it cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        record = json.loads((folder / "config.json").read_text())
        config = ModelConfig(**{name: record[name] for name in ModelConfig.__dataclass_fields__})
        model = CodeModel(config)
        state = load_file(str(folder / "model.safetensors"))
        model.load_state_dict({n: v.float() for n, v in state.items() if n != "lm_head.weight"})
    except KeyError as error:
        raise ConfigError(f"{folder} is no Llama checkpoint: config.json lacks {error}") from error
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise ConfigError(
            f"no checkpoint can be read from {folder} ({error}); give a folder with config.json "
            "and model.safetensors, such as RUN/final or what `autocoder export --unpack` writes"
        ) from error
    return model
