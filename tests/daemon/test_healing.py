"""A cursor in mid-word: the word is given back, chosen anew, and not repeated in the suggestion."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.detokenizer import Detokenizer
from autocoder.daemon.engine import Engine
from autocoder.daemon.healing import Agreement, Vocabulary, unfinished
from autocoder.daemon.loading import load_completer
from autocoder.daemon.prompt import PromptBuilder, PromptFormat
from autocoder.daemon.protocol import Complete, ModelInfo

PIECES = (
    b"",
    b"e",
    b"en",
    b"enum",
    b"enumerate",
    b"n",
    b" enum",
    b"x",
    b"enum(",
    b"\xff",
    b"\xffa",
    b"um",
    b"um_",
)


def never() -> bool:
    return False


@pytest.mark.parametrize(
    ("pieces", "count"),
    [
        ((b"in", b" enum"), 1),  # the blank begins the token: `in` is another word
        ((b" en", b"um"), 2),
        ((b"(", b"en", b"um"), 2),
        ((b".", b"enum"), 1),
        ((b".enum",), 1),
        ((b"self", b".jo"), 1),
        ((b"x", b" ="), 1),
        ((b"=", b" "), 1),
        ((b"x", b"("), 1),
        ((b"self", b"."), 1),
        ((b":", b"\n    "), 0),
        ((b"):\n",), 0),
        ((b"x", b""), 0),
        ((b"na", "ï".encode()[:1], "ï".encode()[1:], b"ve"), 4),
        ((b"a",) * 20, 8),
        ((), 0),
    ],
)
def test_the_unfinished_is_given_back(pieces: tuple[bytes, ...], count: int) -> None:
    assert unfinished(pieces) == count


def test_marks_can_be_left_alone() -> None:
    assert unfinished((b"self", b"."), marks=False) == 0
    assert unfinished((b"self", b".jo"), marks=False) == 1


def test_tokens_are_found_by_their_beginning() -> None:
    vocabulary = Vocabulary(PIECES)

    def found(text: bytes) -> set[bytes]:
        return {PIECES[token] for token in vocabulary.beginning_with(text)}

    assert found(b"enum") == {b"enum", b"enumerate", b"enum("}
    assert found(b"enumer") == {b"enumerate"}
    assert found(b" enum") == {b" enum"}
    assert found(b"\xff") == {b"\xff", b"\xffa"}
    assert found(b"?") == set()


def test_what_was_typed_agrees_and_what_begins_with_all_that_is_left() -> None:
    logits = np.arange(len(PIECES), dtype=np.float32)
    typed = [(PIECES.index(piece), piece) for piece in (b"en", b"um")]
    agreement = Agreement(typed, Vocabulary(PIECES))

    def agreeing(written: int) -> list[bytes]:
        weighed = agreement.weighed(logits, written)
        kept = np.flatnonzero(np.isfinite(weighed))
        assert (weighed[kept] == logits[kept]).all()
        return [PIECES[token] for token in kept]

    assert agreeing(0) == [b"en", b"enum", b"enumerate", b"enum("]  # not `e`
    assert agreeing(2) == [b"um", b"um_"]
    assert agreement.weighed(logits, 4) is logits
    assert Agreement([], Vocabulary(PIECES)).weighed(logits, 0) is logits


MERGED = [("e", "n"), ("u", "m"), ("en", "um")]


@pytest.fixture
def tokenizer() -> Tokenizer:
    """Single characters, `en`, `um` and `enum`; byte-level, as the bundled model's is."""
    from tokenizers import decoders, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *("".join(pair) for pair in MERGED)]
    made = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, MERGED))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<python>", "<java>", "<suffix>", "<prefix>", "<middle>", "<eos>"])
    return made


def completer_of(fake_graph: Any, tokenizer: Tokenizer, answers: Mapping[str, str]) -> Any:
    """A model that says `answers[what was said]` next, most probably; `<eos>` where there is none.

    `graph.prompts` collects the texts that it was asked to continue.
    """
    middle, eos = (tokenizer.token_to_id(name) for name in ("<middle>", "<eos>"))

    def answer(past: tuple[int, ...]) -> Mapping[int, float]:
        at = past.index(middle) if middle in past else len(past)
        said = tokenizer.decode(list(past[at + 1 :]))
        graph.prompts.add(tokenizer.decode(list(past[:at])))
        wanted = {tokenizer.token_to_id(answers[said]): 0.6} if said in answers else {eos: 0.6}
        return {tokenizer.token_to_id("x"): 0.3, **wanted}

    graph = fake_graph(answer, tokenizer.get_vocab_size())
    graph.prompts = set()
    completer = ModelCompleter(
        Engine(graph),
        PromptBuilder(tokenizer, PromptFormat()),
        Detokenizer(tokenizer),
        ModelInfo("fake", "", "", (), 512, True),
    )
    return completer, graph


def test_the_word_is_not_repeated(fake_graph: Any, tokenizer: Tokenizer) -> None:
    answers = {"": "x", "en": "um", "enum": "(", "enum(": ")"}
    completer, graph = completer_of(fake_graph, tokenizer, answers)
    (suggestion,) = completer.complete(Complete("x(en"), never).suggestions
    assert suggestion.text == "um()"
    assert "x(" in graph.prompts and "x(en" not in graph.prompts
    assert suggestion.probability == prod(suggestion.token_probabilities)


def test_the_probability_is_that_among_the_tokens_that_agree(
    fake_graph: Any, tokenizer: Tokenizer
) -> None:
    completer, _ = completer_of(fake_graph, tokenizer, {"": "enum", "enum": "("})
    (suggestion,) = completer.complete(Complete("x(en"), never).suggestions
    assert suggestion.text == "um("
    # `enum` had 0.6 and `x`, which does not agree, 0.3: among those that do it is all but certain.
    assert suggestion.token_probabilities[0] == pytest.approx(1.0, abs=0.02)
    assert suggestion.token_probabilities[1] == pytest.approx(0.6, abs=0.02)


def test_typing_on_in_a_word_keeps_the_prompt(fake_graph: Any, tokenizer: Tokenizer) -> None:
    completer, graph = completer_of(fake_graph, tokenizer, {"": "enum", "enum": "("})
    completer.complete(Complete("x(e"), never)
    graph.passes.clear()
    answer = completer.complete(Complete("x(en"), never)
    assert answer.suggestions[0].text == "um("
    assert answer.prompt_tokens == answer.cached_tokens
    assert not graph.passes  # what was said before is said again


def test_tokens_of_the_text_before_the_cursor_are_not_counted(
    fake_graph: Any, tokenizer: Tokenizer
) -> None:
    answers = {"": "en", "en": "um", "enum": "(", "enum(": "(", "enum((": "("}
    completer, _ = completer_of(fake_graph, tokenizer, answers)
    answer = completer.complete(Complete("x(en", max_tokens=2), never)
    (suggestion,) = answer.suggestions
    assert (suggestion.text, suggestion.stopped_by) == ("um(", "length")
    assert len(suggestion.token_probabilities) == 2
    assert answer.generated_tokens == 3


def test_a_prompt_that_is_one_word_stays(fake_graph: Any, tokenizer: Tokenizer) -> None:
    """Without control code and `<middle>`, nothing would be left to continue."""
    said = tokenizer.token_to_id("(")
    completer = ModelCompleter(
        Engine(fake_graph(lambda past: {said: 1.0}, tokenizer.get_vocab_size())),
        PromptBuilder(tokenizer, PromptFormat(parts=(), plain=("{control}", "{prefix}"))),
        Detokenizer(tokenizer),
        ModelInfo("fake", "", "", (), 512, False),
    )
    answer = completer.complete(Complete("enum", max_tokens=1), never)
    assert (answer.prompt_tokens, answer.suggestions[0].text) == (1, "(")


def test_candidates_agree_too(fake_graph: Any, tokenizer: Tokenizer) -> None:
    completer, _ = completer_of(fake_graph, tokenizer, {"": "enum", "en": "um", "enum": "("})
    answer = completer.complete(Complete("x(en", candidates=3), never)
    assert "um(" in [suggestion.text for suggestion in answer.suggestions]
    sampled = Complete("x(en", temperature=1.5, candidates=4, seed=3)
    assert completer.complete(sampled, never).suggestions


# The bundled model


@pytest.fixture(scope="module")
def bundled() -> ModelCompleter:
    return load_completer()


@pytest.mark.parametrize(
    ("prefix", "rest"),
    [("def f(items):\n    for i, item in enum", "erate("), ("import os\n\nos.path.jo", "in(")],
)
def test_words_cut_in_two_are_finished(bundled: ModelCompleter, prefix: str, rest: str) -> None:
    answer = bundled.complete(Complete(prefix, "\n", language="python"), never)
    assert answer.suggestions[0].text.startswith(rest)


def test_every_token_of_the_bundled_model_is_found_by_its_bytes(bundled: ModelCompleter) -> None:
    pieces = bundled._detokenizer.pieces
    vocabulary = bundled._vocabulary
    for token in range(0, len(pieces), 97):
        if pieces[token]:
            assert token in vocabulary.beginning_with(pieces[token])
    for word in (b"enum", b" self", b"_", "日".encode()):
        expected = {token for token, piece in enumerate(pieces) if piece.startswith(word)}
        assert set(vocabulary.beginning_with(word).tolist()) == expected
