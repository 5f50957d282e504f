"""Holes: cut from real text, code and prose apart, the same for the same seed."""

import json
import lzma
import os
from collections import Counter
from pathlib import Path

import pytest

from autocoder.daemon.errors import ConfigError
from autocoder.train.evaluate.comments import comment_spans
from autocoder.train.evaluate.documents import Document, documents
from autocoder.train.evaluate.holes import holes, rows
from tests.evaluate.conftest import PYTHON

DOCUMENT = Document("a.py", "python", PYTHON)


def test_holes_are_cut_from_the_file_and_put_together_are_the_file() -> None:
    found = list(holes(DOCUMENT, seed=1, per_file=3))
    assert {row.kind for row in found} == {"end_of_line", "line", "block", "comment"}
    for row in found:
        assert row.prefix + row.middle + row.suffix == PYTHON
        assert row.middle.strip() and row.suffix[:1] in ("\n", "")
        assert row.wants_one_line == (row.kind != "block")
    assert found == list(holes(DOCUMENT, seed=1, per_file=3))
    assert found != list(holes(DOCUMENT, seed=2, per_file=3))


def test_code_and_prose_are_kept_apart() -> None:
    for row in holes(DOCUMENT, per_file=99):
        line = row.prefix.rpartition("\n")[2] + row.middle
        prose = '"""' in line or "# plain" in line or "Nothing more" in line
        assert prose == (row.kind == "comment"), line


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


def test_the_limit_holds_for_each_kind_and_language() -> None:
    many = [Document(f"{n}.py", "python", PYTHON) for n in range(5)]
    assert Counter(row.kind for row in rows(many))["comment"] == 5
    limited = Counter(row.kind for row in rows(many, limit=2))
    assert limited == {"end_of_line": 2, "line": 2, "block": 2, "comment": 2}


def test_folders_leave_out_vendored_generated_and_broken_files(tmp_path: Path) -> None:
    for name in ("a.py", "vendor/b.py", "c_pb2.py", "d.txt", "pkg/e.java"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\r\n")
    (tmp_path / "f.py").write_bytes(b"\xff\x00")
    found = list(documents(tmp_path))
    assert sorted(document.path for document in found) == ["a.py", "pkg/e.java"]
    assert found[0].text == "x = 1\n"


def test_a_file_whose_name_is_no_text_is_left_out(tmp_path: Path) -> None:
    for name in (b"a.py", b"caf\xe9.py"):
        try:
            Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_text("x = 1\n")
        except OSError:
            pytest.skip("the file system takes UTF-8 names only")
    assert [document.path for document in documents(tmp_path)] == ["a.py"]


def test_the_order_of_a_folder_is_the_seeds(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.py").write_text("x = 1\n")
    orders = [[d.path for d in documents(tmp_path, seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_shards_are_read_packed_or_not(tmp_path: Path) -> None:
    line = json.dumps({"repo": "o/n", "path": "a.py", "language": "python", "text": "x = 1\n"})
    (tmp_path / "0.jsonl").write_text(line + "\n")
    (tmp_path / "1.jsonl.xz").write_bytes(lzma.compress(line.encode()))
    assert list(documents(tmp_path)) == [Document("o/n/a.py", "python", "x = 1\n")] * 2
    (tmp_path / "0.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(ConfigError, match=r"0\.jsonl:1.*language"):
        list(documents(tmp_path))
    with pytest.raises(ConfigError, match="give a folder"):
        list(documents(tmp_path / "none"))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl.xz", b"no archive at all", "behind line 0.*make or fetch"),
        (
            "a.jsonl.xz",
            lzma.compress(b"\n" * 99)[:-20],
            "behind line.*make or fetch",
        ),
        ("a.jsonl", b"\n\xff\xfe\n", "jsonl:2 is no document.*invalid start byte.*delete"),
        ("a.jsonl", b'{"language": "python", "text": "\\ud800"}', "jsonl:1: text holds.*delete"),
    ],
    ids=["no archive", "cut off", "no UTF-8", "lone surrogate"],
)
def test_damaged_shards_are_named_with_the_remedy(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        list(documents(tmp_path))


def test_shards_keep_their_order_whatever_the_seed(tmp_path: Path) -> None:
    lines = [json.dumps({"path": f"{n}.py", "language": "python", "text": "x"}) for n in range(9)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert list(documents(tmp_path, 1)) == list(documents(tmp_path, 2))
