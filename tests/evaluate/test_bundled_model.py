"""`autocoder eval` on the bundled model, as a user runs it."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autocoder.__main__ import main as autocoder
from autocoder.train.evaluate.plots import draw
from autocoder.train.evaluate.rows import Row
from autocoder.train.evaluate.shipped import ShippedModel
from tests.evaluate.conftest import PYTHON

Evaluate = Callable[..., Any]
RECORD = {
    "rows",
    "exact_match",
    "first_line",
    "edit_similarity",
    "bits_per_byte",
    "mean_ms",
    "ci",
    "faults",
}

WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "matplotlib", "tqdm", "onnx", "datasketch", "safetensors"):
    sys.modules[name] = None
from autocoder.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


SMALL = ["--limit", 1, "--limit-bytes", 100, "--functions", 1, "--prompts", 1]


def corpus(folder: Path) -> Path:
    """One document that is long enough to be cut."""
    (folder / "corpus").mkdir()
    (folder / "corpus" / "add.py").write_text(PYTHON * 4)
    return folder / "corpus"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    made.mkdir()
    (made / "add.py").write_text(PYTHON)
    (made / "Add.java").write_text(
        "class Add {\n    // adds two numbers\n    static int add(int a, int b) {\n"
        "        int sum = a + b;\n        return sum;\n    }\n}\n"
    )
    return made


def test_code_costs_far_fewer_bits_than_noise(folder: Path, evaluate: Evaluate) -> None:
    code = evaluate("perplexity", folder)["by_language"]
    letters = random.Random(1).choices("abcdefghijklmnopqrstuvwxyz \n", k=600)
    (folder / "add.py").write_text("".join(letters))
    noise = evaluate("perplexity", folder)["by_language"]["python"]
    assert set(code) == {"python", "java"}
    assert 0.1 < code["python"]["bits_per_byte"] < 1.5 and noise["bits_per_byte"] > 3
    assert code["python"]["perplexity"] < noise["perplexity"]
    low, high = code["python"]["ci"]["bits_per_byte"]
    assert low <= code["python"]["bits_per_byte"] <= high


def test_a_token_costs_the_same_however_the_text_is_cut_into_passes() -> None:
    model = ShippedModel()
    ids = [model.builder.control_id("python"), *model.builder.encode(PYTHON)]
    whole = model.nats([ids])
    from_known = model._nats(ids, 20)
    first = model.nats([ids[:20]])
    assert first + from_known == pytest.approx(whole, rel=0.02)  # activations of 8 bits


def test_holes_are_made_and_measured(folder: Path, tmp_path: Path, evaluate: Evaluate) -> None:
    rows = tmp_path / "rows.jsonl"
    made = evaluate("holes", folder, "-o", rows, "--limit", 2)
    assert made["rows"] == len(rows.read_text().splitlines()) >= 6
    result = evaluate("lines", rows)
    assert set(result["by_language"]) == {"python", "java"}
    for record in [*result["by_language"].values(), *result["by_kind"]["python"].values()]:
        assert set(record) == RECORD
        assert record["mean_ms"] > 0 and record["bits_per_byte"] > 0
        for name, (low, high) in record["ci"].items():
            assert low <= record[name] <= high
    assert "comment" in result["by_kind"]["python"]


def test_a_line_that_stands_there_twice_is_found(tmp_path: Path, evaluate: Evaluate) -> None:
    twice = "import json\n\n\ndef first():\n    return json.loads(text)\n\n\n"
    row = {
        "language": "python",
        "prefix": twice + "def second():\n    return json.lo",
        "suffix": "\n",
        "middle": "ads(text)",
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    python = evaluate("lines", tmp_path / "rows.jsonl", "--no-bits")["by_language"]["python"]
    assert python["exact_match"] == 1.0 and "bits_per_byte" not in python


@pytest.mark.parametrize("language", ["python", "java"])
def test_line_breaks_at_the_end_of_a_middle_change_no_bits_per_byte(language: str) -> None:
    behind = "\n" * 27
    rows = [Row(language, "x = y\nz = ", behind[at:], "y;" + behind[:at]) for at in (0, 1, 27)]
    scores = [replace(found, ms=0.0) for _, found in ShippedModel().scored(rows)]
    assert scores[0] == scores[1] == scores[2] and scores[0].size == 2


def test_renaming_is_measured(evaluate: Evaluate) -> None:
    result = evaluate("rename", "--limit", 1)
    for language in ("python", "java"):
        assert result["by_language"][language]["rows"] == 4
        assert 0 <= result["by_language"][language]["consistent"] <= 1
        assert "misleading_comment" in result["by_adversary"][language]


def test_one_command_writes_the_report_without_torch_and_plots_it(
    folder: Path, tmp_path: Path
) -> None:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WITHOUT_TORCH, "eval", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=280)

    out = tmp_path / "report"
    done = run("report", folder, "--corpus", corpus(tmp_path), "-o", out, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "no plots: matplotlib is missing" in done.stderr
    assert "| python: comment |" in (out / "report.md").read_text()
    results = json.loads((out / "report.json").read_text())
    assert set(results) == {"perplexity", "lines", "rename", "memory"}
    for picture in ("lines.png", "lines-faults.png", "rename.png", "memory.png"):
        assert picture in {each for drawn in draw(results, out).values() for each in drawn}
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    refused = run("perplexity", folder, "--checkpoint", folder)
    assert refused.returncode == 2 and ",train]'" in refused.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lines", "none.jsonl"], "autocoder eval holes"),
        (["perplexity", "none"], "give a folder"),
        (["holes", "empty"], "give Python or Java"),
        (["memory", "empty"], "give the corpus"),
        (["lines", "empty.jsonl"], "has no rows"),
    ],
)
def test_a_source_without_anything_is_an_error_with_the_remedy(
    tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.jsonl").write_text("\n")
    assert autocoder(["eval", words[0], str(tmp_path / words[1])]) == 2
    assert told in capsys.readouterr().err
