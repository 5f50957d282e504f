"""A run goes on with its own recipe only; options that cannot work are named before it begins."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from autocoder.daemon.errors import ConfigError
from autocoder.train.pretrain import recipe as recipes
from autocoder.train.pretrain.command import main
from autocoder.train.pretrain.loop import Place, Trainer
from autocoder.train.pretrain.model import CodeModel, load, save
from autocoder.train.pretrain.tokenizer import train
from tests.train.test_pretrain_data import PYTHON, write_shard
from tests.train.test_pretrain_training import RECIPE, windows


@pytest.fixture
def recipe(tmp_path: Path) -> recipes.Recipe:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return recipes.load(tmp_path / "tiny.toml")


def trainer(recipe: recipes.Recipe, out: Path, **more: Any) -> Trainer:
    return Trainer(CodeModel(recipe.model), recipe, Place(0, 1, torch.device("cpu")), out, **more)


def changed(recipe: recipes.Recipe, table: str, **values: Any) -> recipes.Recipe:
    return dataclasses.replace(
        recipe, **{table: dataclasses.replace(getattr(recipe, table), **values)}
    )


@pytest.mark.parametrize(
    ("table", "values", "message"),
    [
        ("training", {"steps": 30}, "had steps = 12, the recipe says 30"),
        ("training", {"muon_lr": 0.1}, "had muon_lr = 0.0025, the recipe says 0.1"),
        ("training", {"batch": 8}, "had batch = 4, the recipe says 8"),
        ("training", {"minutes": 2.0}, "had minutes = 0.0, the recipe says 2.0"),
        ("model", {"intermediate_size": 96}, "intermediate_size = 64, the recipe says 96"),
        ("data", {"seed": 7}, r"\[data\] seed = 0, the recipe says 7"),
        ("mixture", {"hole_share": 0.1}, "hole_share = 0.6, the recipe says 0.1"),
    ],
)
def test_another_recipe_is_refused(
    recipe: recipes.Recipe, tmp_path: Path, table: str, values: dict[str, Any], message: str
) -> None:
    trainer(recipe, tmp_path).save_state()
    with pytest.raises(ConfigError, match=message + ".*another --out"):
        trainer(changed(recipe, table, **values), tmp_path).resume()


def test_what_does_not_change_the_result_may_change(recipe: recipes.Recipe, tmp_path: Path) -> None:
    trainer(recipe, tmp_path).save_state()
    other = changed(recipe, "training", micro_batch=4, evaluate_every=1, checkpoint_every=2)
    again = trainer(other, tmp_path)
    assert again.resume()
    assert again.training.micro_batch == 4


def test_with_minutes_the_steps_are_those_that_the_run_had_planned(
    recipe: recipes.Recipe, tmp_path: Path
) -> None:
    timed = changed(recipe, "training", minutes=5.0)
    run = trainer(timed, tmp_path)
    run.training = dataclasses.replace(run.training, steps=77)
    run.save_state()
    again = trainer(timed, tmp_path)
    assert again.resume() and again.training.steps == 77


def test_other_weights_to_begin_from_are_refused(recipe: recipes.Recipe, tmp_path: Path) -> None:
    trainer(recipe, tmp_path, begun={"--init": "sha256 1"}).save_state()
    assert trainer(recipe, tmp_path, begun={"--init": "sha256 1"}).resume()
    with pytest.raises(ConfigError, match="had --init = sha256 1, now it is nothing"):
        trainer(recipe, tmp_path, begun={"--init": "nothing"}).resume()


def test_a_state_of_an_older_version_goes_on_where_its_shape_fits(
    recipe: recipes.Recipe, tmp_path: Path
) -> None:
    trainer(recipe, tmp_path).save_state()
    path = max((tmp_path / "states").iterdir())
    state = torch.load(path, weights_only=True)
    del state["settings"]
    torch.save(state, path)
    assert trainer(changed(recipe, "training", weight_decay=0.2), tmp_path).resume()
    wider = changed(recipe, "model", intermediate_size=96)
    with pytest.raises(ConfigError, match="does not fit the recipe"):
        trainer(wider, tmp_path).resume()


def test_the_weights_before_the_decay_of_a_killed_run_are_a_whole_checkpoint(
    recipe: recipes.Recipe, tmp_path: Path
) -> None:
    train([PYTHON] * 9, 400).save(str(tmp_path / "tokenizer.json"))
    run = trainer(recipe, tmp_path / "run", tokenizer=tmp_path / "tokenizer.json")
    with pytest.raises(ConfigError, match="the windows ended"):
        run.run(iter(windows(9)), None)
    names = {path.name for path in (tmp_path / "run/stable").iterdir()}
    assert {"tokenizer.json", "tokenizer_config.json", "prompt.json", "card.json"} <= names
    card = json.loads((tmp_path / "run/stable/card.json").read_text())
    assert card["training"]["steps"] == 6
    assert not (tmp_path / "run/final").exists()


@pytest.fixture
def words(recipe: recipes.Recipe, tmp_path: Path) -> list[str]:
    write_shard(tmp_path / "corpus/0000.jsonl.xz", 800)
    train([PYTHON] * 9, 400).save(str(tmp_path / "tokenizer.json"))
    files = {"recipe": "tiny.toml", "corpus": "corpus", "windows": "windows", "out": "run"}
    files |= {"tokenizer": "tokenizer.json"}
    return [part for name, file in files.items() for part in (f"--{name}", str(tmp_path / file))]


def test_the_command_refuses_what_cannot_work_before_it_begins(
    words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "small.toml").write_text(RECIPE.replace("vocab_size = 400", "vocab_size = 300"))
    for more, message in (
        (["--minutes", "-1"], r"the command line: \[training\] minutes = -1.0 must be from 0"),
        (["--steps", "0"], "steps = 0 must be from 1"),
        (["--micro-batch", "0"], "micro_batch = 0 must be from 1"),
        (["--tokenizer", str(tmp_path / "none.json")], "no tokenizer can be read"),
        (["--recipe", str(tmp_path / "small.toml")], "vocab_size = 300 is too small"),
        (["--recipe", str(tmp_path / "small.toml"), "--prepare"], "vocab_size = 300 is too small"),
        (["--init", str(tmp_path / "nope")], "no checkpoint can be read from .*nope"),
        (["--dev", str(tmp_path)], "no shard can be read"),
        (["--dev", str(tmp_path / "none.jsonl.xz")], "no shard can be read"),
    ):
        with pytest.raises(ConfigError, match=message):
            main([*words, *more])
    assert not (tmp_path / "windows").exists()


def test_the_command_goes_on_and_refuses_other_windows_and_another_run(
    words: list[str], tmp_path: Path
) -> None:
    assert main([*words, "--prepare", "--workers", "2"]) == 0
    assert main(words) == 0
    shutil.rmtree(tmp_path / "run/final")
    assert main(words) == 0  # from its last state
    with pytest.raises(ConfigError, match="the run to resume had steps = 12, the recipe says 20"):
        main([*words, "--steps", "20"])
    with pytest.raises(ConfigError, match="the run to resume had --init = nothing, now it is sha"):
        main([*words, "--init", str(tmp_path / "run/final")])
    (tmp_path / "tiny.toml").write_text(RECIPE.replace("length = 32", "length = 48"))
    with pytest.raises(ConfigError, match="were made with length = 33, now it is 49"):
        main(words)


def test_a_damaged_checkpoint_is_named(recipe: recipes.Recipe, tmp_path: Path) -> None:
    save(CodeModel(recipe.model), tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    whole = config.read_text()
    config.write_text("{}")
    with pytest.raises(ConfigError, match=r"config\.json lacks 'vocab_size'"):
        load(tmp_path)
    config.write_text(whole.replace('"intermediate_size": 64', '"intermediate_size": 96'))
    with pytest.raises(ConfigError, match="no checkpoint can be read from"):
        load(tmp_path)
    config.write_text(whole)
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="no checkpoint can be read from"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("table", "line", "message"),
    [
        ("model", "vocab_size = 70000", "vocab_size = 70000 must be from 1 to 65536"),
        ("model", "num_hidden_layers = 0", "num_hidden_layers = 0 must be from 1"),
        ("model", "num_attention_heads = 7", "num_attention_heads = 7 must divide hidden_size"),
        ("model", "num_attention_heads = 128", "heads of an even width"),
        ("model", "num_key_value_heads = 3", "num_key_value_heads = 3 must divide"),
        ("data", "length = 4096", "length = 4096 must not be above .* = 2048"),
        ("data", "epochs = 0", "epochs = 0 must be from 1"),
        ("data", "seed = -1", "seed = -1 must be from 0"),
        ("mixture", "hole_share = 1.5", "hole_share = 1.5 must be from 0 to 1"),
        ("mixture", "no_suffix = -0.1", "no_suffix = -0.1 must be from 0 to 1"),
        ("mixture", "renamed_alone = nan", "renamed_alone = nan must be from 0 to 1"),
        ("training", "steps = 0", "steps = 0 must be from 1"),
        ("training", "steps = true", "steps = True must be a int"),
        ("training", "minutes = -1", "minutes = -1 must be from 0"),
        ("training", "batch = 0", "batch = 0 must be from 1"),
        ("training", "micro_batch = 0", "micro_batch = 0 must be from 1"),
        ("training", "decay = 2", "decay = 2 must be from 0 to 1"),
        ("training", "evaluate_every = 0", "evaluate_every = 0 must be from 1"),
    ],
)
def test_an_impossible_recipe_is_named(tmp_path: Path, table: str, line: str, message: str) -> None:
    (tmp_path / "recipe.toml").write_text(f"[{table}]\n{line}\n")
    with pytest.raises(ConfigError, match=message):
        recipes.load(tmp_path / "recipe.toml")


def test_every_number_of_a_recipe_has_its_range() -> None:
    from autocoder.train.pretrain.limits import RANGES

    for table, values in dataclasses.asdict(recipes.Recipe()).items():
        numbers = {name for name, value in values.items() if not isinstance(value, bool)}
        assert numbers - set(RANGES[table]) <= {"quantisation_block"}
