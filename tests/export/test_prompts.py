"""The prompt of a checkpoint: its own record, or what its tokens tell."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, processors

from autocoder.daemon.errors import ConfigError, ModelError
from autocoder.daemon.prompt import PREFIX, SUFFIX, PromptBuilder
from autocoder.export.prompts import prompt_format


def words(*special: str) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    tokenizer.add_special_tokens(list(special))
    return tokenizer


STYLES = {
    "own": ["<suffix>", "<prefix>", "<middle>", "<eos>", "<python>"],
    "StarCoder": ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<|endoftext|>"],
    "Qwen2.5-Coder": ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|endoftext|>"],
    "CodeLlama": ["<s>", "</s>", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"],
    "DeepSeek": [
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        "<｜fim▁begin｜>",
        "<｜fim▁hole｜>",
        "<｜fim▁end｜>",
    ],
}


@pytest.mark.parametrize("style", STYLES)
def test_known_tokens_fill_holes(tmp_path: Path, style: str) -> None:
    tokenizer = words(*STYLES[style])
    form = prompt_format(tmp_path, tokenizer, None)
    assert PREFIX in form.parts and SUFFIX in form.parts
    prompt = PromptBuilder(tokenizer, form).build("python", "a", "a")
    assert len(prompt.ids) == len(form.parts) - (style == "own") + ("<python>" in STYLES[style])
    assert all(tokenizer.token_to_id(token) is not None for token in form.stop_tokens)


def test_without_such_tokens_it_only_continues(tmp_path: Path) -> None:
    form = prompt_format(tmp_path, words("<end>"), "<end>")
    assert form.parts == () and form.end == "<end>" and form.controls == {}


def test_the_tokenizers_own_opening_is_kept(tmp_path: Path) -> None:
    tokenizer = words("<s>", "</s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    form = prompt_format(tmp_path, tokenizer, "</s>")
    assert form.plain[0] == "<s>" and form.plain[-1] == PREFIX


def test_no_end_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"prompt\.json"):
        prompt_format(tmp_path, words(), None)


def test_a_record_that_does_not_fit_the_tokenizer(tmp_path: Path) -> None:
    record = '{"parts": [], "plain": ["<nowhere>"], "controls": {}, "end": "a"}'
    (tmp_path / "prompt.json").write_text(record)
    with pytest.raises(ModelError, match="<nowhere>"):
        prompt_format(tmp_path, words(), None)
