"""From text to suggestions, against models whose continuations the test writes down."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import pytest
from tokenizers import Tokenizer

from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.detokenizer import Detokenizer
from autocoder.daemon.engine import Engine
from autocoder.daemon.loading import fitted
from autocoder.daemon.prompt import Budget, PromptBuilder, PromptFormat
from autocoder.daemon.protocol import Cancelled, Complete, Completion, ModelInfo

Make = Callable[..., ModelCompleter]


@pytest.fixture
def completer_of(scripted: Any, byte_tokenizer: Tokenizer) -> Make:
    """Makes the completer of a model that continues with the texts given."""

    def make(texts: str | Mapping[str, float], **options: Any) -> ModelCompleter:
        graph = scripted({texts: 1.0} if isinstance(texts, str) else texts, **options)
        return build(graph, byte_tokenizer)

    return make


def build(graph: Any, tokenizer: Tokenizer) -> ModelCompleter:
    """A completer that takes the prompt as it is: what the tests' models say does not depend on it.

    (Token healing has tests of its own.)
    """
    budget = fitted(Budget(200, 50, 1.0), graph.capacity)
    return ModelCompleter(
        Engine(graph),
        PromptBuilder(tokenizer, PromptFormat(), budget),
        Detokenizer(tokenizer),
        ModelInfo("fake", "", "", ("python", "java"), graph.capacity, True),
        heals=False,
    )


def go_on() -> bool:
    return False


def texts(completion: Completion) -> list[str]:
    return [suggestion.text for suggestion in completion.suggestions]


def one(completer: ModelCompleter, prefix: str, suffix: str = "", **fields: Any) -> str:
    return "|".join(texts(completer.complete(Complete(prefix, suffix, **fields), go_on)))


def test_the_model_closes_the_hole(completer_of: Make) -> None:
    answer = completer_of("ge(10)").complete(Complete("for i in ran", ":\n"), go_on)
    (suggestion,) = answer.suggestions
    assert (suggestion.text, suggestion.stopped_by) == ("ge(10)", "end")
    assert answer.generated_tokens == 7
    assert len(suggestion.token_probabilities) == 6
    assert suggestion.probability == prod(suggestion.token_probabilities)
    assert answer.ms.total >= answer.ms.prompt + answer.ms.decode > 0


@pytest.mark.parametrize(
    ("prefix", "said", "lines", "shown"),
    [
        ("for i in ran", "ge(10):\n    print(i)\n", 1, "ge(10):"),
        ("for i in ran", "ge(10):\n    print(i)\n", 2, "ge(10):\n    print(i)"),
        ("for i in ran", "ge(10):\n    print(i)\n", 0, "ge(10):\n    print(i)"),
        ("def f(x):", "\n    return x\n    # end", 1, "\n    return x"),
        ("def f(x):", "\n\n    return x\n    # end", 1, "\n\n    return x"),
    ],
)
def test_lines(completer_of: Make, prefix: str, said: str, lines: int, shown: str) -> None:
    assert one(completer_of(said), prefix, max_lines=lines) == shown


def test_in_mid_line_a_line_break_ends_the_line(completer_of: Make) -> None:
    assert one(completer_of("\n    return x"), "def f(", "):\n") == ""


def test_a_token_is_counted_when_any_of_its_text_is_kept(completer_of: Make) -> None:
    answer = completer_of("x):\n    pass").complete(Complete("def f("), go_on)
    (suggestion,) = answer.suggestions
    assert (suggestion.text, suggestion.stopped_by) == ("x):", "line")
    assert len(suggestion.token_probabilities) == 2  # "x" and "):⏎"
    assert answer.generated_tokens == 2


def test_a_token_of_which_nothing_is_kept_is_not_counted(completer_of: Make) -> None:
    answer = completer_of("x\n    pass").complete(Complete("y = "), go_on)
    assert len(answer.suggestions[0].token_probabilities) == 1


@pytest.mark.parametrize(
    ("stop", "shown", "why"),
    [
        (("=",), "ab", "stop"),
        (("(1", "zz"), "ab == f", "stop"),
        (("zz",), "ab == f(1)", "end"),
        (("",), "ab == f(1)", "end"),
    ],
)
def test_stop_strings(completer_of: Make, stop: tuple[str, ...], shown: str, why: str) -> None:
    answer = completer_of("ab == f(1)").complete(Complete("x", stop=stop), go_on)
    assert [(s.text.rstrip(), s.stopped_by) for s in answer.suggestions] == [(shown, why)]


def test_max_tokens(completer_of: Make) -> None:
    answer = completer_of("abcdefgh").complete(Complete("x", max_tokens=3), go_on)
    assert [(s.text, s.stopped_by) for s in answer.suggestions] == [("abc", "length")]
    assert answer.generated_tokens == 3


def test_the_context_ends_the_text(completer_of: Make) -> None:
    text = "".join(chr(33 + number) for number in range(80))
    answer = completer_of(text, capacity=60).complete(Complete("x" * 99, max_tokens=512), go_on)
    (suggestion,) = answer.suggestions
    assert suggestion.stopped_by == "context"
    assert text.startswith(suggestion.text)
    assert answer.prompt_tokens + answer.generated_tokens == 61  # the last one is not run


@pytest.mark.parametrize("said", ["größe = 'Ω'", "日本語", "🦊🦊"])
def test_characters_of_several_tokens(completer_of: Make, said: str) -> None:
    assert one(completer_of(said), "# ") == said


def test_an_unfinished_character_is_dropped(completer_of: Make) -> None:
    assert one(completer_of("aé日🦊"), "# ", max_tokens=8) == "aé日"
    assert one(completer_of("🦊"), "# ", max_tokens=2) == ""


def test_invalid_bytes_and_control_characters_end_the_text(
    fake_graph: Any, byte_tokenizer: Tokenizer
) -> None:
    middle = byte_tokenizer.token_to_id("<middle>")
    for bad in ("ÿ", "ě", "Ā"):  # the bytes ff, 1b and 00 in the byte-level alphabet
        tokens = [byte_tokenizer.token_to_id(piece) for piece in ("o", "k", bad, "x")]

        def answer(past: tuple[int, ...], tokens: list[int] = tokens) -> dict[int, float]:
            written = past[past.index(middle) + 1 :]
            return {[*tokens, middle][min(len(written), 4)]: 1.0}

        completer = build(fake_graph(answer, byte_tokenizer.get_vocab_size()), byte_tokenizer)
        assert one(completer, "x") == "ok"


def test_the_rest_of_the_line_is_not_doubled(completer_of: Make) -> None:
    assert one(completer_of("value)"), "print(", ")\n") == "value"
    assert one(completer_of("    return 1"), "def f():\n", "\n    return 1\n") == ""


def test_typing_on_takes_the_prompt_from_the_cache(completer_of: Make) -> None:
    completer = completer_of("ge(10)")
    first = completer.complete(Complete("for i in ra", "\n"), go_on)
    again = completer.complete(Complete("for i in ran", "\n"), go_on)
    assert first.cached_tokens == 0
    assert again.cached_tokens == first.prompt_tokens - 1
    assert texts(first) == texts(again)


def test_cancelling_stops_within_one_step(scripted: Any, byte_tokenizer: Tokenizer) -> None:
    graph = scripted({"abcdefgh": 1.0})
    completer = build(graph, byte_tokenizer)
    for passes in range(5):
        graph.passes.clear()
        with pytest.raises(Cancelled):
            completer.complete(Complete("x"), lambda passes=passes: len(graph.passes) == passes)
        assert len(graph.passes) == passes
    assert one(completer, "x") == "abcdefgh"


CHOICES = {"one": 0.5, "other": 0.2, "two": 0.2, "3": 0.1}


def test_candidates_are_distinct_and_most_probable_first(completer_of: Make) -> None:
    answer = completer_of(CHOICES).complete(Complete("x", candidates=3), go_on)
    assert texts(answer) == ["one", "two", "3"]  # each begins with another token
    assert [s.probability for s in answer.suggestions] == pytest.approx([0.5, 0.2, 0.1], rel=1e-3)


def test_one_greedy_candidate_is_the_greedy_continuation(completer_of: Make) -> None:
    completer = completer_of(CHOICES)
    assert one(completer, "x") == "one"
    assert completer.complete(Complete("x", candidates=1), go_on).generated_tokens == 4


def test_candidates_share_the_prefill(scripted: Any, byte_tokenizer: Tokenizer) -> None:
    graph = scripted(CHOICES)
    build(graph, byte_tokenizer).complete(Complete("x" * 40, candidates=3), go_on)
    assert sum(tokens for _, tokens in graph.passes) < 40 + 30
    assert [tokens for _, tokens in graph.passes if tokens > 1] == [43]


def test_empty_candidates_make_room_for_others(completer_of: Make) -> None:
    completer = completer_of({"": 0.6, "  ": 0.2, "a": 0.1, "b": 0.05})
    assert one(completer, "x") == ""
    assert one(completer, "x", candidates=2) == "a|b"


def test_the_same_seed_gives_the_same_answer(completer_of: Make) -> None:
    completer = completer_of({letter: 1 / 26 for letter in "abcdefghijklmnopqrstuvwxyz"})
    request = Complete("x", temperature=1, candidates=5, seed=11)
    answers = [texts(completer.complete(request, go_on)) for _ in range(2)]
    other = texts(completer.complete(replace(request, seed=12), go_on))
    assert answers[0] == answers[1] != other
    assert len(set(answers[0])) == len(answers[0]) >= 4


def test_probabilities_are_the_models_whatever_the_temperature(completer_of: Make) -> None:
    completer = completer_of(CHOICES)
    for temperature in (0.0, 0.3, 3.0):
        request = Complete("x", temperature=temperature, candidates=4, seed=1)
        for suggestion in completer.complete(request, go_on).suggestions:
            if suggestion.text in CHOICES:
                expected = CHOICES[suggestion.text]
                assert suggestion.probability == pytest.approx(expected, rel=1e-3)


def test_the_penalty_steers_away_from_what_was_said(completer_of: Make) -> None:
    completer = completer_of({"abab": 0.55, "abc": 0.45})
    assert one(completer, "x") == "abab"
    assert one(completer, "x", repetition_penalty=1.5) == "abc"


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({"path": "a/b.py"}, "<python>"),
        ({"path": "B.java"}, "<java>"),
        ({"path": "b.py", "language": "Java"}, "<java>"),
        ({"path": "notes.txt"}, "<suffix>"),
        ({}, "<suffix>"),
    ],
)
def test_the_language_is_asked_for_or_read_off_the_path(
    fake_graph: Any, byte_tokenizer: Tokenizer, fields: dict[str, str], start: str
) -> None:
    eos = byte_tokenizer.token_to_id("<eos>")
    begins = set()

    def answer(past: tuple[int, ...]) -> dict[int, float]:
        begins.add(past[0])
        return {eos: 1.0}

    build(fake_graph(answer, 300), byte_tokenizer).complete(Complete("x", **fields), go_on)
    assert begins == {byte_tokenizer.token_to_id(start)}


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "\x00" * 50,
        "a\ud800b\udfff",
        "\ufffe\u0000\x1b[31m",
        "é" * 5000,
        "x" * 10**6,
        "\n" * 9999,
    ],
    ids=["empty", "nul", "surrogates", "escapes", "accents", "long", "breaks"],
)
@pytest.mark.parametrize("suffix", ["", "\udc00\x00" * 2000])
def test_junk_is_answered(completer_of: Make, prefix: str, suffix: str) -> None:
    request = Complete(prefix, suffix, stop=("\udcff", "\x00"), candidates=2)
    assert texts(completer_of("fine").complete(request, go_on))[:1] == ["fine"]


def test_text_with_carriage_returns_gets_them_back(completer_of: Make) -> None:
    completer = completer_of("\n    return 1")
    assert one(completer, "x = 1\r\ndef f():", "\r\n") == "\r\n    return 1"
    assert one(completer, "def f():", "\r\n\r\nx = 1") == "\r\n    return 1"  # the first line


def test_the_budget_is_cut_to_the_context() -> None:
    assert fitted(Budget(512, 128), 2048) == Budget(512, 128)
    small = fitted(Budget(512, 128), 256)
    assert small.prefix_tokens + small.suffix_tokens == 256 - 8 - 64
    assert small.prefix_tokens > 3 * small.suffix_tokens
