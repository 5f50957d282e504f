"""Tiny checkpoints for tests: real models, real tokenizer, made in a second without a network.

Trained for a moment on a few repetitive functions, such a model continues them; with
`train_steps=0` its weights are random. Knows transformers, no ONNX.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from autocoder.daemon.prompt import Budget, PromptBuilder, PromptFormat

SPECIAL = ("<eos>", "<python>", "<java>", "<prefix>", "<suffix>", "<middle>")
CLASSES: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "gpt2": (GPT2Config, GPT2LMHeadModel),
}
TINY: dict[str, Any] = {
    "hidden": 64,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "intermediate": 128,
    "context": 256,
    "tied": True,
    "rope_theta": 50_000.0,
}
LLAMA_NAMES = {
    "hidden": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "intermediate": "intermediate_size",
    "context": "max_position_embeddings",
    "tied": "tie_word_embeddings",
    "rope_theta": "rope_theta",
    "head_size": "head_dim",
}
GPT2_NAMES = {
    "hidden": "n_embd",
    "layers": "n_layer",
    "heads": "n_head",
    "intermediate": "n_inner",
    "context": "n_positions",
    "tied": "tie_word_embeddings",
}
NAMES = ("count", "index", "value", "total", "name", "size", "first", "line")
FUNCTION = """def get_{0}(self):
    return self.{0}


def set_{0}(self, {0}):
    self.{0} = {0}


for i in range(10):
    print({0}[i])

"""


def text() -> str:
    """The source that tiny models are trained on."""
    return "".join(FUNCTION.format(name) for name in NAMES)


def make_tokenizer(vocab: int = 600, corpus: str | None = None) -> Tokenizer:
    """A byte-level BPE tokenizer of exactly `vocab` tokens, the special ones first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[AddedToken(name, special=True) for name in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([corpus or text()], trainer)
    missing = vocab - tokenizer.get_vocab_size()
    tokenizer.add_tokens([f"<unused{i}>" for i in range(missing)])
    return tokenizer


def make_model(kind: str, vocab: int, **sizes: Any) -> nn.Module:
    """A fresh model of kind "llama", "gpt2" or "qwen2"; `sizes` override those of TINY."""
    config, model = CLASSES[kind]
    names = GPT2_NAMES if kind == "gpt2" else LLAMA_NAMES
    settings = {names[key]: value for key, value in (TINY | sizes).items() if key in names}
    made: nn.Module = model(config(vocab_size=vocab, bos_token_id=0, eos_token_id=0, **settings))
    return made


def make_checkpoint(
    folder: Path,
    kind: str = "llama",
    *,
    vocab: int = 600,
    train_steps: int = 60,
    seed: int = 0,
    tokenizer: Tokenizer | None = None,
    **sizes: Any,
) -> Path:
    """Write a Hugging Face folder of a tiny model, with tokenizer and prompt.json; returns it."""
    torch.manual_seed(seed)
    words = tokenizer or make_tokenizer(vocab)
    model: Any = make_model(kind, vocab, **sizes)
    train(model, PromptBuilder(words, PromptFormat(), Budget()), train_steps)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    words.save(str(folder / "tokenizer.json"))
    record = json.dumps(PromptFormat().to_manifest(), indent=2)
    (folder / "prompt.json").write_text(record + "\n", encoding="utf-8")
    return folder


def train(model: nn.Module, builder: PromptBuilder, steps: int) -> float:
    """Teach a model the tiny text, plain and with holes; returns the last loss in nats."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batches = _batches(builder, torch.Generator().manual_seed(0))
    loss: Any = torch.zeros(())
    model.train()
    for _ in range(steps):
        ids = next(batches)
        loss = model(ids, labels=ids).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    return float(loss.item())


def _batches(builder: PromptBuilder, chance: torch.Generator) -> Iterator[torch.Tensor]:
    """Batches of 8 windows of 96 tokens; half of them a hole with its middle, then the end."""
    source = text()
    while True:
        rows = []
        for index in range(8):
            start = int(torch.randint(len(source) - 300, (1,), generator=chance))
            start = source.rfind("\n", 0, start) + 1
            length = int(torch.randint(1, 60, (1,), generator=chance))
            middle, suffix = start + 120, start + 120 + length
            if index % 2:
                prompt = builder.build("python", source[start:middle], source[suffix:][:60])
                ids = [*prompt.ids, *builder.encode(source[middle:suffix]), builder.end_id]
            else:
                opening = builder.assemble("python", [], []).ids[:1]
                ids = [*opening, *builder.encode(source[start:][:500])]
            rows.append((ids + [builder.end_id] * 96)[:96])
        yield torch.tensor(rows)
