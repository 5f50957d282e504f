"""The model that fine-tuning starts from: a hub name, a local folder, or fresh from a config.

Adds the control codes to its tokenizer and makes the embeddings fit. Knows transformers; knows no
data and no training loop.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.languages import LANGUAGES
from autocoder.train.finetune.vocabulary import END

HUB_TIMEOUT = 10  # seconds
NAMED = "distilgpt2, gpt2, gpt2-medium, gpt2-large"


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer with control codes. `end` is its end-of-text token's name."""

    tokenizer: Tokenizer
    end: str

    @property
    def controls(self) -> dict[str, str]:
        """Language name → control token."""
        return {row.name: f"<{row.name}>" for row in LANGUAGES}

    @property
    def digest(self) -> str:
        """Equal for tokenizers that make the same ids of every text."""
        return hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()

    def id_of(self, token: str) -> int:
        return int(self.tokenizer.token_to_id(token))

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and what transformers wants beside it."""
        wrapped = PreTrainedTokenizerFast(
            tokenizer_object=self.tokenizer,
            bos_token=self.end,
            eos_token=self.end,
            unk_token=self.end,
            additional_special_tokens=list(self.controls.values()),
            clean_up_tokenization_spaces=False,
        )
        wrapped.save_pretrained(folder)


def with_controls(tokenizer: Tokenizer, end: str) -> Vocabulary:
    """Add the control codes as special tokens, where the tokenizer lacks them.

    Text is encoded as text: `<python>` in a source file does not become the control code.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    names = [f"<{row.name}>" for row in LANGUAGES]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    tokenizer.encode_special_tokens = True
    return Vocabulary(tokenizer, end)


def load_vocabulary(base: str) -> Vocabulary:
    """The tokenizer of a base, with control codes. Raises ConfigError where there is none."""
    folder = base_folder(base)
    if (folder / "tokenizer_config.json").is_file() or not (folder / "tokenizer.json").is_file():
        tokenizer, end = _described_tokenizer(folder)
    else:
        tokenizer, end = Tokenizer.from_file(str(folder / "tokenizer.json")), None
    return with_controls(tokenizer, _end_token(folder, tokenizer, end))


def _described_tokenizer(folder: Path) -> tuple[Tokenizer, str | None]:
    try:
        loaded = AutoTokenizer.from_pretrained(folder, use_fast=True)
        return loaded.backend_tokenizer, loaded.eos_token
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{folder} has no tokenizer that can be used here: {error}") from error


def _end_token(folder: Path, tokenizer: Tokenizer, described: str | None) -> str:
    record = folder / "prompt.json"
    own = json.loads(record.read_text(encoding="utf-8"))["end"] if record.is_file() else None
    for name in (own, described, END, "<|endoftext|>"):
        if name is not None and tokenizer.token_to_id(name) is not None:
            return str(name)
    raise ConfigError(f"the tokenizer in {folder} names no end-of-text token; add eos_token to it")


def load_model(base: str, vocabulary: Vocabulary, sequence: int) -> nn.Module:
    """The base's weights in float32, embeddings resized to the vocabulary.

    Raises ConfigError where the base cannot be loaded, or is too short for `sequence` tokens.
    """
    folder = base_folder(base)
    try:
        config = AutoConfig.from_pretrained(folder)
        _set_rope_theta(config, folder)
        model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"cannot load a causal language model from {base}: {error}") from error
    _fit_embeddings(model, vocabulary.tokenizer.get_vocab_size())
    return _checked(model, vocabulary, sequence)


def fresh_model(settings: Mapping[str, Any], vocabulary: Vocabulary, sequence: int) -> nn.Module:
    """A model with random weights, from the recipe's [model]: a `model_type` and its config keys.

    Raises ConfigError for a type or key that transformers does not know.
    """
    wanted = dict(settings)
    kind = str(wanted.pop("model_type"))
    try:
        known = AutoConfig.for_model(kind)
    except ValueError as error:
        raise ConfigError(f"[model] model_type is {kind!r}: no such type; try gpt2") from error
    for key in wanted:
        if not hasattr(known, key):
            raise ConfigError(f"[model] {key}: a {kind} config has no such setting")
    end = vocabulary.id_of(vocabulary.end)
    config = AutoConfig.for_model(
        kind,
        **wanted,
        vocab_size=vocabulary.tokenizer.get_vocab_size(),
        bos_token_id=end,
        eos_token_id=end,
    )
    try:
        return _checked(AutoModelForCausalLM.from_config(config), vocabulary, sequence)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"[model] makes no model: {error}") from error


def _set_rope_theta(config: Any, folder: Path) -> None:
    """transformers 5 writes `rope_theta` inside `rope_parameters`, where 4 does not look."""
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    theta = (record.get("rope_parameters") or {}).get("rope_theta")
    if theta is not None and "rope_theta" not in record:
        config.rope_theta = float(theta)


def _fit_embeddings(model: Any, size: int) -> None:
    """Grow the embeddings to `size` rows; new rows are drawn around the mean of the old ones
    (Hewitt, "Initializing New Word Embeddings for Pretrained Language Models", 2021).

    A model with rows to spare keeps them.
    """
    if model.get_input_embeddings().num_embeddings < size:
        model.resize_token_embeddings(size)


def _checked(model: Any, vocabulary: Vocabulary, sequence: int) -> nn.Module:
    limit = getattr(model.config, "max_position_embeddings", sequence)
    if limit < sequence:
        raise ConfigError(
            f"the model sees {limit} tokens at most, the recipe asks for sequence = {sequence}; "
            f"set sequence = {limit} and segment_length = {limit - 2}"
        )
    model.config.eos_token_id = vocabulary.id_of(vocabulary.end)
    return model


def base_folder(base: str) -> Path:
    """The local folder of a base: itself, the hub's cache, or downloaded into that.

    Raises ConfigError where the base is neither, saying what to do without a network.
    """
    folder = Path(base).expanduser()
    if folder.is_dir():
        if not any((folder / name).is_file() for name in ("config.json", "tokenizer.json")):
            raise ConfigError(f"{folder} has no config.json: it is no Hugging Face checkpoint")
        return folder
    return _cached(base) or _downloaded(base)


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except Exception:  # not in the cache, or no valid name: the download says which
        return None
    return folder if any(folder.glob("*.safetensors")) or any(folder.glob("*.bin")) else None


def _downloaded(name: str) -> Path:
    """Ask the hub once and quickly whether it is there: its own retries take a minute."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        facts = HfApi().model_info(name, timeout=HUB_TIMEOUT)
        files = [sibling.rfilename for sibling in facts.siblings or []]
        safe = any(file.endswith(".safetensors") for file in files)
        weights = "*.safetensors" if safe else "*.bin"
        patterns = ["*.json", "*.txt", "*.model", weights]
        return Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except Exception as error:
        raise ConfigError(
            f"the base {name!r} is neither a folder nor in the local Hugging Face cache, and the "
            f"hub does not give it ({type(error).__name__}). Known names: {NAMED}. "
            "Without a network: on a connected machine run "
            f"`hf download {name} --local-dir {name.split('/')[-1]}`, copy "
            "that folder here and pass it with --base."
        ) from error
