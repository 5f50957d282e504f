"""A key that leaves the prompt as it was is answered without a pass, and as with one."""

import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from autocoder.daemon import completer as completer_module
from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.live_sequence import LiveSequence
from autocoder.daemon.loading import load_completer
from autocoder.daemon.protocol import Cancelled, Complete, Completion

SOURCE = Path(completer_module.__file__).read_text(encoding="utf-8")


def loaded() -> ModelCompleter:
    """The bundled model's, every token through one graph: so answers do not depend on what was
    asked before."""
    made = load_completer(repository=False)
    made._engine._graph.widen(None)
    return made


@pytest.fixture(scope="module")
def completer() -> ModelCompleter:
    return loaded()


@pytest.fixture(scope="module")
def plain() -> ModelCompleter:
    made = loaded()
    made.guesses = False
    return made


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every pass of any model."""
    counted: list[int] = []
    run = LiveSequence._run
    monkeypatch.setattr(LiveSequence, "_run", lambda *given: counted.append(1) or run(*given))
    return counted


def ask(completer: ModelCompleter, cursor: int, after: int = 0, **options: Any) -> Completion:
    """What to put at a place of SOURCE, whose text goes on at `after` or 30 characters later."""
    suffix = SOURCE[after or cursor + 30 :]
    request = Complete(SOURCE[:cursor], suffix, language="python", **options)
    return completer.complete(request, lambda: False)


def test_typing_what_was_suggested_takes_no_pass(
    completer: ModelCompleter, passes: list[int]
) -> None:
    prefix = "def parse(text):\n    lines = text.sp"
    first = completer.complete(Complete(prefix, language="python"), lambda: False)
    said = first.suggestions[0].text
    assert said.startswith("lit")
    passes.clear()
    for typed in ("l", "li", "lit"):
        answer = completer.complete(Complete(prefix + typed, language="python"), lambda: False)
        assert answer.suggestions[0].text == said.removeprefix(typed)
        assert answer.cached_tokens == answer.prompt_tokens
    assert not passes


def test_other_rules_are_applied_to_what_is_recalled(
    completer: ModelCompleter, plain: ModelCompleter
) -> None:
    cursor = SOURCE.index("self._builder.build(") + 8
    ask(completer, cursor, max_lines=3)
    for options in ({"max_tokens": 2}, {"stop": ("(",)}, {"temperature": 0.9, "seed": 4}, {}):
        assert ask(completer, cursor, **options).suggestions == (
            ask(plain, cursor, **options).suggestions
        )


def test_what_has_been_overwritten_is_not_recalled(
    completer: ModelCompleter, plain: ModelCompleter, passes: list[int]
) -> None:
    one = SOURCE.index("self._lookahead.best") + 3
    other = one - 40
    wanted = ask(plain, one).suggestions
    ask(completer, one)
    ask(completer, other)
    passes.clear()
    assert ask(completer, one).suggestions == wanted
    assert passes


def test_every_key_of_typed_lines_is_answered_as_without(
    completer: ModelCompleter, plain: ModelCompleter, passes: list[int]
) -> None:
    chance = random.Random(3)
    recalled = 0
    for _ in range(2):
        start = chance.randrange(1000, len(SOURCE) - 200)
        for cursor in range(start, start + 25):
            passes.clear()
            answer = ask(completer, cursor, start + 40, max_lines=1)
            recalled += not passes
            assert answer.suggestions == ask(plain, cursor, start + 40, max_lines=1).suggestions
    assert recalled >= 6


@pytest.mark.parametrize("options", [{"passes": 3}, {"candidates": 2, "max_tokens": 4}])
def test_what_was_overwritten_by_an_answer_that_is_not_kept_is_not_recalled(
    completer: ModelCompleter, plain: ModelCompleter, options: dict[str, Any]
) -> None:
    """One that was interrupted, or one of several candidates, wrote into the same sequence."""
    one = SOURCE.index("self._lookahead.best") + 3
    wanted = ask(plain, one, one + 60, max_lines=3).suggestions
    ask(completer, one, one + 60, max_tokens=3)
    asked = iter(range(options.pop("passes", 1000)))
    other = Complete(SOURCE[: one - 12], SOURCE[one + 60 :], language="python", **options)
    with suppress(Cancelled):
        completer.complete(other, lambda: next(asked, None) is None)
    assert ask(completer, one, one + 60, max_lines=3).suggestions == wanted
