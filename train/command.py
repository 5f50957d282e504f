"""`autocoder train …`: hands each word to the module that does it, importing only that one."""

import importlib
import sys
from collections.abc import Sequence

COMMANDS: dict[str, tuple[str, str]] = {
    "corpus": ("autocoder.train.corpus.build", "mine and clean a corpus from a manifest"),
    "tokenizer": ("autocoder.train.pretrain.tokenizer", "train a tokenizer made for code"),
    "pretrain": ("autocoder.train.pretrain.command", "pre-train, or continue, from a recipe"),
    "throughput": (
        "autocoder.train.pretrain.throughput",
        "tokens a second of our training step beside plain transformers'",
    ),
    "compare": (
        "autocoder.train.pretrain.compare",
        "GPT-2-type against Llama-type in several sizes, by equal time",
    ),
    "segments": ("autocoder.train.finetune.segments", "build the blog's token windows"),
    "finetune": ("autocoder.train.finetune.command", "fine-tune any causal LM from a recipe"),
    "contamination": (
        "autocoder.train.finetune.contamination",
        "the perplexities of splitting by window and by file, side by side",
    ),
}


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder train NAME …`; returns the exit status."""
    if not arguments or arguments[0] not in COMMANDS:
        asked_for_help = bool(arguments) and arguments[0] in ("-h", "--help")
        rows = "\n".join(f"  {name:<14} {text}" for name, (_, text) in COMMANDS.items())
        print(
            f"usage: autocoder train NAME …\n\n{rows}", file=None if asked_for_help else sys.stderr
        )
        return 0 if asked_for_help else 2
    module = importlib.import_module(COMMANDS[arguments[0]][0])
    return int(module.main(arguments[1:]))
