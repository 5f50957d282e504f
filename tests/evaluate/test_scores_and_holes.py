"""Rows, holes and scores: what is measured, before any model is."""

import json
from pathlib import Path

import pytest

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.protocol import Complete, Completion, ModelInfo, Suggestion
from autocoder.train.evaluate.comments import comment_spans
from autocoder.train.evaluate.documents import Document, documents
from autocoder.train.evaluate.holes import holes
from autocoder.train.evaluate.holes import rows as rows_of
from autocoder.train.evaluate.lines import measure
from autocoder.train.evaluate.rows import Row, read_rows, write_rows
from autocoder.train.evaluate.scores import edit_similarity, interval, score

PYTHON = '''"""Adds numbers."""

import sys


def add(one, other):
    """The sum of two numbers.

    Nothing more than that.
    """
    # plain addition will do
    total = one + other
    return total


def main():
    print(add(int(sys.argv[1]), int(sys.argv[2])))
    print("that was all there is")
    sys.exit(0)
'''


class Oracle:
    """A completer that knows the answers to some prefixes."""

    info = ModelInfo("oracle", "", "", ("python",), 100, True)
    provider, threads = "none", 1

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers

    def complete(self, request: Complete, cancelled: object) -> Completion:
        text = self.answers.get(request.prefix)
        return Completion((Suggestion(text, 0.5, (0.5,), "end"),) if text else ())


def test_edit_similarity_counts_edits_over_the_longer_text() -> None:
    assert edit_similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert edit_similarity("", "") == 1.0
    assert edit_similarity("abc", "") == 0.0


def test_scores_strip_and_look_at_the_first_line() -> None:
    assert score("  return x\n", "return x", 1.0).exact_match == 1.0
    half = score("return x\nfoo()", "return x\nbar()", 1.0)
    assert (half.exact_match, half.first_line) == (0.0, 1.0)


def test_the_interval_covers_the_mean_and_narrows_with_rows() -> None:
    low, high = interval([0.0, 1.0] * 20)
    assert low < 0.5 < high
    narrow = interval([0.0, 1.0] * 2000)
    assert narrow[1] - narrow[0] < high - low


def test_holes_are_cut_from_the_file_and_put_together_are_the_file() -> None:
    document = Document("a.py", "python", PYTHON)
    found = list(holes(document, seed=1, per_file=3))
    assert {row.kind for row in found} == {"end_of_line", "line", "block", "comment"}
    for row in found:
        assert row.prefix + row.middle + row.suffix == PYTHON
        assert row.middle.strip()
    assert found == list(holes(document, seed=1, per_file=3))
    assert found != list(holes(document, seed=2, per_file=3))


def test_docstrings_and_comments_are_found_and_strings_are_not() -> None:
    java = '/** Adds. */\nint f(String a) { // twice\n  return a + "// no";\n}\n'
    texts = {
        language: [text[start:end].strip() for start, end in comment_spans(text, language)]
        for language, text in (("python", PYTHON), ("java", java))
    }
    assert texts["python"][0] == '"""Adds numbers."""'
    assert texts["python"][-1] == "# plain addition will do"
    assert texts["java"] == ["/** Adds. */", "// twice"]
    assert comment_spans("x", "no such language") == []


def test_rows_survive_the_file_and_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(PYTHON)
    (tmp_path / "b.bin").write_bytes(b"\xff\x00")
    rows = list(rows_of(documents(tmp_path)))
    assert write_rows(rows, tmp_path / "rows.jsonl") == len(rows)
    assert list(read_rows(tmp_path / "rows.jsonl")) == rows
    (tmp_path / "bad.jsonl").write_text(json.dumps({"language": "python"}) + "\n")
    with pytest.raises(ConfigError, match=r"bad\.jsonl:1 .*prefix"):
        list(read_rows(tmp_path / "bad.jsonl"))


def test_measure_separates_languages_and_kinds() -> None:
    rows = [
        Row("python", "a = ", "\n", "1", "line"),
        Row("python", "b = ", "\n", "2", "end_of_line"),
        Row("java", "int c = ", "\n", "3;", "line"),
    ]
    result = measure(Oracle({"a = ": "1", "b = ": "3"}), rows)
    assert result["by_language"]["python"]["exact_match"] == 0.5  # type: ignore[index]
    assert result["by_language"]["java"]["rows"] == 1  # type: ignore[index]
    assert result["by_kind"]["python"]["line"]["exact_match"] == 1.0  # type: ignore[index]
