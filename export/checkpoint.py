"""A Hugging Face checkpoint, loaded and understood: config, torch model, tokenizer, prompt.

Knows transformers; knows no ONNX. Reads what a config means under transformers 4 and 5 alike: 5
moved `rope_theta` into `rope_parameters`, where 4 does not look and silently takes 10000.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.daemon.model_folder import Architecture
from autocoder.daemon.prompt import PromptFormat
from autocoder.export.families import Family, family_of
from autocoder.export.prompts import prompt_format
from autocoder.export.quantise import BLOCK, trained_block
from autocoder.export.rewrite import Rotary

CARD = "card.json"
_BUFFERS = ("inv_freq", "attn.bias", "attn.masked_bias")  # old checkpoints hold what is computed


@dataclass(frozen=True)
class Checkpoint:
    """`model` is in float32 and evaluation mode; `card` is the folder's card.json, if any:
    `licence`, `training`, `results` for the manifest. `block` is how many weights share a scale
    of the grid that it was trained through (`quantisation_block`), else 32."""

    folder: Path
    model: Any
    tokenizer: Tokenizer
    architecture: Architecture
    family: Family
    context: int
    prompt: PromptFormat
    card: dict[str, Any]
    block: int = BLOCK


def load_checkpoint(source: str, *, context: int | None = None) -> Checkpoint:
    """Load a local folder, or a model of the hub by name. `context` caps the model's own.

    Raises ConfigError for a missing, damaged or contradictory checkpoint, one of another family,
    or one whose weights are not those that its config asks for.
    """
    folder = _folder(source)
    with _readable(folder, "config.json"):
        record = _record(folder / "config.json")
    family = family_of(str(record.get("model_type")))
    _refuse_unknown_attention(record)
    with _readable(folder, "config.json"):
        config = AutoConfig.from_pretrained(folder)
        _set_rope(config, record)
    model = _model(folder, config)
    with _readable(folder, "tokenizer"):
        tokenizer, eos = _tokenizer(folder)
    with _readable(folder, "prompt format"):
        prompt = prompt_format(folder, tokenizer, eos)
    with _readable(folder, CARD):
        card = _card(folder)
    return Checkpoint(
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        architecture=_architecture(config),
        family=family,
        context=min(config.max_position_embeddings, context or config.max_position_embeddings),
        prompt=prompt,
        card=card,
        block=trained_block(record),
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


@contextmanager
def _readable(folder: Path, what: str) -> Iterator[None]:
    """What several libraries raise for a damaged file, each in its own way, as one error."""
    try:
        yield
    except (AutocoderError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise ConfigError(
            f"cannot read the {what} of {folder}: {type(error).__name__}: {error}; the checkpoint "
            "is damaged or incomplete, get or write it anew"
        ) from error


def _record(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    return record


def _model(folder: Path, config: Any) -> Any:
    """The weights, every one of them the checkpoint's: transformers makes up what is missing."""
    auto: Any = AutoModelForCausalLM
    with _readable(folder, "weights"):
        model, loaded = auto.from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True
        )
    surplus = [key for key in loaded["unexpected_keys"] if not key.endswith(_BUFFERS)]
    for keys, fault in ((loaded["missing_keys"], "lack"), (surplus, "go beyond")):
        if keys:
            some = ", ".join(sorted(keys)[:3]) + (", …" if len(keys) > 3 else "")
            raise ConfigError(
                f"the weights of {folder} {fault} what config.json asks for, by {len(keys)} "
                f"({some}): correct config.json, or get the checkpoint anew"
            )
    return model.eval()


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
    return _record(path) if path.is_file() else {}
