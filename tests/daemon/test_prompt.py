"""Prompts: what a keystroke leaves alone stays the same token ids."""

import random

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from autocoder.daemon.errors import ModelError
from autocoder.daemon.prompt import Budget, PromptBuilder, PromptFormat, left_edge, right_edge

SPECIALS = ["<python>", "<java>", "<suffix>", "<prefix>", "<middle>", "<eos>", "<path>", "<file>"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """One token per byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(SPECIALS)
    return bpe


def source(lines: int) -> str:
    chance = random.Random(5)
    rows = []
    for number in range(lines):
        indent = "" if number % 12 == 0 else "    "
        rows.append(f"{indent}name_{chance.randrange(10**6)} = {number}")
    return "\n".join(rows)


def test_order_is_control_suffix_prefix_middle(tokenizer: Tokenizer) -> None:
    prompt = PromptBuilder(tokenizer, PromptFormat()).build("python", "ab", "z")
    assert tokenizer.decode(list(prompt.ids), skip_special_tokens=False) == (
        "<python><suffix>z<prefix>ab<middle>"
    )
    assert tokenizer.decode(list(prompt.ids[prompt.prefix_start : prompt.prefix_stop])) == "ab"


def test_an_unknown_language_gets_no_control_code(tokenizer: Tokenizer) -> None:
    prompt = PromptBuilder(tokenizer, PromptFormat()).build("cobol", "a", "")
    assert tokenizer.decode(list(prompt.ids), skip_special_tokens=False) == (
        "<suffix><prefix>a<middle>"
    )


def test_typing_appends_and_moves_the_left_edge_seldom(tokenizer: Tokenizer) -> None:
    builder = PromptBuilder(tokenizer, PromptFormat(), Budget(200, 50, 1.0))
    text, after = source(100), "\n    return 1\n"
    moves, earlier = 0, None
    for cursor in range(900, 1500):
        prompt = builder.build("python", text[:cursor], after)
        if earlier is not None and prompt.ids[:-2] != earlier.ids[:-1]:
            moves += 1
        earlier = prompt
    assert 1 <= moves <= 30


@pytest.mark.parametrize("separator", ["\n", ";"])
def test_short_tokens_are_dropped_in_blocks_too(tokenizer: Tokenizer, separator: str) -> None:
    """A token per character where four were expected: the window is full all the time."""
    builder = PromptBuilder(tokenizer, PromptFormat(), Budget(200, 50, 4.0))
    text = separator.join(f"x={number}" for number in range(400))
    moves, earlier = 0, None
    for cursor in range(900, 1500):
        prompt = builder.build("python", text[:cursor], "")
        moves += earlier is not None and prompt.ids[:-2] != earlier.ids[:-1]
        length = prompt.prefix_stop - prompt.prefix_start
        assert 150 <= length <= 200
        earlier = prompt
    assert 1 <= moves <= 60


@pytest.mark.parametrize("limit", [10, 100, 399])
def test_left_edge_is_a_line_start_within_the_limit(limit: int) -> None:
    text = source(80)
    edge = left_edge(text, limit)
    assert len(text) - limit <= edge < len(text)
    if limit > 100:
        assert text[edge - 1] == "\n"


def test_left_edge_does_not_depend_on_what_was_cut_off_before() -> None:
    text = source(200)
    kept = text[left_edge(text, 800) :]
    assert text[700:][left_edge(text[700:], 800) :] == kept


def test_right_edge_keeps_whole_lines() -> None:
    text = source(40)
    assert text[: right_edge(text, 300)].endswith("\n")
    assert right_edge("short", 300) == 5
    assert right_edge("x" * 500, 300) == 300


def test_a_tokenizer_without_the_special_tokens_is_refused() -> None:
    bare = Tokenizer(models.BPE({"a": 0}, []))
    with pytest.raises(ModelError, match="<"):
        PromptBuilder(bare, PromptFormat())


def test_manifest_round_trip() -> None:
    form = PromptFormat()
    assert PromptFormat.from_manifest(form.to_manifest()) == form
    with pytest.raises(ModelError, match="parts"):
        PromptFormat.from_manifest({})


def test_other_files_stand_before_what_the_cursor_changes(tokenizer: Tokenizer) -> None:
    builder = PromptBuilder(tokenizer, PromptFormat.with_context())
    files = [("home/me/shop/cart.py", "x = 1\n"), ("b.py", "y = 2\nz = 3\n")]
    budget = Budget(context_tokens=60, chars_per_token=1.0)
    prompts = [
        builder.build("python", prefix, suffix, budget, files)
        for prefix, suffix in (("ab", "z"), ("abc", "z"), ("", "bcz"))
    ]
    text = tokenizer.decode(list(prompts[0].ids), skip_special_tokens=False)
    assert text == (
        "<python><path>me/shop/cart.py<file>x = 1\n<path>b.py<file>y = 2\nz = 3\n"
        "<suffix>z<prefix>ab<middle>"
    )
    assert prompts[1].ids[: len(prompts[0].ids) - 1] == prompts[0].ids[:-1]  # typing appends
    others = len(builder.other_files(files, budget))
    assert {prompt.ids[: 1 + others] for prompt in prompts} == {prompts[0].ids[: 1 + others]}
    assert tokenizer.decode(list(prompts[2].ids[prompts[2].prefix_start :])) == ""


def test_other_files_share_their_budget_and_need_a_model_that_knows_them(
    tokenizer: Tokenizer,
) -> None:
    long = [("a.py", source(90)), ("b.py", source(90))]
    budget = Budget(context_tokens=400, chars_per_token=1.0)
    builder = PromptBuilder(tokenizer, PromptFormat.with_context())
    assert 200 < len(builder.other_files(long, budget)) <= 400
    assert builder.build("python", "a", "", Budget(), long) == builder.build("python", "a", "")
    without = PromptBuilder(tokenizer, PromptFormat())
    assert without.build("python", "a", "", budget, long) == without.build("python", "a", "")


def test_the_manifest_names_the_other_files_form_only_where_there_is_one() -> None:
    form = PromptFormat.with_context()
    assert PromptFormat.from_manifest(form.to_manifest()) == form
    assert "other_file" not in PromptFormat().to_manifest()
