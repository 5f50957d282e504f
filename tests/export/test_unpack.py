"""A model folder unpacked is the checkpoint again: the same grid, the same function."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from autocoder.daemon import model_folder
from autocoder.daemon.errors import ConfigError
from autocoder.export.command import main
from autocoder.export.exporting import Settings, export
from autocoder.export.graph import attribute
from autocoder.export.quantise import BLOCK, BLOCK_KEY
from autocoder.export.tiny import make_checkpoint
from autocoder.export.unpack import rotary_base, unpack
from autocoder.export.verify import put_on_grid

IDS = torch.arange(6, 120)[None]


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint whose head is not its embedding, and its export."""
    folder = tmp_path_factory.mktemp("untied")
    make_checkpoint(folder / "checkpoint", train_steps=10, tied=False)
    export(str(folder / "checkpoint"), folder / "checkpoint-model")
    return folder / "checkpoint", folder / "checkpoint-model"


def compare(checkpoint: Path, model: Path, again: Path, block: int = BLOCK) -> None:
    """The unpacked checkpoint computes what was shipped, and exports to the same files."""
    unpack(model, again)
    assert torch.allclose(logits(again), logits(checkpoint, on_grid=True), atol=1e-5)
    config = json.loads((again / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 50_000
    settings = Settings(name=checkpoint.name, block=block)
    export(str(again), again.with_name("exported-again"), settings)
    first, second = map(model_folder.load, (model, again.with_name("exported-again")))
    assert first.files == second.files
    assert first.prompt == second.prompt and first.context == second.context
    tokenizer = AutoTokenizer.from_pretrained(again)
    text = "def get_name(self):\n    return self.name\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.eos_token == "<eos>"


def logits(checkpoint: Path, *, on_grid: bool = False) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    if on_grid:
        put_on_grid(model, 4, getattr(model.config, BLOCK_KEY, BLOCK))
    with torch.no_grad():
        return model(IDS).logits


def test_the_round_trip_costs_nothing_and_other_families_are_refused(
    checkpoint: Path, exported: Path, tmp_path: Path
) -> None:
    if checkpoint.name == "llama":
        compare(checkpoint, exported, tmp_path / "again")
        return
    with pytest.raises(ConfigError, match=checkpoint.name):
        unpack(exported, tmp_path / "again")
    assert not list(tmp_path.iterdir())


def test_a_head_of_its_own_comes_along(untied: tuple[Path, Path], tmp_path: Path) -> None:
    compare(*untied, tmp_path / "again")


@pytest.mark.parametrize("shipped", [32, 64])
def test_larger_blocks_come_along(shipped: int, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", train_steps=10, hidden=256)
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {BLOCK_KEY: 64}))
    settings = Settings(name="checkpoint", block=shipped)
    model = export(str(checkpoint), tmp_path / "checkpoint-model", settings)
    graph = onnx.load(str(model.graph("cpu")), load_external_data=False).graph
    products = [node for node in graph.node if node.op_type == "MatMulNBits"]
    assert {attribute(node, "block_size") for node in products} == {shipped}
    compare(checkpoint, model.path, tmp_path / "again", shipped)
    assert json.loads((tmp_path / "again/config.json").read_text())[BLOCK_KEY] == 64


def test_float_weights_come_back_exactly(llama: Path, llama_model: Path, tmp_path: Path) -> None:
    unpack(llama_model, tmp_path / "again")
    assert torch.equal(logits(tmp_path / "again"), logits(llama))


def test_bfloat16_and_the_command(llama_model: Path, tmp_path: Path) -> None:
    words = ["--unpack", str(llama_model), str(tmp_path / "narrow"), "--dtype", "bfloat16"]
    assert main(words) == 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "narrow", dtype="auto")
    assert model.dtype == torch.bfloat16
    with pytest.raises(ConfigError, match="exists already"):
        main(words)


def test_the_bundled_model_starts_a_training(tmp_path: Path) -> None:
    from autocoder.train.pretrain.model import ModelConfig, load, losses

    assert main(["--unpack", "bundled", str(tmp_path / "bundled")]) == 0
    model = load(tmp_path / "bundled")
    assert replace(model.config, intermediate_size=1792) == ModelConfig()
    text = Path(export.__code__.co_filename).read_text()[:2000]
    ids = AutoTokenizer.from_pretrained(tmp_path / "bundled")(f"<python>{text}")["input_ids"]
    with torch.no_grad():
        nats = losses(model, torch.tensor([ids])).mean()
    assert nats < 3.5  # chance is ln 24,576 = 10.1


def test_scaled_positions_are_refused() -> None:
    angles = np.outer(np.arange(64), 10_000.0 ** (-np.arange(8) / 8))
    assert rotary_base(np.cos(angles), np.sin(angles)) == 10_000
    bent = angles * np.linspace(1, 0.5, 8)
    with pytest.raises(ConfigError, match="scaled"):
        rotary_base(np.cos(bent), np.sin(bent))
