"""The mean of checkpoints, and its way back onto the 4-bit grid at the least cost."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from autocoder.daemon.errors import ConfigError
from autocoder.export.quantise import quantise
from autocoder.train.pretrain.average import main as average
from autocoder.train.pretrain.gptq import main as gptq
from autocoder.train.pretrain.gptq import on_grid

WORDS = 64


def checkpoint(folder: Path, seed: int, width: int = 32) -> Path:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.3,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "card.json").write_text(f'{{"seed": {seed}}}')
    return folder


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    (tmp_path / "windows").mkdir()
    ids = np.random.default_rng(1).integers(0, WORDS, (12, 48)).astype(np.uint16)
    np.save(tmp_path / "windows" / "e0-s0000-00.npy", ids)
    return tmp_path / "windows"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return LlamaForCausalLM.from_pretrained(folder).state_dict()


def plain(matrix: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(quantise(matrix.numpy()).dequantised())


def inputs(count: int, width: int) -> torch.Tensor:
    """Inputs some of whose directions matter much more than others, as real ones are."""
    torch.manual_seed(3)
    return torch.randn(count, width // 4) @ torch.randn(width // 4, width)


def test_the_outputs_change_less_than_by_plain_rounding() -> None:
    torch.manual_seed(2)
    matrix, given = torch.randn(48, 96), inputs(400, 96)
    found = on_grid(matrix, given.T @ given, 32)
    error, plainly = (((given @ (each - matrix).T) ** 2).mean() for each in (found, plain(matrix)))
    assert error < plainly / 2


@pytest.mark.parametrize("block", [32, 64])
def test_the_values_lie_on_the_grid_of_what_ships(block: int) -> None:
    torch.manual_seed(2)
    matrix, given = torch.randn(48, 192), inputs(400, 192)
    matrix[3, :block] = 0
    found = on_grid(matrix, given.T @ given, block)
    again = quantise(found.numpy(), block=block).dequantised()
    assert np.array_equal(again, found.numpy())
    assert not found[3, :block].any()


def test_a_mean_is_half_of_each_and_has_the_last_ones_card(tmp_path: Path) -> None:
    folders = [checkpoint(tmp_path / str(seed), seed) for seed in (1, 2)]
    assert average([*map(str, folders), "-o", str(tmp_path / "mean")]) == 0
    one, other, mean = map(weights, (*folders, tmp_path / "mean"))
    for name in mean:
        assert torch.allclose(mean[name], (one[name] + other[name]) / 2, atol=1e-6)
    assert (tmp_path / "mean" / "card.json").read_text() == '{"seed": 2}'


def test_another_model_has_no_mean_with_it(tmp_path: Path) -> None:
    folders = [checkpoint(tmp_path / str(width), 1, width) for width in (32, 64)]
    with pytest.raises(ConfigError, match="shapes differ"):
        average([*map(str, folders), "-o", str(tmp_path / "mean")])
    with pytest.raises(ConfigError, match="no whole model"):
        average([str(folders[0]), str(tmp_path), "-o", str(tmp_path / "mean")])
    with pytest.raises(ConfigError, match="there already"):
        average([str(folders[0]), "-o", str(folders[1])])


def test_a_checkpoint_on_the_grid_says_nearly_what_it_said(tmp_path: Path, windows: Path) -> None:
    whole, out = checkpoint(tmp_path / "whole", 5), tmp_path / "out"
    assert gptq([str(whole), str(out), "--windows", str(windows), "--count", "12"]) == 0
    ids = torch.from_numpy(np.load(next(windows.glob("*.npy"))).astype(np.int64))
    model = LlamaForCausalLM.from_pretrained(whole)
    wanted = model(ids).logits
    errors = [(LlamaForCausalLM.from_pretrained(out)(ids).logits - wanted).pow(2).mean()]
    with torch.no_grad():
        for name, matrix in model.named_parameters():
            if matrix.ndim == 2:
                matrix.copy_(plain(matrix))
                assert torch.equal(plain(weights(out)[name]), weights(out)[name])
    errors.append((model(ids).logits - wanted).pow(2).mean())
    assert errors[0] < errors[1]
    assert (out / "card.json").is_file()
    assert (out / "config.json").read_text() == (whole / "config.json").read_text()


def test_what_is_missing_is_named(tmp_path: Path, windows: Path) -> None:
    whole = checkpoint(tmp_path / "whole", 5)
    with pytest.raises(ConfigError, match="has 12 windows of 13"):
        gptq([str(whole), str(tmp_path / "out"), "--windows", str(windows), "--count", "13"])
    with pytest.raises(ConfigError, match="there already"):
        gptq([str(whole), str(whole), "--windows", str(windows)])
    with pytest.raises(ConfigError, match="no checkpoint"):
        gptq([str(windows), str(tmp_path / "out"), "--windows", str(windows), "--count", "4"])
