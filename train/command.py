"""`autocoder train …`: hands each word to the module that does it, importing only that one."""

import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec

COMMANDS: dict[str, tuple[str, str]] = {
    "corpus": ("autocoder.train.corpus.build", "mine and clean a corpus from a manifest"),
    "tokenizer": ("autocoder.train.pretrain.tokenizer", "train a tokenizer made for code"),
    "tokenizer-sizes": (
        "autocoder.train.pretrain.tokenizer_sizes",
        "how large a vocabulary pays, in bytes per token and in time",
    ),
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


# What a command needs of the packages that only training needs; the others import theirs at once.
_FINETUNING = ("accelerate", "datasketch", "matplotlib", "tensorboard", "torch", "transformers")
NEEDS: dict[str, tuple[str, ...]] = {
    "corpus": ("datasketch", "matplotlib", "tqdm"),
    "segments": ("datasketch", "torch", "tqdm", "transformers"),
    "finetune": _FINETUNING,
    "contamination": _FINETUNING,
}


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder train NAME …`; returns the exit status.

    Raises ModuleNotFoundError where a package is missing, before anything is begun.
    """
    if not arguments or arguments[0] not in COMMANDS:
        asked_for_help = bool(arguments) and arguments[0] in ("-h", "--help")
        rows = "\n".join(f"  {name:<15} {text}" for name, (_, text) in COMMANDS.items())
        print(
            f"usage: autocoder train NAME …\n\n{rows}", file=None if asked_for_help else sys.stderr
        )
        return 0 if asked_for_help else 2
    name, words = arguments[0], arguments[1:]
    module = importlib.import_module(COMMANDS[name][0])
    if not {"-h", "--help"} & set(words):
        _require(NEEDS.get(name, ()))
    return int(module.main(words))


def _require(packages: Sequence[str]) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise ModuleNotFoundError(f"no package {package}", name=package)
