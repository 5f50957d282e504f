"""Pre-training itself, tiny and on the CPU: model, grid, optimiser, loop, resume, processes."""

import csv
import dataclasses
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers

from autocoder.daemon.errors import ConfigError
from autocoder.export.quantise import quantise
from autocoder.train.pretrain import recipe as recipes
from autocoder.train.pretrain import schedule
from autocoder.train.pretrain.checkpoint import newest_state
from autocoder.train.pretrain.command import main
from autocoder.train.pretrain.compare import main as compare
from autocoder.train.pretrain.compare import rate_share
from autocoder.train.pretrain.documents import Blocks, Masked
from autocoder.train.pretrain.fake_quantise import on_grid, to_grid
from autocoder.train.pretrain.loop import Place, Trainer
from autocoder.train.pretrain.model import CodeModel, ModelConfig, load, save
from autocoder.train.pretrain.muon import Muon, orthogonalise
from autocoder.train.pretrain.parcel import main as parcel
from autocoder.train.pretrain.plot import plot
from autocoder.train.pretrain.reference import gpt2, llama, parameters
from autocoder.train.pretrain.throughput import main as throughput
from autocoder.train.pretrain.tokenizer import train

TINY = ModelConfig(
    vocab_size=400,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=64,
    max_position_embeddings=64,
)
RECIPE = """
[model]
vocab_size = 400
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 4
num_key_value_heads = 2
intermediate_size = 64
max_position_embeddings = 64
[data]
length = 32
epochs = 1
[training]
steps = 12
batch = 4
micro_batch = 2
warm_up = 2
decay = 0.5
evaluate_every = 6
checkpoint_every = 4
"""
CODE = "def add(left, right):\n    total = left + right\n    return total\n"


def windows(count: int = 64) -> list[np.ndarray]:
    chance = np.random.default_rng(1)
    return [chance.integers(0, 400, (4, 33), dtype=np.uint16) for _ in range(count)]


def notes_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]


def last_row(run: Path) -> dict[str, str]:
    return list(csv.DictReader((run / "log.csv").read_text().splitlines()))[-1]


@pytest.fixture
def recipe(tmp_path: Path) -> recipes.Recipe:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return recipes.load(tmp_path / "tiny.toml")


def trainer(recipe: recipes.Recipe, out: Path) -> Trainer:
    torch.manual_seed(0)
    return Trainer(CodeModel(recipe.model), recipe, Place(0, 1, torch.device("cpu")), out)


def test_logits_equal_those_of_transformers_after_a_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = CodeModel(TINY)
    for parameter in model.parameters():
        parameter.data = parameter.data.mul(3)
    save(model, tmp_path)
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = torch.randint(0, 400, (2, 40))
    with torch.no_grad():
        assert torch.allclose(model(ids), theirs(ids).logits, atol=1e-5)
        assert torch.equal(load(tmp_path)(ids), model(ids))


def test_the_bundled_shape_has_sixty_million_parameters() -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in CodeModel(ModelConfig()).parameters())
    assert 55e6 < count < 65e6


def test_the_grid_is_that_of_the_export() -> None:
    weights = torch.randn(24, 96) * torch.logspace(-6, 1, 24)[:, None]
    weights[3] = 0
    assert np.array_equal(to_grid(weights).numpy(), quantise(weights.numpy()).dequantised())


def test_weights_lie_on_the_grid_inside_only_and_gradients_pass() -> None:
    weights = [torch.nn.Parameter(torch.randn(4, 32)), torch.nn.Parameter(torch.randn(2, 64))]
    before = [w.detach().clone() for w in weights]
    with on_grid(weights):
        for weight, old in zip(weights, before, strict=True):
            assert torch.equal(weight.detach(), to_grid(old))
        sum((w * 2).sum() for w in weights).backward()
    assert all(torch.equal(w.detach(), old) for w, old in zip(weights, before, strict=True))
    assert all(torch.equal(w.grad, torch.full_like(w, 2)) for w in weights)


def test_muon_moves_each_matrix_by_nearly_equal_singular_values() -> None:
    values = torch.linalg.svdvals(orthogonalise(torch.randn(3, 16, 48)).float())
    assert 0.6 < values.min() <= values.max() < 1.3


def test_muon_lowers_a_loss_and_treats_tall_and_wide_alike() -> None:
    torch.manual_seed(0)
    wanted = torch.randn(48, 16)
    tall, wide = torch.nn.Parameter(torch.zeros(48, 16)), torch.nn.Parameter(torch.zeros(16, 48))
    muon = Muon([tall, wide], lr=0.2)
    for _ in range(120):
        ((tall - wanted) ** 2).mean().backward()
        ((wide - wanted.T) ** 2).mean().backward()
        muon.step()
        muon.zero_grad()
    assert ((tall - wanted) ** 2).mean() < 0.3 * (wanted**2).mean()
    assert torch.allclose(tall.detach(), wide.detach().T, atol=0.1)


def test_the_rate_warms_up_stays_and_falls() -> None:
    training = recipes.Training(steps=100, warm_up=10, decay=0.3)
    rates = [schedule.share(step, training) for step in range(100)]
    assert rates[:2] == [0.1, 0.2]
    assert set(rates[10:70]) == {1.0}
    assert rates[71] == pytest.approx(29 / 30) and rates[99] == pytest.approx(1 / 30)


def test_a_resumed_run_equals_the_unbroken_one_bit_for_bit(
    recipe: recipes.Recipe, tmp_path: Path
) -> None:
    data = windows()
    whole = trainer(recipe, tmp_path / "whole")
    whole.run(iter(data), None)
    broken = trainer(recipe, tmp_path / "broken")
    with pytest.raises(ConfigError, match="ended after 9 of 12 steps"):
        broken.run(iter(data[:9]), None)  # dies after the state of step 8
    (tmp_path / "broken/states/step-000009.part").write_bytes(b"half")  # killed while writing
    again = trainer(recipe, tmp_path / "broken")
    assert again.resume() and again.step == 8
    again.run(iter(data[8:]), None)
    assert again.step == 12
    for ours, theirs in zip(again.parameters, whole.parameters, strict=True):
        assert torch.equal(ours, theirs)
    read = [
        (tmp_path / name / "final/model.safetensors").read_bytes() for name in ("whole", "broken")
    ]
    assert read[0] == read[1]


def test_the_decay_trains_through_the_grid_and_keeps_the_weights_before_it(
    recipe: recipes.Recipe, tmp_path: Path
) -> None:
    run = trainer(recipe, tmp_path)
    seen = []
    run.run(iter(windows()), lambda model: {"nats": seen.append(model) or 1.0})
    assert (tmp_path / "stable/config.json").exists()
    notes = notes_of(tmp_path)
    assert notes[0] == {"step": 6, "nats": 1.0, "nats q4": 1.0}
    assert len(seen) == 4
    stable, final = load(tmp_path / "stable"), load(tmp_path / "final")
    assert not torch.equal(stable.model.norm.weight, final.model.norm.weight)


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "step-000004.pt").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="step-000004"):
        newest_state(tmp_path)


def test_minutes_set_the_number_of_steps(recipe: recipes.Recipe, tmp_path: Path) -> None:
    from autocoder.train.pretrain import loop

    timed = dataclasses.replace(recipe.training, steps=100_000, minutes=2 / 60, warm_up=5)
    run = trainer(dataclasses.replace(recipe, training=timed), tmp_path)
    run.run((batch for _ in range(2000) for batch in windows()), None)
    assert loop.PLAN_EVERY < run.step < 20_000
    assert run.step == run.training.steps


def test_a_wrong_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    for text, message in (
        ("[optimiser]\n", "unknown table 'optimiser'"),
        ("[training]\nlr = 1.0\n", "unknown key 'lr'"),
        ("[training]\nsteps = 'many'\n", "steps = 'many' must be a int"),
        ("[training", "no TOML"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            recipes.load(path)
    with pytest.raises(ConfigError, match="no recipe"):
        recipes.load(tmp_path / "none.toml")


@pytest.mark.parametrize("block", [48, 0, -1, 128])
def test_a_grid_that_does_not_fit_is_named_before_the_training(tmp_path: Path, block: int) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(f"[model]\nhidden_size = 320\n[training]\nquantisation_block = {block}\n")
    with pytest.raises(ConfigError, match=f"quantisation_block = {block}"):
        recipes.load(path)


def test_the_recipes_that_come_along_are_valid() -> None:
    folder = Path(recipes.__file__).parents[1] / "recipes"
    for name in ("pretrain-60m", "stage2", "stage3"):
        assert recipes.load(folder / f"{name}.toml").model == ModelConfig()
    for name in ("stage4.toml", "stage5.toml"):
        assert recipes.load(folder / name).model == ModelConfig(intermediate_size=2304)
    assert recipes.load(folder / "didactic.toml").training.quantise_always


@pytest.fixture
def corpus(tmp_path: Path) -> list[str]:
    import lzma

    (tmp_path / "corpus").mkdir()
    with lzma.open(tmp_path / "corpus/0000.jsonl.xz", "wt") as out:
        for number in range(800):
            text = CODE.replace("add", f"add{number}") * 3
            out.write(json.dumps({"language": ("python", "java")[number % 2], "text": text}) + "\n")
    train([CODE] * 9, 400).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tiny.toml").write_text(RECIPE)
    names = ("recipe", "tiny.toml"), ("corpus", "corpus"), ("tokenizer", "tokenizer.json")
    found = [part for name, file in names for part in (f"--{name}", str(tmp_path / file))]
    return [*found, "--windows", str(tmp_path / "windows")]


def test_the_command_prepares_trains_measures_and_fine_tunes(
    corpus: list[str], tmp_path: Path
) -> None:
    assert main([*corpus, "--prepare", "--workers", "2"]) == 0
    dev = ["--dev", str(tmp_path / "corpus/0000.jsonl.xz"), "--dev-bytes", "2000"]
    assert main([*corpus, *dev, "--out", str(tmp_path / "run"), "--steps", "40"]) == 0
    notes = notes_of(tmp_path / "run")
    assert notes[-1]["python"] < notes[0]["python"]
    assert abs(notes[-1]["java q4"] - notes[-1]["java"]) < 0.2
    card = json.loads((tmp_path / "run/final/card.json").read_text())
    assert card["training"]["tokens"] == 40 * 4 * 32
    assert card["results"]["dev_bits_per_byte"]["step"] == 40
    assert {"tokenizer.json", "prompt.json"} <= {
        p.name for p in (tmp_path / "run/stable").iterdir()
    }
    tuned = [*corpus, "--init", str(tmp_path / "run/final"), "--out", str(tmp_path / "tuned")]
    assert main([*tuned, "--steps", "4"]) == 0
    picture = tmp_path / "loss.png"
    plot([tmp_path / "run/log.csv"], picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_two_processes_follow_one_that_sees_the_same_batches(
    corpus: list[str], tmp_path: Path
) -> None:
    assert main([*corpus, "--prepare", "--workers", "2"]) == 0
    assert main([*corpus, "--out", str(tmp_path / "one"), "--steps", "20"]) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "autocoder.train.pretrain.command", *corpus]
    subprocess.run(
        [*command, "--out", str(tmp_path / "two"), "--steps", "20"],
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        timeout=120,
    )
    one, two = (last_row(tmp_path / name) for name in ("one", "two"))
    assert one["step"] == two["step"] == "20"
    assert float(one["loss"]) == pytest.approx(float(two["loss"]), rel=0.01)


PACKED = [[0, 100, 128, 129, 300], [0], [5, 50, 256]]  # where documents begin in each window


def packed_windows() -> torch.Tensor:
    ids = torch.randint(3, 400, (3, 512), generator=torch.Generator().manual_seed(1))
    for row, begins in zip(ids, PACKED, strict=True):
        row[begins] = 1
    return ids


def test_attention_within_documents_computes_what_each_would_alone() -> None:
    torch.manual_seed(0)
    model = CodeModel(dataclasses.replace(TINY, max_position_embeddings=512))
    ids, attention = packed_windows(), Masked((1, 2))
    with torch.no_grad():
        together = model(ids, attention.attend(attention.prepare(ids)))
        for row, begins in zip(range(3), PACKED, strict=True):
            for start, stop in itertools.pairwise(sorted({0, *begins, 512})):
                alone = model(ids[row : row + 1, start:stop])
                assert torch.allclose(together[row : row + 1, start:stop], alone, atol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_blocks_skip_what_no_pair_needs_and_compute_the_same() -> None:
    torch.manual_seed(0)
    model = CodeModel(dataclasses.replace(TINY, max_position_embeddings=512))
    ids, masked, blocks = packed_windows(), Masked((1, 2)), Blocks((1, 2))
    mask, found = masked.prepare(ids), blocks.prepare(ids)
    needed = mask.view(3, 1, 4, 128, 4, 128).any(dim=-1).any(dim=3)
    assert torch.equal(found.to_dense().bool(), needed)
    assert needed.float().mean() < 0.5
    with torch.no_grad():
        theirs, ours = model(ids, masked.attend(mask)), model(ids, blocks.attend(found))
    assert torch.allclose(theirs, ours, atol=1e-5)


def test_a_recipe_may_keep_attention_within_documents(
    recipe: recipes.Recipe, tmp_path: Path
) -> None:
    training = dataclasses.replace(recipe.training, within_documents=True)
    place = Place(0, 1, torch.device("cpu"))
    torch.manual_seed(0)
    narrow = dataclasses.replace(recipe, training=training)
    within = Trainer(CodeModel(recipe.model), narrow, place, tmp_path, (7,))
    across = trainer(recipe, tmp_path)
    rows = windows(1)[0]
    rows[:, 16] = 7
    assert float(within.one_step(rows)) != float(across.one_step(rows))


def test_the_reference_models_are_what_they_say(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = CodeModel(TINY)
    save(model, tmp_path)
    theirs = llama(TINY)
    theirs.inner.load_state_dict(
        transformers.LlamaForCausalLM.from_pretrained(tmp_path).state_dict()
    )
    ids = torch.randint(0, 400, (2, 40))
    with torch.no_grad():
        assert torch.allclose(model(ids), theirs(ids), atol=1e-5)
    shape = dataclasses.replace(TINY, hidden_size=64, num_hidden_layers=8, intermediate_size=192)
    count = sum(p.numel() for p in gpt2(shape).parameters())
    assert count == pytest.approx(parameters(shape), rel=0.15)


@pytest.mark.parametrize("block", [32, 64])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_parcel_brings_the_grid_and_the_records(tmp_path: Path, bits: int, block: int) -> None:
    torch.manual_seed(1)
    model = CodeModel(dataclasses.replace(TINY, hidden_size=64))
    save(model, tmp_path / "run", block)
    (tmp_path / "run/prompt.json").write_text("{}")
    words = ["pack", str(tmp_path / "run"), str(tmp_path / "parts"), "--bits", str(bits)]
    assert parcel([*words, "--part-mib", "0.01"]) == 0
    assert len(list((tmp_path / "parts").iterdir())) > 2
    assert parcel(["open", str(tmp_path / "parts"), str(tmp_path / "again")]) == 0
    assert (tmp_path / "again/prompt.json").read_text() == "{}"
    for ours, theirs in zip(load(tmp_path / "again").parameters(), model.parameters(), strict=True):
        wanted = theirs.detach()
        if wanted.ndim == 2:
            wanted = torch.from_numpy(quantise(wanted.numpy(), bits, block).dequantised())
        assert torch.equal(ours.detach(), wanted)


def test_throughput_shows_each_variant(
    corpus: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--recipe", str(tmp_path / "tiny.toml"), "--warm-up", "1", "--steps", "1", "--json"]
    assert throughput(words) == 0
    rates = json.loads(capsys.readouterr().out)["tokens_per_s"]
    assert set(rates) == {"transformers", "window", "documents"} and min(rates.values()) > 0


def test_architectures_are_compared_by_equal_time(corpus: list[str], tmp_path: Path) -> None:
    assert main([*corpus, "--prepare", "--workers", "1"]) == 0
    dev = ["--dev", str(tmp_path / "corpus/0000.jsonl.xz"), "--dev-bytes", "1000"]
    limits = ["--seconds", "0.2", "--sizes", "32x1,32x2", "--out", str(tmp_path / "out")]
    assert compare([*corpus, *dev, *limits]) == 0
    results = json.loads((tmp_path / "out/comparison.json").read_text())
    assert [(r["kind"], r["layers"]) for r in results][2:] == [("gpt2", 1), ("llama", 2)]
    assert all(0 < r["bits_per_byte"]["python"] < 10 and r["tokens"] > 0 for r in results)
    assert (tmp_path / "out/comparison.md").read_text().count("\n") == 2 + 4
    assert rate_share(0) < 0.1 and rate_share(0.5) == 1 and rate_share(0.999) < 0.01
