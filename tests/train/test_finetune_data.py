"""Sources, windows, splits and recipes, as the user of `autocoder train segments` meets them."""

import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("datasketch")

from autocoder.daemon.errors import ConfigError
from autocoder.train.finetune.base import base_folder
from autocoder.train.finetune.contamination import build_both
from autocoder.train.finetune.logs import require_wandb
from autocoder.train.finetune.recipe import Recipe, load_recipe
from autocoder.train.finetune.segments import build, main
from autocoder.train.finetune.sources import read_sources
from autocoder.train.finetune.windows import Segments, seen_share, windows_of_file

RECIPE = Recipe(vocabulary=300, segment_length=20, stride=5, sequence=22)


def python_file(seed: int, functions: int = 6) -> str:
    """Source code unlike that of any other seed."""
    words = random.Random(seed)
    names = ["".join(words.choices("abcdefghijklmnop", k=7)) for _ in range(3 * functions)]
    return "\n".join(
        f"def {a}({b}):\n    {c} = {b} + {len(a)}\n    return [{c} for {a} in {b}]\n"
        for a, b, c in zip(*[iter(names)] * 3, strict=True)
    )


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    for seed in range(12):
        (folder / f"m{seed}.py").write_text(python_file(seed))
    (folder / "Main.java").write_text("class Main { int one() { return 1; } }\n" * 3)
    return folder


def test_windows_of_a_file_by_hand() -> None:
    """23 tokens, length 10, stride 5: the blog makes 23 // 5 = 4 windows; the third fits to the
    end less 3, the last is cut to 8."""
    windows = windows_of_file(100, 23, 1, segment_length=10, stride=5)
    assert windows["start"].tolist() == [100, 105, 110, 115]
    assert windows["length"].tolist() == [10, 10, 10, 8]
    assert len(windows_of_file(0, 4, 0, 10, 5)) == 0


def test_a_window_is_control_code_tokens_and_end(code: Path, tmp_path: Path) -> None:
    build([str(code)], RECIPE, tmp_path / "data")
    data = Segments.load(tmp_path / "data")
    row = data.train[0]
    ids = data.window(row)
    start, length = int(row["start"]), int(row["length"])
    assert ids[0] == data.controls[data.languages.index("python")] and ids[-1] == data.end
    assert ids[1:-1].tolist() == data.tokens[start : start + length].tolist()
    short = data.train[data.train["length"] < 20][0]
    batch, labels = data.batch(np.array([row, short]))
    assert batch.shape == (2, 22)
    assert (labels[1] == -100).sum() == 20 - short["length"]
    assert batch[1, short["length"] + 1] == data.end == labels[1, short["length"] + 1]


def test_a_control_code_in_the_source_is_only_text(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    for seed in range(3):
        (tmp_path / "code" / f"{seed}.py").write_text(f"x{seed} = '<java><eos>'\n" * 9)
    build([str(tmp_path / "code")], RECIPE, tmp_path / "data")
    data = Segments.load(tmp_path / "data")
    assert not set(data.tokens.tolist()) & {*data.controls, data.end}


def test_split_by_file_shares_nothing_and_by_window_nearly_all(code: Path, tmp_path: Path) -> None:
    (code / "copy.py").write_text(python_file(3).replace("+", " + ") + "\nextra = 1\n")
    shares = {}
    for split in ("file", "window"):
        record = build([str(code)], replace(RECIPE, split=split), tmp_path / split)
        data = Segments.load(tmp_path / split)
        shares[split] = seen_share(data.train, data.dev, len(data.tokens))
        assert record["copies_dropped"] == (1 if split == "file" else 0)
    assert shares["file"] == 0.0
    assert shares["window"] > 0.95


def test_the_split_is_nine_to_one_and_the_same_every_time(code: Path, tmp_path: Path) -> None:
    for name in "ab":
        build([str(code)], RECIPE, tmp_path / name)
    first, second = Segments.load(tmp_path / "a"), Segments.load(tmp_path / "b")
    assert np.array_equal(first.dev, second.dev)
    assert 0.04 < len(first.dev) / (len(first.dev) + len(first.train)) <= 0.1


def test_what_is_no_source_text_is_counted(code: Path) -> None:
    (code / "binary.py").write_bytes(b"a\0b")
    (code / "latin.py").write_bytes(b"# caf\xe9\n")
    (code / "empty.py").write_text("\n")
    left_out: Counter[str] = Counter()
    names = [source.name for source in read_sources([str(code)], code / "clones", left_out)]
    assert left_out == {"binary": 1, "not UTF-8": 1, "empty": 1}
    assert len(names) == 13


def test_a_git_url_is_cloned(code: Path, tmp_path: Path) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(code), *words], check=True)
    found = list(read_sources([code.as_uri()], tmp_path / "clones", Counter()))
    assert len(found) == 13


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_no_source_is_said_with_a_remedy(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"check the spelling|give another folder"):
        list(read_sources([str(tmp_path / place)], tmp_path, Counter()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("learning_rat = 1.0", "did you mean learning_rate"),
        ("batch = 'four'", "batch is 'four'; it must be a whole number"),
        ("warmup = 2.0", "warmup is 2.0; it must be from 0.0 to 1.0"),
        ("sequence = 100", "too short for segment_length"),
        ("split = 'line'", "one of file, window"),
        ("batch = ", "is no TOML"),
    ],
)
def test_a_bad_recipe_names_the_value_and_the_remedy(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("distilgpt2", [change])


@pytest.mark.parametrize("change", ["split=window", 'split="window"', " split = 'window' "])
def test_a_word_goes_with_and_without_quotes(change: str) -> None:
    assert load_recipe("distilgpt2", [change, "base=a/b-c", "batch=3"]) == replace(
        load_recipe("distilgpt2"), split="window", base="a/b-c", batch=3
    )


def test_the_blogs_recipes_have_the_blogs_numbers() -> None:
    for name in ("distilgpt2", "gpt2-medium"):
        recipe = load_recipe(name)
        assert recipe.base == name
        assert (recipe.segment_length, recipe.stride, recipe.sequence) == (254, 10, 256)
        assert (recipe.learning_rate, recipe.warmup, recipe.batch) == (5e-5, 0.2, 4)
        assert (recipe.evaluate_every, recipe.patience, recipe.dev_share) == (200, 20, 0.1)


def test_a_recipe_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(ConfigError, match="distilgpt2, gpt2-medium, gpt2-tiny"):
        load_recipe("gpt5")


def test_a_hub_name_without_a_network_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import HfApi

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(HfApi, "model_info", unreachable)
    with pytest.raises(ConfigError, match=r"ConnectionError.*hf download gpt2-never --local-dir"):
        base_folder("gpt2-never")


def test_wandb_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"pip install 'autocoder\[wandb\]'"):
        require_wandb()


def test_the_command_prints_counts(
    code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(code), "--out", str(tmp_path / "data"), "--recipe", "gpt2-tiny"]
    assert main([*arguments, "--vocabulary", "300"]) == 0
    shown = capsys.readouterr().out
    assert "python" in shown and "java" in shown and "split by file" in shown
    with pytest.raises(ConfigError, match="holds a data set already"):
        main(arguments)


def test_copies_are_counted_for_both_splits_of_a_contamination(
    code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (code / "copy.py").write_text((code / "m3.py").read_text())
    data = build_both([str(code)], RECIPE, tmp_path / "out")
    assert {name: each.record["copies_dropped"] for name, each in data.items()} == {
        "window": 1,
        "file": 1,
    }
    assert capsys.readouterr().out.count("1 copies dropped") == 2


def test_what_cannot_be_built_leaves_nothing(code: Path, tmp_path: Path) -> None:
    unreachable = (tmp_path / "nowhere.git").as_uri()
    out = tmp_path / "deep" / "data"
    for places in ([unreachable], [str(code), unreachable]):
        for recipe in (RECIPE, replace(RECIPE, vocabulary=0)):
            with pytest.raises(ConfigError):
                build(places, recipe, out)
            assert not out.parent.exists()
    out.mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot clone"):
        build([unreachable], RECIPE, out)
    assert list(out.iterdir()) == [], "a folder of the user's stays"


WITHOUT_TRAINING = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"accelerate", "datasketch", "matplotlib", "torch", "tqdm"}:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Absent())
from autocoder.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("name", ["corpus", "segments", "finetune", "contamination"])
def test_without_the_packages_for_training_there_is_help_and_one_remedy(
    name: str, tmp_path: Path
) -> None:
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", WITHOUT_TRAINING, "train", name, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    shown = run("--help")
    assert shown.returncode == 0 and shown.stdout.startswith(f"usage: autocoder train {name}")
    refused = run("--out", str(tmp_path / "out"))
    assert refused.returncode == 2 and "and what else this needs" in refused.stderr
    assert re.search(r"pip install 'autocoder\[(cpu|cuda),train\]'", refused.stderr)
    assert not (tmp_path / "out").exists()
