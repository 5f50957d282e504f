"""Fine-tuning for real, tiny models made on the spot: learning, control codes, resume."""

import json
import os
import random
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate")

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.prompt import PromptBuilder, PromptFormat
from autocoder.train.finetune import loop
from autocoder.train.finetune.checkpoint import Progress
from autocoder.train.finetune.command import main
from autocoder.train.finetune.contamination import main as contamination
from autocoder.train.finetune.evaluation import row_losses
from autocoder.train.finetune.finetuning import Options, finetune
from autocoder.train.finetune.logs import read_log
from autocoder.train.finetune.recipe import Recipe
from autocoder.train.finetune.segments import build
from autocoder.train.finetune.vocabulary import train_vocabulary
from autocoder.train.finetune.windows import Segments

MODEL = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
RECIPE = Recipe(
    vocabulary=320,
    model=MODEL,
    segment_length=30,
    stride=10,
    sequence=32,
    batch=8,
    steps=60,
    learning_rate=5e-3,
    warmup=0.1,
    evaluate_every=20,
    log_every=10,
)
WORDS = ("count", "index", "value", "total", "name", "size", "first", "line", "item", "left")


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny languages: the same words, other shapes."""
    folder = tmp_path_factory.mktemp("code")
    for number, word in enumerate(WORDS):
        others = [WORDS[(number + step) % len(WORDS)] for step in (1, 3, 4, 7)]
        python = "".join(f"{word} = {other}\nif {word}:\n    {other} = 1\n" for other in others)
        java = "".join(
            f"int {word} = {other};\nwhile ({word}) {{ {other}(); }}\n" for other in others
        )
        (folder / f"{word}.py").write_text(python * 2)
        (folder / f"{word}.java").write_text(java * 2)
    return folder


@pytest.fixture(scope="module")
def data(code: Path, tmp_path_factory: pytest.TempPathFactory) -> Segments:
    folder = tmp_path_factory.mktemp("data")
    build([str(code)], RECIPE, folder)
    return Segments.load(folder)


@pytest.fixture(scope="module")
def result(data: Segments, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one finished run."""
    out = tmp_path_factory.mktemp("run") / "model"
    finetune(data, replace(RECIPE, steps=150, evaluate_every=50), out, Options(cpu=True))
    return out


def test_dev_perplexity_falls(result: Path) -> None:
    rows = [row for row in read_log(result / "log.csv") if "dev_loss" in row]
    assert rows[-1]["dev_perplexity"] < rows[0]["dev_perplexity"] / 10
    assert (result / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert list((result / "tensorboard").iterdir())


def test_control_codes_condition_the_language(result: Path, data: Segments) -> None:
    model = AutoModelForCausalLM.from_pretrained(result).eval()
    for own, name in enumerate(data.languages):
        rows = data.dev[data.dev["language"] == own]
        ids, labels = map(torch.from_numpy, data.batch(rows))
        other = ids.clone()
        other[:, 0] = data.controls[1 - own]
        with torch.no_grad():
            mine, theirs = (row_losses(model, x, labels).sum() for x in (ids, other))
        assert mine < theirs, name


def test_the_same_prefix_is_continued_in_its_language(result: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(result).eval()
    tokenizer = Tokenizer.from_file(str(result / "tokenizer.json"))
    form = PromptFormat.from_manifest(json.loads((result / "prompt.json").read_text()))
    builder = PromptBuilder(tokenizer, form)
    texts = {}
    for language in ("python", "java"):
        ids = torch.tensor([builder.build(language, "", "").ids])
        with torch.no_grad():
            answer = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=16,
                do_sample=False,
                pad_token_id=builder.end_id,
            )
        texts[language] = tokenizer.decode(answer[0].tolist())
    assert ";" in texts["java"] or "{" in texts["java"], texts
    assert ";" not in texts["python"] and "{" not in texts["python"], texts


def test_the_result_is_a_checkpoint_with_its_prompt(result: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(result)
    assert tokenizer.encode("<java>") == [tokenizer.convert_tokens_to_ids("<java>")]
    record = json.loads((result / "autocoder.json").read_text())
    assert record["prompt"] == json.loads((result / "prompt.json").read_text())
    assert record["prompt"]["plain"] == ["{control}", "{prefix}"]
    assert record["results"]["dev_perplexity"] < 20
    assert record["training"]["recipe"]["learning_rate"] == 5e-3


class Killed(Exception):
    """Stands for a kill."""


def test_resume_goes_on_bit_for_bit(
    data: Segments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune(data, RECIPE, tmp_path / "whole", Options(cpu=True))
    steps = iter(range(33))  # the state is that of step 20: 13 steps are repeated
    take_step = loop.take_step

    def interrupted(run: loop.Run) -> Any:
        if next(steps, None) is None:
            raise Killed
        return take_step(run)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "take_step", interrupted)
        with pytest.raises(Killed):
            finetune(data, RECIPE, tmp_path / "broken", Options(cpu=True))
    finetune(data, RECIPE, tmp_path / "broken", Options(cpu=True, resume=True))
    whole, broken = (
        torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "broken")
    )
    assert whole["progress"] == broken["progress"]
    assert_equal(whole["model"], broken["model"])
    assert_equal(whole["optimizer"]["state"], broken["optimizer"]["state"])
    assert torch.equal(whole["chances"][0]["cpu"], broken["chances"][0]["cpu"])
    logs = [
        [line.rsplit(",", 1)[0] for line in (tmp_path / name / "log.csv").read_text().splitlines()]
        for name in ("whole", "broken")
    ]
    assert logs[0] == logs[1], "to the letter, but for the seconds in the last column"


def assert_equal(left: Any, right: Any) -> None:
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal(left[key], right[key])
    else:
        assert torch.equal(left, right)


def test_a_half_written_state_does_no_harm(result: Path, data: Segments, tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=20)
    finetune(data, recipe, tmp_path / "run", Options(cpu=True))
    (tmp_path / "run" / ".state.pt.part").write_bytes(b"half")
    assert finetune(data, recipe, tmp_path / "run", Options(cpu=True, resume=True)).step == 20


def test_a_run_is_not_overwritten_nor_resumed_otherwise(result: Path, data: Segments) -> None:
    with pytest.raises(ConfigError, match="--resume"):
        finetune(data, RECIPE, result, Options(cpu=True))
    with pytest.raises(ConfigError, match="the run to resume had"):
        finetune(data, replace(RECIPE, seed=5), result, Options(cpu=True, resume=True))


def test_where_there_is_no_run_none_is_resumed(code: Path, data: Segments, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(ConfigError, match="no run to go on with"):
            finetune(data, RECIPE, out, Options(cpu=True, resume=True))
        with pytest.raises(ConfigError, match="no run to go on with"):
            main(["--recipe", "gpt2-tiny", "--data", str(code), "--out", str(out), "--resume"])
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_the_split_is_an_option_and_must_agree_with_ready_data(
    code: Path, data: Segments, tmp_path: Path
) -> None:
    toml = tmp_path / "recipe.toml"
    toml.write_text(
        "vocabulary = 280\nsegment_length = 30\nstride = 10\nsequence = 32\nbatch = 8\nsteps = 1\n"
        "dev_windows = 4\n[model]\nmodel_type = 'gpt2'\nn_embd = 16\nn_layer = 1\nn_head = 1\n"
        "n_positions = 32\n"
    )
    words = ["--recipe", str(toml), "--cpu", "--split", "window"]
    out = tmp_path / "out"
    assert main([*words, "--data", str(code), "--out", str(out)]) == 0
    assert Segments.load(out / "segments").record["split"] == "window"
    with pytest.raises(ConfigError, match="split by file, not by window"):
        main([*words, "--data", str(data.folder), "--out", str(tmp_path / "other")])


def test_early_stopping_counts_evaluations_without_gain() -> None:
    progress = Progress()
    for step, loss in enumerate((3.0, 2.0, 2.5, 1.9, 2.0, 2.1, 1.95)):
        progress.step = step
        loop.judge(progress, loss, patience=3, steps=100)
    assert (progress.best_loss, progress.best_step) == (1.9, 3)
    assert progress.stopped.startswith("early")


def test_early_stopping_ends_a_run(data: Segments, tmp_path: Path) -> None:
    recipe = replace(RECIPE, learning_rate=1.0, steps=500, evaluate_every=2, patience=3, clip=1e6)
    progress = finetune(data, recipe, tmp_path / "run", Options(cpu=True))
    assert progress.step < 500 and progress.stopped.startswith("early")


def test_the_rate_warms_up_and_decays_linearly() -> None:
    recipe = Recipe()
    rates = [loop.learning_rate(recipe, step, 100) for step in range(100)]
    assert max(rates) == rates[20] == 5e-5
    assert rates[9] == pytest.approx(5e-5 * 10 / 21)
    assert rates[60] == pytest.approx(2.5e-5) and 0 < rates[99] < 1e-6


def test_a_local_base_gets_control_codes(code: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    texts = [path.read_text() for path in sorted(code.iterdir())]
    tokenizer = train_vocabulary(texts, 300)
    size = tokenizer.get_vocab_size()
    GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=32, n_layer=1, n_head=2)).save_pretrained(
        base
    )
    tokenizer.save(str(base / "tokenizer.json"))
    arguments = ["--data", str(code), "--base", str(base), "--out", str(tmp_path / "out"), "--cpu"]
    changes = ["segment_length=30", "steps=4", "evaluate_every=2", "sequence=32"]
    sets = [word for change in changes for word in ("--set", change)]
    assert main([*arguments, *sets]) == 0
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert len(weights["transformer.wte.weight"]) == size + 2


def test_two_processes_take_the_steps_of_one(data: Segments, tmp_path: Path) -> None:
    """torchrun with two processes of batch 4 ends where one of batch 8 does (no dropout)."""
    still = {**MODEL, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    recipe = replace(RECIPE, model=still, steps=6, evaluate_every=3)
    finetune(data, recipe, tmp_path / "one", Options(cpu=True))
    rows = {**recipe.to_record(), "batch": 4}
    model = rows.pop("model")
    lines = [f"{key} = {json.dumps(value)}" for key, value in rows.items()]
    table = [f"{key} = {json.dumps(value)}" for key, value in model.items()]
    (tmp_path / "two.toml").write_text("\n".join([*lines, "[model]", *table]))
    arguments = ["--recipe", str(tmp_path / "two.toml"), "--data", str(data.folder), "--cpu"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    port = ["--master-port", str(free_port())]
    done = subprocess.run(
        [
            *torchrun,
            *port,
            "-m",
            "autocoder",
            "train",
            "finetune",
            *arguments,
            "--out",
            str(tmp_path / "two"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name in one:
        assert torch.allclose(one[name], two[name], atol=2e-4), name
    logs = [read_log(tmp_path / name / "log.csv")[-1]["dev_loss"] for name in ("one", "two")]
    assert logs[0] == pytest.approx(logs[1], abs=1e-3)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_contamination_shows_the_split_by_window_too_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of random names: nothing of one helps with another, so only memory can help."""
    chance = random.Random(0)
    code = tmp_path / "code"
    code.mkdir()
    for number in range(6):
        words = ["".join(chance.choices("abcdefgh", k=5)) for _ in range(40)]
        (code / f"m{number}.py").write_text("".join(f"{word} = 1\n" for word in words))
    toml = tmp_path / "recipe.toml"
    toml.write_text(
        "vocabulary = 280\nsegment_length = 30\nstride = 5\nsequence = 32\nbatch = 16\n"
        "steps = 400\nlearning_rate = 5e-3\nwarmup = 0.1\nevaluate_every = 100\ndev_windows = 40\n"
        "[model]\nmodel_type = 'gpt2'\nn_embd = 64\nn_layer = 2\nn_head = 2\nn_positions = 32\n"
        "resid_pdrop = 0.0\nembd_pdrop = 0.0\nattn_pdrop = 0.0\n"
    )
    out = tmp_path / "out"
    assert contamination([str(code), "--recipe", str(toml), "--out", str(out), "--cpu"]) == 0
    window, file = json.loads((out / "contamination.json").read_text())["outcomes"]
    assert window["dev_perplexity"] < 0.8 * file["dev_perplexity"]
    assert window["dev_tokens_seen"] > 0.95 and file["dev_tokens_seen"] == 0.0
    assert "| by window |" in capsys.readouterr().out
    assert (out / "contamination.md").is_file() and (out / "contamination.png").is_file()
