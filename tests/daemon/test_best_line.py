"""The likeliest whole line, against models whose continuations the test writes down."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import exp, prod
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from autocoder.daemon import completer as completer_module
from autocoder.daemon.best_line import MOST_STEPS
from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.detokenizer import Detokenizer
from autocoder.daemon.engine import Engine
from autocoder.daemon.loading import load_completer
from autocoder.daemon.prompt import PromptBuilder, PromptFormat
from autocoder.daemon.protocol import Cancelled, Complete, Completion, ModelInfo

GOES_ON = {"items if a]": 0.15, "items if b]": 0.2, "items if c]": 0.25, "items]": 0.4}
"""Behind `items`, ` ` is likelier than `]`; of the whole lines, `items]` is the likeliest."""


def never() -> bool:
    return False


class Typist:
    """A completer of a fake model, and what it is asked."""

    def __init__(self, graph: Any, tokenizer: Tokenizer, *, heals: bool = False) -> None:
        self.graph = graph
        self.completer = ModelCompleter(
            Engine(graph),
            PromptBuilder(tokenizer, PromptFormat()),
            Detokenizer(tokenizer),
            ModelInfo("fake", "", "", (), graph.capacity, True),
            heals=heals,
        )

    def ask(self, prefix: str = "x", suffix: str = "", **options: Any) -> Completion:
        options = {"max_lines": 1, **options}
        return self.completer.complete(Complete(prefix, suffix, **options), never)

    def text(self, prefix: str = "x", suffix: str = "", **options: Any) -> str:
        return "|".join(each.text for each in self.ask(prefix, suffix, **options).suggestions)

    @property
    def held(self) -> list[int]:
        """What the last sequence holds."""
        return self.completer._engine._pool[-1].sequence.ids


@pytest.fixture
def typist(scripted: Any, byte_tokenizer: Tokenizer) -> Callable[..., Typist]:
    """Asks a model that says one of the texts given, by their weights."""

    def make(texts: Mapping[str, float], *, heals: bool = False, **options: Any) -> Typist:
        return Typist(scripted(texts, **options), byte_tokenizer, heals=heals)

    return make


def test_the_likelier_line_wins_over_the_likelier_step(typist: Callable[..., Typist]) -> None:
    assert typist(GOES_ON).text() == "items]"
    greedy = typist(GOES_ON)
    greedy.completer.searches = False
    assert greedy.text() == "items if c]"


def test_a_greedy_line_that_is_the_likeliest_stays(typist: Callable[..., Typist]) -> None:
    assert typist({"ab": 0.6, "ac": 0.3, "d": 0.1}).text() == "ab"


def test_all_the_ways_to_end_a_line_are_one(typist: Callable[..., Typist]) -> None:
    """`ab` has 0.3 in the likeliest of its ways, and `acde` 0.34."""
    ends = {"ab": 0.3, "ab\n": 0.15, "ab\n    ": 0.14}
    assert typist({**ends, "acde": 0.34, "acf": 0.07}).text() == "ab"
    several = {"ab": 0.12, "ab\n": 0.14, "ab\n    c": 0.14}
    asker = typist({**several, "acd": 0.32, "ace": 0.28})
    assert asker.text() == "ab"
    assert asker.ask().suggestions[0].stopped_by == "line"


@pytest.mark.parametrize("empty", ["", "\n", "  ", " \n"])
def test_an_empty_line_never_wins(typist: Callable[..., Typist], empty: str) -> None:
    assert typist({empty: 0.4, "ab": 0.25, "ac": 0.15, "ad": 0.1, "ae": 0.1}).text("f(", ")") != ""


def test_where_greedily_nothing_is_said_nothing_is(typist: Callable[..., Typist]) -> None:
    asker = typist({"": 0.6, "ab": 0.4})
    assert asker.text() == ""
    assert asker.ask().generated_tokens == 1


def test_behind_a_colon_the_line_searched_is_the_next_one(typist: Callable[..., Typist]) -> None:
    lines = {f"\n    a{letter}": 0.12 for letter in "bcdef"}
    asker = typist({**lines, "\n    g": 0.4})
    assert asker.text("def f():") == "\n    g"


@pytest.mark.parametrize(
    "options",
    [
        {"max_lines": 0},
        {"max_lines": 2},
        {"temperature": 0.2, "seed": 1},
        {"candidates": 2},
        {"repetition_penalty": 1.1},
    ],
)
def test_only_one_greedy_line_is_searched_for(
    typist: Callable[..., Typist], options: dict[str, Any]
) -> None:
    asker, plain = typist(GOES_ON), typist(GOES_ON)
    plain.completer.searches = False
    said, expected = asker.ask(**options), plain.ask(**options)
    assert said.suggestions == expected.suggestions
    assert said.generated_tokens == expected.generated_tokens
    assert asker.graph.passes == plain.graph.passes


def test_the_probabilities_are_those_of_the_tokens(typist: Callable[..., Typist]) -> None:
    (suggestion,) = typist(GOES_ON).ask().suggestions
    assert suggestion.token_probabilities == pytest.approx([1, 1, 1, 1, 1, 0.4], abs=0.001)
    assert suggestion.probability == prod(suggestion.token_probabilities)
    assert suggestion.stopped_by == "end"


def test_what_was_run_is_counted(typist: Callable[..., Typist]) -> None:
    asker = typist(GOES_ON)
    answer = asker.ask()
    greedy = len("items if c]") + 1
    assert greedy < answer.generated_tokens <= greedy + MOST_STEPS


def test_the_same_prompt_again_runs_no_pass(typist: Callable[..., Typist]) -> None:
    asker = typist(GOES_ON)
    first = asker.ask()
    asker.graph.passes.clear()
    again = asker.ask()
    assert (again.suggestions, again.generated_tokens) == (
        first.suggestions,
        first.generated_tokens,
    )
    assert not asker.graph.passes


def test_the_sequence_holds_the_greedy_line_again(
    typist: Callable[..., Typist], byte_tokenizer: Tokenizer
) -> None:
    asker = typist(GOES_ON)
    asker.ask()
    assert byte_tokenizer.decode(asker.held).endswith("items if c]")
    cache = asker.completer._engine._pool[-1].sequence._cache
    assert list(cache[: len(asker.held)]) == asker.held


def test_a_cache_that_can_be_copied_is_copied_back_once_and_only_for_branches(
    fake_graph: Any, byte_tokenizer: Tokenizer, typist: Callable[..., Typist]
) -> None:
    class Keeping(fake_graph):  # type: ignore[misc]
        read = 0

        def read_cache(self, cache: Any, start: int, stop: int) -> tuple[Any, ...]:
            self.read += 1
            return (cache[start:stop].copy(),)

        def write_cache(self, cache: Any, start: int, kept: tuple[Any, ...]) -> None:
            cache[start : start + len(kept[0])] = kept[0]

    for texts, reads in ((GOES_ON, 1), ({"ab": 1.0}, 0)):
        plain = typist(texts)
        graph = plain.graph
        keeping = Typist(Keeping(graph.answer, graph.vocabulary), byte_tokenizer)
        assert keeping.text() == plain.text()
        assert keeping.held == plain.held and keeping.graph.read == reads
        cache = keeping.completer._engine._pool[-1].sequence._cache
        assert list(cache[: len(keeping.held)]) == keeping.held
        assert len(keeping.graph.passes) == len(graph.passes) - reads  # none to go back


def test_branches_agree_with_what_was_typed(typist: Callable[..., Typist]) -> None:
    """`xyz` would be the likeliest line, `itb` is the likeliest that begins as the text does."""
    texts = {"xyz": 0.4, "itab": 0.11, "itac": 0.11, "itad": 0.11, "itb": 0.17, "itx": 0.1}
    asker = typist(texts, heals=True)
    assert asker.text("(it") == "b"
    assert asker.text("(ita") in ("b", "c", "d")
    (suggestion,) = asker.ask("(it").suggestions
    assert suggestion.token_probabilities == pytest.approx([0.17 / 0.6], abs=0.01)


def test_the_search_has_a_budget(typist: Callable[..., Typist]) -> None:
    """Every letter may follow every letter, and a line ends behind forty."""
    letters = "abcdefghijklmnopqrst"
    chance = random.Random(0)
    texts = {"".join(chance.choices(letters[:4], k=40)): 1 / 300 for _ in range(300)}
    asker = typist(texts)
    answer = asker.ask()
    assert answer.generated_tokens <= 41 + MOST_STEPS
    assert len(asker.graph.passes) <= 45 + MOST_STEPS


@pytest.mark.parametrize("room", range(1, 20))
def test_the_context_may_end_anywhere(typist: Callable[..., Typist], room: int) -> None:
    """A branch that has no room is no line, and nothing fails."""
    prompt = typist(GOES_ON).ask().prompt_tokens
    asker = typist(GOES_ON, capacity=prompt + room)
    answer = asker.ask()
    plain = typist(GOES_ON, capacity=prompt + room)
    plain.completer.searches = False
    if answer.suggestions != plain.ask().suggestions:
        assert answer.suggestions[0].text == "items]"
    assert len(asker.held) <= prompt + room


@pytest.mark.parametrize("least", [1, 2])
def test_an_interrupted_search_leaves_everything_as_it_was(
    typist: Callable[..., Typist], least: int
) -> None:
    def made() -> Typist:
        asker = typist(GOES_ON)
        asker.graph.least = least
        return asker

    whole = made()
    wanted, passes = whole.ask().suggestions, len(whole.graph.passes)
    assert passes > len("items if c]") + 2
    for most in range(passes):
        asker = made()
        asker.ask("y")
        before = len(asker.graph.passes)
        with suppress(Cancelled):
            asker.completer.complete(
                Complete("x", max_lines=1),
                lambda end=before + most, asker=asker: len(asker.graph.passes) >= end,
            )
        assert len(asker.graph.passes) <= before + most
        assert asker.ask("x").suggestions == wanted
        assert asker.ask("y").suggestions == wanted


def test_a_warm_completer_answers_as_a_cold_one(fake_graph: Any, byte_tokenizer: Tokenizer) -> None:
    """A model that is sure of nothing: what it says depends on all of the past."""
    some = [byte_tokenizer.token_to_id(piece) for piece in ("a", "b", "c", "(", "Ċ", "<eos>")]

    def answer(past: tuple[int, ...]) -> Mapping[int, float]:
        chance = random.Random(hash(past))
        weights = [exp(2 * chance.random()) for _ in some]
        return {token: weight / sum(weights) for token, weight in zip(some, weights, strict=True)}

    def made() -> Typist:
        graph = fake_graph(answer, byte_tokenizer.get_vocab_size())
        graph.least = chance.choice((1, 2))
        return Typist(graph, byte_tokenizer, heals=True)

    chance = random.Random(7)
    warm, text, differing = made(), "", 0
    for _ in range(60):
        text = text[: -chance.randint(1, 4)] if chance.random() < 0.2 else text
        text += chance.choice("abcab(\n")
        suffix = chance.choice(("", ")"))
        cold, plain = made(), made()
        plain.completer.searches = False
        said = warm.ask(text, suffix)
        assert said.suggestions == cold.ask(text, suffix).suggestions
        differing += said.suggestions != plain.ask(text, suffix).suggestions
        if chance.random() < 0.2:  # a request that is given up, wherever it is
            passes = len(warm.graph.passes) + chance.randint(0, 6)
            with suppress(Cancelled):
                warm.completer.complete(
                    Complete(text + "a", suffix, max_lines=1),
                    lambda end=passes: len(warm.graph.passes) >= end,
                )
    assert differing > 10


# The bundled model


def test_the_bundled_model_answers_the_same_warm_and_cold() -> None:
    """At random places, typing on, going back and giving up, as without anything recalled."""
    source = Path(completer_module.__file__).read_text(encoding="utf-8")
    warm, plain = (load_completer(repository=False) for _ in range(2))
    for each in (warm, plain):
        each._engine._graph.widen(None)  # whose rows round otherwise
    plain.guesses = False
    chance, cursor, branched = random.Random(5), 3000, 0
    for _ in range(12):
        cursor += chance.choice((1, 1, 1, 2, 9, -3))
        request = Complete(
            source[:cursor][-400:], source[cursor + 25 :][:100], language="python", max_lines=1
        )
        if chance.random() < 0.4:
            left = iter(range(chance.randint(0, 12)))
            try:
                warm.complete(request, lambda left=left: next(left, None) is None)
            except Cancelled:
                branched += 1
        assert warm.complete(request, never).suggestions == (
            plain.complete(request, never).suggestions
        )
    assert branched
