"""Tiny checkpoints and their exports, made once for all tests of export/."""

from pathlib import Path

import pytest

from autocoder.export.exporting import Settings, export
from autocoder.export.tiny import make_checkpoint

HIDDEN = 128  # four heads of a whole block of weights each, so that queries can be grouped


@pytest.fixture(scope="session", params=["llama", "gpt2", "qwen2"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of each family, trained for a moment."""
    folder = tmp_path_factory.mktemp("checkpoints") / request.param
    tied = request.param != "qwen2"
    return make_checkpoint(folder, request.param, train_steps=40, tied=tied, hidden=HIDDEN)


@pytest.fixture(scope="session")
def exported(checkpoint: Path) -> Path:
    """The same as an int4 model folder."""
    return export(str(checkpoint), checkpoint.with_name(f"{checkpoint.name}-model")).path


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama-type checkpoint with random weights."""
    return make_checkpoint(
        tmp_path_factory.mktemp("random") / "llama", train_steps=0, hidden=HIDDEN
    )


@pytest.fixture(scope="session")
def llama_model(llama: Path) -> Path:
    """The same, exported without quantisation."""
    settings = Settings(quantisation="none")
    return export(str(llama), llama.with_name("llama-model"), settings).path
