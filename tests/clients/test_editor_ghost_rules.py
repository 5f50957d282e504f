"""What of a suggestion shows after typing, deleting and moving; and when one is asked for."""

import pytest

from autocoder.clients.editor.ghost import (
    BLOCK,
    ONE_LINE,
    Offer,
    first_line,
    first_word,
    lines_wanted,
    wants_suggestion,
)

OFFER = Offer("for i in ran", "\nrest", ("ge(10):\n    print(i)", "dom():"))


def remaining(typed: str, suffix: str = "\nrest", offer: Offer = OFFER) -> str:
    before = "for i in ran" + typed
    return offer.remaining(before + suffix, len(before))


def test_typing_through_shrinks_it_and_deleting_grows_it() -> None:
    assert remaining("") == "ge(10):\n    print(i)"
    assert remaining("ge(") == "10):\n    print(i)"
    assert remaining("ge(10):\n  ") == "  print(i)"
    assert remaining("g") == "e(10):\n    print(i)"


def test_typing_something_else_shows_another_candidate_or_none() -> None:
    assert remaining("d") == "om():"
    assert remaining("x") == ""
    assert remaining("ge(10):\n    print(i)") == ""


def test_it_shows_nowhere_but_where_it_was_asked_for() -> None:
    assert remaining("", "\nrest!") == ""
    assert OFFER.remaining("for i in ran\nrest", 3) == ""
    assert OFFER.remaining("FOR i in ran\nrest", 12) == ""
    assert OFFER.remaining("for i in ran\nREST", 12) == ""


def test_turning_goes_round_what_fits() -> None:
    turned = OFFER.turned(1, "for i in ran\nrest", 12)
    assert remaining("", offer=turned) == "dom():"
    assert remaining("", offer=turned.turned(1, "for i in ran\nrest", 12)).startswith("ge")
    assert OFFER.turned(1, "for i in ranx\nrest", 13) == OFFER


@pytest.mark.parametrize(
    ("ghost", "word"),
    [
        ("ge(10):", "ge"),
        ("(10):", "("),
        (" = value", " ="),
        ("\n    return x", "\n    return"),
        ("):\n", "):"),
        ("  ", "  "),
        ("größe + 1", "größe"),
    ],
)
def test_the_next_word(ghost: str, word: str) -> None:
    assert first_word(ghost) == word


@pytest.mark.parametrize(
    ("ghost", "line"), [("a\nb", "a"), ("\n    a\n    b", "\n    a"), ("a", "a"), ("\n", "\n")]
)
def test_the_next_line(ghost: str, line: str) -> None:
    assert first_line(ghost) == line


def test_accepting_word_by_word_gives_the_whole() -> None:
    ghost, taken = "ge(10):\n    print(i, 'ü')\n", ""
    while ghost:
        word = first_word(ghost)
        taken, ghost = taken + word, ghost[len(word) :]
    assert taken == "ge(10):\n    print(i, 'ü')\n"


def test_blocks_get_several_lines_and_the_middle_of_a_line_one() -> None:
    assert lines_wanted("x = 1\n    ", "\ny") == BLOCK
    assert lines_wanted("def f():", "\n") == BLOCK
    assert lines_wanted("void f() { ", "") == BLOCK
    assert lines_wanted("x = ", "\ny") == ONE_LINE
    assert lines_wanted("    ", "  )\n") == ONE_LINE


def test_nothing_is_asked_inside_a_word_or_in_an_empty_file() -> None:
    assert wants_suggestion("x", ")")
    assert not wants_suggestion("x", "yz")
    assert not wants_suggestion("\n  ", "")
