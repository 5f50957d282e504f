"""A report: checked before anything is measured, each section written as soon as it is there."""

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autocoder.__main__ import main as autocoder
from autocoder.daemon.model_folder import VARIABLE, bundled
from autocoder.train.evaluate import reporting
from autocoder.train.evaluate.measurements import Measured
from autocoder.train.evaluate.reporting import model_name, section_names
from autocoder.train.evaluate.rows import Row, write_rows
from autocoder.train.evaluate.scores import Score, score
from tests.evaluate.conftest import PYTHON, Oracle

ROW = Row("python", "a = ", "\n", "1", "line")
Words = Callable[..., list[str]]


class Silent:
    """A model that answers nothing and counts what it is asked; `fails` at the rows of a kind."""

    context = 64
    builder = SimpleNamespace(
        form=SimpleNamespace(controls={"python": "<python>"}),
        encode=lambda text: list(text.encode()),
        control_id=lambda language: 1,
        end_id=0,
    )

    def __init__(self, fails: str = "") -> None:
        self.asked = 0
        self.fails = fails

    def each(self, items: Iterable[Any], ask: Callable[..., Any]) -> Iterator[Any]:
        for item in items:
            self.asked += 1
            yield ask(Oracle(lambda request: ""), item)

    def scored(self, rows: Iterable[Row], *, bits: bool = True) -> Iterator[tuple[Row, Score]]:
        for row in rows:
            self.asked += 1
            if row.kind == self.fails:
                raise KeyboardInterrupt
            yield row, score("", row.middle, 1.0, 2.0)

    def nats(self, windows: list[list[int]]) -> float:
        self.asked += 1
        return float(sum(map(len, windows)))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Silent:
    silent = Silent()
    monkeypatch.setattr(reporting, "load_model", lambda options: silent)
    monkeypatch.setattr(reporting, "_drawing", lambda: lambda results, folder: {})
    return silent


@pytest.fixture
def words(tmp_path: Path) -> Words:
    """`autocoder eval report` of a small folder into `out`, and what is added."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "add.py").write_text(PYTHON)
    usual = ["eval", "report", str(tmp_path / "source"), "-o", str(tmp_path / "out")]

    def made(*more: object) -> list[str]:
        return [*usual, "--functions", "1", *map(str, more)]

    return made


def rows_in(path: Path, row: Row = ROW) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_rows([row], path)
    return path


def sections(folder: Path) -> list[str]:
    return list(json.loads((folder / "report.json").read_text()))


def test_rows_of_the_same_name_have_a_section_each(
    tmp_path: Path, words: Words, model: Measured
) -> None:
    one, other = rows_in(tmp_path / "a" / "r.jsonl"), rows_in(tmp_path / "b" / "r.jsonl")
    alone = rows_in(tmp_path / "a" / "s.jsonl")
    assert autocoder(words("--rows", one, "--rows", other, "--rows", alone)) == 0
    assert sections(tmp_path / "out")[2:5] == ["lines:a-r", "lines:b-r", "lines:s"]
    assert "## Completion of holes: b-r" in (tmp_path / "out" / "report.md").read_text()


def test_no_two_sections_have_one_name() -> None:
    files = [Path("x/r.jsonl"), Path("x/r.jsonl"), Path("y/x/r.jsonl"), Path("x-r-2.jsonl")]
    assert section_names(files) == ["x-r", "x-r-2", "x-r-3", "x-r-2-2"]
    pictured = [Path("faults.jsonl"), Path("x.jsonl"), Path("x-faults.jsonl")]
    assert section_names(pictured) == ["faults-2", "x", "x-faults-2"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--rows", "none.jsonl"], "no file .*none.jsonl; .*makes one"),
        (["--rows", "empty.jsonl"], "has no rows; .*makes some"),
        (["--rows", "torn.jsonl"], "torn.jsonl:2 is no row"),
        (["--corpus", "none"], "no folder or file .*none"),
        (["--corpus", "empty"], "no document of 1000 characters; give the corpus"),
        (["--corpus", "source", "--unseen", "none"], "no folder or file .*none"),
        (["-o", "empty.jsonl"], "cannot write into .*empty.jsonl.*give another -o"),
        (["--kinds", "lines"], "known: end_of_line"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_measured(
    tmp_path: Path,
    words: Words,
    model: Silent,
    more: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "torn.jsonl").write_text(rows_in(tmp_path / "row.jsonl").read_text() + "{")
    assert autocoder(words(*more)) == 2
    assert re.search(told, capsys.readouterr().err)
    assert model.asked == 0


def test_a_section_is_written_before_the_next_is_measured(
    tmp_path: Path, words: Words, model: Silent
) -> None:
    rows = rows_in(tmp_path / "last.jsonl", replace(ROW, kind="mine"))
    model.fails = "mine"
    assert autocoder(words("--rows", rows)) == 130
    assert sections(tmp_path / "out") == ["perplexity", "lines"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.json", "report.md"}


def test_the_heading_names_the_model_that_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = argparse.Namespace(model=None, checkpoint=None)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert model_name(none) == "the bundled model"
    monkeypatch.setenv(VARIABLE, str(bundled()))
    assert model_name(none) == "the bundled model"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mdl"))
    assert model_name(none) == "mdl"
    assert model_name(argparse.Namespace(model=Path("a/b"), checkpoint=None)) == "b"
    monkeypatch.chdir(tmp_path)
    assert model_name(argparse.Namespace(model=None, checkpoint=Path("."))) == tmp_path.name


def test_holes_say_at_once_that_they_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for output, told in ((tmp_path / "none" / "rows.jsonl", "make it"), (tmp_path, "a file")):
        assert autocoder(["eval", "holes", str(tmp_path / "source"), "-o", str(output)]) == 2
        assert told in capsys.readouterr().err
