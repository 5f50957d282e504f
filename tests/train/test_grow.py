"""A narrower model grows into a recipe's shape without a change in what it computes."""

from dataclasses import replace

import pytest

pytest.importorskip("torch")

import torch

from autocoder.daemon.errors import ConfigError
from autocoder.train.pretrain.fake_quantise import to_grid
from autocoder.train.pretrain.grow import grown
from autocoder.train.pretrain.model import CodeModel, ModelConfig, losses
from autocoder.train.pretrain.muon import Muon

NARROW = ModelConfig(
    vocab_size=80,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=64,
    max_position_embeddings=32,
)
WIDE = replace(NARROW, intermediate_size=96)


@pytest.fixture
def narrow() -> CodeModel:
    torch.manual_seed(1)
    return CodeModel(NARROW)


def test_the_wider_model_computes_the_same(narrow: CodeModel) -> None:
    ids = torch.randint(80, (2, 20))
    wide = grown(narrow, WIDE)
    assert wide.model.layers[0].mlp.gate_proj.weight.shape == (96, 32)
    assert torch.allclose(wide(ids), narrow(ids), atol=1e-5)
    assert grown(narrow, NARROW) is narrow


def test_what_was_added_reads_something_and_learns_to_write(narrow: CodeModel) -> None:
    wide = grown(narrow, WIDE)
    mlp = wide.model.layers[1].mlp
    former, added = (part.std().item() for part in mlp.up_proj.weight.split([64, 32]))
    assert added == pytest.approx(former, rel=0.2)
    assert not mlp.down_proj.weight[:, 64:].any()
    optimiser = Muon([p for p in wide.model.layers.parameters() if p.ndim == 2])
    losses(wide, torch.randint(80, (4, 20))).mean().backward()
    optimiser.step()
    former, added = (part.std().item() for part in mlp.down_proj.weight.split([64, 32], dim=1))
    assert added > former / 100


def test_blocks_of_zeros_lie_on_the_grid(narrow: CodeModel) -> None:
    weights = grown(narrow, WIDE).model.layers[0].mlp.down_proj.weight
    assert not to_grid(weights, 32)[:, 64:].any()


@pytest.mark.parametrize("other", [{"num_hidden_layers": 3}, {"intermediate_size": 32}])
def test_any_other_shape_is_refused_by_name(narrow: CodeModel, other: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=rf"{next(iter(other))} \d+ instead of \d+.*\[model\]"):
        grown(narrow, replace(NARROW, **other))
