"""Scores: exact match, first line, edit similarity, intervals, and what was wrong."""

import pytest

from autocoder.train.evaluate.lines import measure, summarise
from autocoder.train.evaluate.rows import Row
from autocoder.train.evaluate.scores import (
    edit_similarity,
    fault,
    interval,
    ratio_interval,
    score,
)
from tests.evaluate.conftest import Oracle


def test_edit_similarity_counts_edits_over_the_longer_text() -> None:
    assert edit_similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert edit_similarity("", "") == 1.0
    assert edit_similarity("abc", "") == 0.0


def test_scores_strip_and_look_at_the_first_line() -> None:
    assert score("  return x\n", "return x", 1.0).exact_match == 1.0
    half = score("return x\nfoo()", "return x\nbar()", 1.0)
    assert (half.exact_match, half.first_line) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("answer", "wanted", "name"),
    [
        ("x", "x", "none"),
        ("", "x", "empty"),
        ("return", "return x", "too_short"),
        ("return x + 1", "return x", "too_long"),
        ("return y", "return x", "other_name"),
        ('say("no")', 'say("yes")', "other_literal"),
        ("f(1)", "f(2)", "other_literal"),
        ("return x + y", "return f(x)", "different"),
    ],
)
def test_a_wrong_answer_is_wrong_in_one_way(answer: str, wanted: str, name: str) -> None:
    assert fault(answer, wanted) == name


def test_the_interval_covers_the_mean_and_narrows_with_rows() -> None:
    low, high = interval([0.0, 1.0] * 20)
    assert low < 0.5 < high
    narrow = interval([0.0, 1.0] * 2000)
    assert narrow[1] - narrow[0] < (high - low) / 5
    assert interval([1.0] * 9) == [1.0, 1.0]


def test_the_interval_of_a_ratio_draws_both_together() -> None:
    assert ratio_interval([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]) == [2.0, 2.0]
    low, high = ratio_interval([1.0, 9.0] * 10, [1.0, 3.0] * 10)
    assert 1 < low < 2.5 < high < 3


def test_measure_separates_languages_kinds_and_cursors() -> None:
    rows = [
        Row("python", "a = ", "\n", "1", "line"),
        Row("python", "b = n", "\n", "2o", "end_of_line"),
        Row("java", "int c = ", "\n", "3;", "line"),
    ]
    answers = {"a = ": "1", "b = n": "3"}
    result = measure(Oracle(lambda request: answers.get(request.prefix, "")), rows)
    python = result["by_language"]["python"]
    assert (python["rows"], python["exact_match"]) == (2, 0.5)
    assert python["faults"] == {"none": 0.5, "other_literal": 0.5}
    assert result["by_language"]["java"]["faults"] == {"empty": 1.0}
    assert result["by_kind"]["python"]["line"]["exact_match"] == 1.0
    assert result["by_cursor"]["python"]["in_word"]["rows"] == 1


def test_bits_per_byte_are_nats_over_bytes_of_all_rows() -> None:
    pairs = [
        (Row("python", "", "", "ab"), score("ab", "ab", 1.0, nats=0.6931471805599453 * 4)),
        (Row("python", "", "", "é" * 3), score("", "é" * 3, 1.0, nats=0.0)),
    ]
    assert summarise(pairs)["by_language"]["python"]["bits_per_byte"] == pytest.approx(4 / 8)


def test_rows_that_want_nothing_cost_no_bits_per_byte() -> None:
    nothing = Row("java", "", "", "", "line"), score("", "", 1.0, nats=2.0)
    java = summarise([nothing])["by_language"]["java"]
    assert java["exact_match"] == 1.0 and "bits_per_byte" not in java
    some = Row("java", "", "", "x"), score("", "x", 1.0, nats=2.0)
    low, high = summarise([nothing, some])["by_language"]["java"]["ci"]["bits_per_byte"]
    assert 0 < low <= high < 100
