"""`autocoder eval` on the bundled model, as a user runs it."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def evaluate(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autocoder", "eval", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("source")
    (made / "prompt.py").write_text((ROOT / "daemon" / "prompt.py").read_text())
    return made


def test_code_costs_far_fewer_bits_than_noise(folder: Path, tmp_path: Path) -> None:
    answer = evaluate("perplexity", folder, "--json")
    assert answer.returncode == 0, answer.stderr
    code: dict[str, Any] = json.loads(answer.stdout)["by_language"]["python"]
    letters = random.Random(1).choices("abcdefghijklmnopqrstuvwxyz \n", k=3000)
    (tmp_path / "noise.py").write_text("".join(letters))
    noise = json.loads(evaluate("perplexity", tmp_path, "--json").stdout)["by_language"]["python"]
    assert 0.2 < code["bits_per_byte"] < 1.5
    assert noise["bits_per_byte"] > 3
    assert code["perplexity"] < noise["perplexity"]


def test_holes_are_made_and_measured(folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    assert evaluate("holes", folder, "-o", rows, "--per-file", "3").returncode == 0
    answer = evaluate("lines", rows, "--json")
    assert answer.returncode == 0, answer.stderr
    python = json.loads(answer.stdout)["by_language"]["python"]
    assert python["rows"] == len(rows.read_text().splitlines())
    assert 0.1 < python["edit_similarity"] <= 1 and python["mean_ms"] > 0
    low, high = python["ci"]["exact_match"]
    assert low <= python["exact_match"] <= high


def test_a_missing_file_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    answer = evaluate("lines", tmp_path / "none.jsonl")
    assert answer.returncode == 2 and "autocoder eval holes" in answer.stderr
