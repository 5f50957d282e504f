"""Rows: reading what others wrote, naming what is broken, and knowing a hole by its text."""

import json
from pathlib import Path

import pytest

from autocoder.daemon.errors import ConfigError
from autocoder.train.evaluate.asking import as_cursor, request
from autocoder.train.evaluate.rows import Row, kind_of, read_rows, write_rows


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = [
        Row("java", "int f() {\n", "\n}\n", "return 1;", "line", "A.java"),
        Row("x", "", "", "é"),
    ]
    assert write_rows(rows, tmp_path / "rows.jsonl") == 2
    assert list(read_rows(tmp_path / "rows.jsonl")) == rows


def test_fields_of_others_are_ignored_and_languages_may_be_capital(tmp_path: Path) -> None:
    record = {
        "task": 7,
        "language": "Python",
        "prefix": "a",
        "suffix": "",
        "middle": "b",
        "kind": None,
    }
    assert list(read_rows(write(tmp_path / "r", record))) == [Row("python", "a", "", "b")]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"language": "python"}', "prefix"),
        ("not json", "one JSON object"),
        ('["language"]', "one JSON object"),
        ('{"language": "python", "prefix": 1, "suffix": "", "middle": ""}', "prefix is 1"),
        ('{"language": "python", "prefix": "\\ud800', "one JSON object"),
        (
            '{"language": "x", "prefix": "", "suffix": "", "middle": "a\\ud800"}',
            "half a character.*delete",
        ),
        (
            '{"language": "x", "prefix": "", "suffix": "", "middle": "", "path": "\\udfff"}',
            "path holds",
        ),
        ("[" * 100_000, "RecursionError"),
    ],
)
def test_a_broken_row_is_named_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    good = json.dumps({"language": "python", "prefix": "", "suffix": "", "middle": "x"})
    (tmp_path / "rows.jsonl").write_text(f"{good}\n\n{line}\n")
    with pytest.raises(ConfigError, match=rf"rows\.jsonl:3\b.*{told}"):
        list(read_rows(tmp_path / "rows.jsonl"))


def test_ten_kilobytes_of_garbage_are_told_in_a_few_words(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"\xff\xfe" * 5000)
    long = json.dumps({"language": "x", "prefix": ["y"] * 5000, "suffix": "", "middle": ""})
    (tmp_path / "long.jsonl").write_text(long)
    for name, told in (("rows", "invalid start byte"), ("long", "must be a string")):
        with pytest.raises(ConfigError, match=told) as raised:
            list(read_rows(tmp_path / f"{name}.jsonl"))
        assert len(str(raised.value)) < 400 + len(str(tmp_path))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="autocoder eval holes"):
        list(read_rows(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (Row("python", "def f():\n    ", "\n", "return 1"), "line"),
        (Row("python", "def f():\n", "", "    return 1\n"), "line"),
        (Row("python", "def f():\n    retu", "\n", "rn 1"), "end_of_line"),
        (Row("python", "print(", ")\n", "1"), "in_line"),
        (Row("python", "print(", ")\r\n", "1"), "in_line"),
        (Row("python", "def f():\r\n    retu", "\r\n", "rn 1"), "end_of_line"),
        (Row("python", "def f():\r\n    ", "\r\n", "return 1"), "line"),
        (Row("python", "def f():\n    ", "\n", "x = 1\n    return x"), "block"),
        (Row("python", "def f():\n    # gi", "\n    return 1\n", "ve one"), "comment"),
        (Row("python", 'def f():\n    """Give', '\n    """\n    return 1\n', " one."), "comment"),
        (Row("java", "/** Gives", "\n */\nint f() {}\n", " one."), "comment"),
        (Row("java", "int f() {\n  ", "\n}\n", "return 1; // one"), "line"),
        (Row("python", "# gi", "\n", "ve one", kind="mine"), "mine"),
    ],
)
def test_a_row_without_a_kind_is_known_by_its_text(row: Row, kind: str) -> None:
    assert kind_of(row) == kind


def test_the_cursor_is_in_a_word_between_two_of_its_letters() -> None:
    assert Row("python", "retu", "", "rn x").cursor == "in_word"
    assert Row("python", "return", "", " x").cursor == "between_words"


def test_one_line_is_asked_as_ghost_text_and_more_without_a_limit() -> None:
    one, two = Row("python", "a\n", "b\n", "  x = 1\n"), Row("python", "a\n", "\n", "x\ny")
    assert (request(one).max_lines, request(two).max_lines) == (1, 0)
    assert request(one).suffix == "\nb\n", "the line break stands behind an editor's cursor"
    assert request(two).suffix == "\n"


def test_as_cursor_keeps_the_document() -> None:
    for row in (Row("x", "a\n", "c", " b \n\n"), Row("x", "a", "c", "b "), Row("x", "", "", "\n")):
        moved = as_cursor(row)
        assert moved.prefix + moved.middle + moved.suffix == row.prefix + row.middle + row.suffix
        assert "\n" not in moved.middle
