"""How a checkpoint wants its prompt: its own record, else what its tokenizer's tokens tell.

Knows the fill-in-the-middle tokens of the public code models, in the order that their authors
document. Knows no model and no graph.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.languages import LANGUAGES
from autocoder.daemon.prompt import CONTROL, PREFIX, SUFFIX, PromptBuilder, PromptFormat

RECORD = "prompt.json"

_OWN = PromptFormat(controls={})
_STARCODER = PromptFormat(
    parts=("<fim_prefix>", PREFIX, "<fim_suffix>", SUFFIX, "<fim_middle>"),
    plain=(PREFIX,),
    controls={},
    end="<|endoftext|>",
    stop_tokens=("<|endoftext|>", "<fim_pad>", "<file_sep>", "<filename>", "<fim_prefix>"),
)
_QWEN = PromptFormat(
    parts=("<|fim_prefix|>", PREFIX, "<|fim_suffix|>", SUFFIX, "<|fim_middle|>"),
    plain=(PREFIX,),
    controls={},
    end="<|endoftext|>",
    stop_tokens=("<|endoftext|>", "<|fim_pad|>", "<|file_sep|>", "<|repo_name|>", "<|im_end|>"),
)
_CODELLAMA = PromptFormat(
    parts=("<s>", "▁<PRE>", PREFIX, "▁<SUF>", SUFFIX, "▁<MID>"),
    plain=("<s>", PREFIX),
    controls={},
    end="▁<EOT>",
    stop_tokens=("▁<EOT>", "</s>"),
)
_DEEPSEEK = PromptFormat(
    parts=(
        "<｜begin▁of▁sentence｜>",
        "<｜fim▁begin｜>",
        PREFIX,
        "<｜fim▁hole｜>",
        SUFFIX,
        "<｜fim▁end｜>",
    ),
    plain=("<｜begin▁of▁sentence｜>", PREFIX),
    controls={},
    end="<｜end▁of▁sentence｜>",
    stop_tokens=("<｜end▁of▁sentence｜>", "<|EOT|>"),
)
KNOWN = (_OWN, _STARCODER, _QWEN, _CODELLAMA, _DEEPSEEK)


def prompt_format(folder: Path, tokenizer: Tokenizer, eos: str | None) -> PromptFormat:
    """The format of a checkpoint: `prompt.json` in its folder, else by its tokenizer's tokens.

    `eos` is the tokenizer's end-of-text token, for a model without fill-in-the-middle tokens.
    Raises ConfigError where there is none, ModelError where `prompt.json` does not fit the
    tokenizer.
    """
    record = folder / RECORD
    if record.is_file():
        form = PromptFormat.from_manifest(json.loads(record.read_text(encoding="utf-8")))
    else:
        form = _by_tokens(tokenizer, eos)
    PromptBuilder(tokenizer, form)
    return form


def _by_tokens(tokenizer: Tokenizer, eos: str | None) -> PromptFormat:
    controls = {name: f"<{name}>" for name in _language_names() if _has(tokenizer, [f"<{name}>"])}
    for form in KNOWN:
        needed = {*form.parts, *form.plain, form.end} - {CONTROL, PREFIX, SUFFIX}
        if _has(tokenizer, needed):
            stops = tuple(token for token in form.stop_tokens if _has(tokenizer, [token]))
            return PromptFormat(form.parts, form.plain, controls, form.end, stops)
    end = "<eos>" if _has(tokenizer, ["<eos>"]) else eos
    if end is None:
        raise ConfigError(f"the tokenizer names no end token; say so in a {RECORD} beside it")
    plain = (*_opening(tokenizer), CONTROL, PREFIX)
    return PromptFormat((), plain, controls, end, (end,))


def _opening(tokenizer: Tokenizer) -> list[str]:
    """The special tokens that the tokenizer itself puts before a text."""
    bare = tokenizer.encode("a", add_special_tokens=False).tokens
    full = tokenizer.encode("a").tokens
    return list(full[: full.index(bare[0])]) if bare and bare[0] in full else []


def _has(tokenizer: Tokenizer, tokens: Iterable[str]) -> bool:
    return all(tokenizer.token_to_id(token) is not None for token in tokens)


def _language_names() -> list[str]:
    return [language.name for language in LANGUAGES]
