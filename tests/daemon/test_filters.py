"""What is cut from a suggestion, and what must not be."""

import pytest

from autocoder.daemon.filters import refine


@pytest.mark.parametrize(
    ("prefix", "suggested", "suffix", "shown"),
    [
        ("print(", "value)", ")", "value"),
        ("print(", "str(x)", ")", "str(x)"),  # the bracket is the suggestion's own
        ("print(", "str(x))", ")", "str(x)"),
        ("f(g(", "h(x)))", "))", "h(x)"),
        ("x = '", "abc'", "'", "abc"),
        ("x = f(", "'abc'", "'z')", "'abc'"),
        ("def greet(name", ", age):", "):", ", age"),
        ("for ", "x in", " in items:", "x"),
        ("pri", "nt(x)", "nt(x)", ""),
        ("self.", "value", "e = 3", "value"),  # an e is not certain
        ("x = ", "1  ", "", "1"),
        ("x = ", " \n ", "", ""),
    ],
)
def test_the_rest_of_the_line(prefix: str, suggested: str, suffix: str, shown: str) -> None:
    assert refine(suggested, prefix, suffix, unfinished=False) == shown


@pytest.mark.parametrize(
    ("prefix", "suggested", "suffix", "shown"),
    [
        ("def f():", "\n    return 1", "\n    return 1\n", ""),
        ("def f():", "\n    return 1", "\n    return 10\n", "\n    return 1"),
        ("    ", "return 1", "\n    return 1\n", ""),
        ("    ", "return 1", "\n  return 1\n", "return 1"),
        ("    }\n", "}", "\n}", ""),
    ],
)
def test_lines_that_follow(prefix: str, suggested: str, suffix: str, shown: str) -> None:
    assert refine(suggested, prefix, suffix, unfinished=False) == shown


def test_three_equal_lines_are_one() -> None:
    assert refine("a()\nb()\nb()\nb()\nb", "", "", unfinished=False) == "a()\nb()"
    assert refine("a()\na()\nb()", "", "", unfinished=False) == "a()\na()\nb()"


def test_runaway_repetition_is_cut_where_only_the_length_ended_it() -> None:
    assert refine("x = [" + "0, " * 12 + "0", "", "", unfinished=True) == "x = [0,"
    assert refine("# " + "-" * 20, "", "", unfinished=False) == "# " + "-" * 20
    assert refine("aaa bbb ccc", "", "", unfinished=True) == "aaa bbb ccc"
