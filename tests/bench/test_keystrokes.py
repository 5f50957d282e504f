"""What a typist presses: given a text, then keys that write it, with human pauses."""

from random import Random
from statistics import median

import pytest

from autocoder.clients.bench.keystrokes import KEY_S, keystrokes
from autocoder.clients.bench.passage import Passage, default_file, passages, read_source

FUNCTION = '''def total(numbers):
    """The sum."""
    found = 0
    for number in numbers:
        if number:
            found += number

    return found


print(total([1, 2]))
'''


def prefixes(typed: str, before: str = "", seed: int = 1) -> list[str]:
    return [key.prefix for key in keystrokes(before, typed, Random(seed))]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_mistyped_the_text_comes_out_right(seed: int) -> None:
    assert prefixes(FUNCTION, "import os\n", seed)[-1] == "import os\n" + FUNCTION


def test_every_file_of_the_package_can_be_typed() -> None:
    for path in sorted(default_file().parent.glob("e*.py")):
        text = read_source(path)
        *_, last = keystrokes("", text, Random(0))
        assert last.prefix == text


def test_enter_writes_the_indentation_and_backspace_takes_a_level_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autocoder.clients.bench.keystrokes.SLIP", 0)
    found = prefixes("\n        y()\n    z", "    if x:")
    assert found[0] == "    if x:\n        "
    assert found[4] == "    if x:\n        y()\n        "
    assert found[5] == "    if x:\n        y()\n    "
    assert found[-1].endswith("\n    z")


def test_a_slip_is_the_neighbouring_letter_and_is_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autocoder.clients.bench.keystrokes.SLIP", 1)
    assert prefixes("ok(") == ["p", "", "o", "ol", "o", "ok", "ok("]


def test_a_seed_repeats_keys_and_pauses() -> None:
    first, again = (list(keystrokes("", FUNCTION, Random(7))) for _ in range(2))
    assert first == again
    assert first != list(keystrokes("", FUNCTION, Random(8)))


def test_pauses_are_those_of_people() -> None:
    pauses = [key.pause_s for key in keystrokes("", "x = 1; " * 300, Random(3))]
    assert median(pauses) == pytest.approx(KEY_S, rel=0.1)
    assert max(pauses) > 2 * KEY_S > KEY_S / 2 > min(pauses) > 0
    lines = [key.pause_s for key in keystrokes("", "x\n" * 300, Random(3))]
    assert max(lines) > 2.0


def test_passages_lie_all_over_the_file_and_begin_at_lines() -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    found = passages(text, 4, 400)
    assert [len(part.typed) for part in found] == [100] * 4
    for part in found:
        assert part.before + part.typed + part.after == text
        assert part.typed.startswith("line ")
    assert found[0].before == "" and len(found[3].before) > len(text) // 2


def test_all_of_a_file_is_one_passage_from_nothing() -> None:
    assert passages(FUNCTION, 4, None) == [Passage("", FUNCTION, "")]
