"""The bundled model continues everyday code right (tests/situations/everyday.toml)."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from autocoder.daemon.loading import load_completer
from autocoder.daemon.protocol import Complete, Completer

SITUATIONS = tomllib.loads((Path(__file__).parent / "everyday.toml").read_text())["situation"]
WANTED = 20


@pytest.fixture(scope="module")
def completer() -> Completer:
    return load_completer(None)


def suggestion(completer: Completer, situation: dict[str, Any]) -> str:
    request = Complete(
        prefix=situation["prefix"], suffix=situation["suffix"], language=situation["language"]
    )
    answer = completer.complete(request, lambda: False)
    return answer.suggestions[0].text if answer.suggestions else ""


def right(situation: dict[str, Any], text: str) -> bool:
    return re.match(situation["accept"], text, re.DOTALL) is not None


def test_at_least_twenty_of_thirty_everyday_situations_continue_right(
    completer: Completer,
) -> None:
    answers = {s["name"]: (suggestion(completer, s), s) for s in SITUATIONS}
    wrong = {name: text for name, (text, s) in answers.items() if not right(s, text)}
    print(f"{len(SITUATIONS) - len(wrong)} of {len(SITUATIONS)} right; the others: {wrong}")
    assert len(SITUATIONS) == 30
    assert len(SITUATIONS) - len(wrong) >= WANTED, wrong


def test_the_regular_expressions_refuse_what_is_wrong() -> None:
    assert not any(right(situation, "xyzzy") for situation in SITUATIONS)
    assert not any(right(situation, "") for situation in SITUATIONS)
