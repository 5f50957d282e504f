"""A Hugging Face checkpoint, loaded and understood: config, torch model, tokenizer, prompt.

Knows transformers; knows no ONNX. Reads what a config means under transformers 4 and 5 alike: 5
moved `rope_theta` into `rope_parameters`, where 4 does not look and silently takes 10000.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.model_folder import Architecture
from autocoder.daemon.prompt import PromptFormat
from autocoder.export.families import Family, family_of
from autocoder.export.prompts import prompt_format
from autocoder.export.rewrite import Rotary

CARD = "card.json"


@dataclass(frozen=True)
class Checkpoint:
    """`model` is in float32 and evaluation mode; `card` is the folder's card.json, if any:
    `licence`, `training`, `results` for the manifest."""

    folder: Path
    model: Any
    tokenizer: Tokenizer
    architecture: Architecture
    family: Family
    context: int
    prompt: PromptFormat
    card: dict[str, Any]


def load_checkpoint(source: str, *, context: int | None = None) -> Checkpoint:
    """Load a local folder, or a model of the hub by name. `context` caps the model's own.

    Raises ConfigError for a missing or contradictory checkpoint, or one of another family.
    """
    folder = _folder(source)
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    family = family_of(str(record.get("model_type")))
    _refuse_unknown_attention(record)
    config = AutoConfig.from_pretrained(folder)
    _set_rope(config, record)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32)
    tokenizer, eos = _tokenizer(folder)
    return Checkpoint(
        folder=folder,
        model=model.eval(),
        tokenizer=tokenizer,
        architecture=_architecture(config),
        family=family,
        context=min(config.max_position_embeddings, context or config.max_position_embeddings),
        prompt=prompt_format(folder, tokenizer, eos),
        card=_card(folder),
    )


def rotary_tables(checkpoint: Checkpoint) -> Rotary | None:
    """The rotary angles' cosines and sines up to the context; None without rotary positions.

    Formula: Su et al., "RoFormer" (2021); inverse frequencies and scaling as transformers computes
    them from the config.
    """
    if not checkpoint.family.rotary:
        return None
    embedding = checkpoint.model.model.rotary_emb
    steps = torch.arange(checkpoint.context, dtype=torch.float32)
    angles = torch.outer(steps, embedding.inv_freq.float())  # (context, head_size / 2)
    factor = float(embedding.attention_scaling)
    return Rotary(_array(angles.cos() * factor), _array(angles.sin() * factor))


def _array(tensor: Any) -> Any:
    return np.ascontiguousarray(tensor.numpy())


def _folder(source: str) -> Path:
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(f"{folder} has no config.json: it is no Hugging Face checkpoint")
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, ignore_patterns=["*.onnx", "*.h5", "*.msgpack"]))
    except Exception as error:
        raise ConfigError(
            f"{source!r} is neither a folder nor a model that the hub gives: {error}"
        ) from error


def _refuse_unknown_attention(record: dict[str, Any]) -> None:
    """Variants that GroupQueryAttention, as we write it, does not compute."""
    for key in ("scale_attn_by_inverse_layer_idx", "add_cross_attention", "use_sliding_window"):
        if record.get(key):
            raise ConfigError(f"cannot export a model with {key} = {record[key]!r}")
    if record.get("scale_attn_weights") is False:
        raise ConfigError("cannot export a model with scale_attn_weights = false")


def _set_rope(config: Any, record: dict[str, Any]) -> None:
    """Give transformers 4 the rotary settings that the record means, wherever they stand."""
    if not hasattr(config, "rope_theta"):
        return
    new = record.get("rope_parameters") or {}
    old = record.get("rope_scaling") or {}
    thetas = {float(t) for t in (record.get("rope_theta"), new.get("rope_theta")) if t is not None}
    if len(thetas) > 1:
        raise ConfigError(
            f"config.json contradicts itself: rope_theta is {record.get('rope_theta')} but "
            f"rope_parameters has {new.get('rope_theta')}; correct the wrong one"
        )
    config.rope_theta = thetas.pop() if thetas else config.rope_theta
    scaling = {k: v for k, v in {**old, **new}.items() if k != "rope_theta"}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in ("default", "linear", "llama3", "yarn"):
        raise ConfigError(f"cannot export rotary positions of type {kind!r}")
    config.rope_scaling = None if kind == "default" else scaling


def _tokenizer(folder: Path) -> tuple[Tokenizer, str | None]:
    eos = None
    if (folder / "tokenizer_config.json").is_file():
        auto: Any = AutoTokenizer
        loaded = auto.from_pretrained(folder)
        eos = loaded.eos_token
        if not (folder / "tokenizer.json").is_file():
            return loaded.backend_tokenizer, eos
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(f"{folder} has no tokenizer.json")
    return Tokenizer.from_file(str(folder / "tokenizer.json")), eos


def _architecture(config: Any) -> Architecture:
    heads = config.num_attention_heads
    return Architecture(
        kind=config.model_type,
        layers=config.num_hidden_layers,
        heads=heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_size=getattr(config, "head_dim", None) or config.hidden_size // heads,
        hidden=config.hidden_size,
        vocab=config.vocab_size,
    )


def _card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
