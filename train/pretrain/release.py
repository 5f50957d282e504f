"""Weights become a whole checkpoint: the tokenizer, the prompt format and a card beside them.

`autocoder export` then needs nothing else, and a later stage or a fine-tuning begins from the
folder. Knows files; knows no tensors.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from autocoder.train.pretrain.recipe import Recipe
from autocoder.train.pretrain.samples import form_of

TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "eos_token": "<eos>",
    "pad_token": "<pad>",
    "clean_up_tokenization_spaces": False,
}


def complete(folder: Path, tokenizer: Path, recipe: Recipe, training: dict[str, Any]) -> None:
    """Add tokenizer.json, tokenizer_config.json, prompt.json and card.json to saved weights.

    The card holds `training` and the last evaluation of the run whose folder this one lies in.
    """
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    card = {"training": training, "results": last_evaluation(folder.parent)}
    records = {
        "tokenizer_config.json": TOKENIZER_CONFIG,
        "prompt.json": form_of(recipe.mixture).to_manifest(),
        "card.json": card,
    }
    for name, record in records.items():
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


def last_evaluation(run: Path) -> dict[str, Any]:
    """The last row of evaluations.jsonl as `dev_bits_per_byte`; nothing where there is none."""
    path = run / "evaluations.jsonl"
    rows = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {"dev_bits_per_byte": json.loads(rows[-1])} if rows else {}
