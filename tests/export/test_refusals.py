"""What is damaged is refused: a graph by verification, a folder by whoever loads it."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autocoder.__main__ import main as command_line
from autocoder.daemon import model_folder
from autocoder.daemon.errors import ConfigError, ModelError
from autocoder.export import exporting
from autocoder.export.exporting import Settings, export
from autocoder.export.graph import DecoderGraph
from autocoder.export.verify import Bounds


def damage(graph: DecoderGraph, name: str, change: float) -> DecoderGraph:
    """The graph with one constant scaled."""
    graph.constants[name] = (graph.constants[name] * np.float32(change)).astype(np.float32)
    return graph


@pytest.mark.parametrize("name", ["rotary.sin", "layer.1.attention_out.weight", "logits.weight"])
def test_a_wrong_graph_is_never_written(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    build = exporting.decoder
    monkeypatch.setattr(exporting, "decoder", lambda *given: damage(build(*given), name, 1.5))
    with pytest.raises(ModelError, match="differ from torch's"):
        export(str(llama), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_too_great_a_loss_is_refused(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="worse on the sample"):
        export(str(llama), tmp_path / "model", Settings(bounds=Bounds(max_loss=-0.5)))
    assert list(tmp_path.iterdir()) == []


def changed_config(checkpoint: Path, **fields: object) -> Path:
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return checkpoint


@pytest.mark.parametrize(("layers", "fault"), [(3, "lack"), (1, "go beyond")])
def test_weights_and_config_that_do_not_belong_together(
    checkpoint: Path, tmp_path: Path, layers: int, fault: str
) -> None:
    copy = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    name = "n_layer" if '"n_layer"' in (copy / "config.json").read_text() else "num_hidden_layers"
    changed_config(copy, **{name: layers}, layer_types=None)
    with pytest.raises(ConfigError, match=rf"{fault} what config.json asks for.*\.\d\."):
        export(str(copy), tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_weights_of_another_size(llama: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(llama, tmp_path / "checkpoint")
    changed_config(copy, intermediate_size=17)
    with pytest.raises(ConfigError, match="cannot read the weights"):
        export(str(copy), tmp_path / "model")


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("name", "damage", "what"),
    [
        ("config.json", lambda data: b"{", "config.json"),
        ("config.json", lambda data: b"[]", "config.json"),
        ("config.json", lambda data: b"\xff\xfe", "config.json"),
        ("config.json", lambda data: b'{"model_type": "llama", "vocab_size": "many"}', "c|w"),
        ("model.safetensors", cut, "weights"),
        ("model.safetensors", lambda data: b"", "weights"),
        ("model.safetensors", None, "weights"),
        ("tokenizer.json", cut, "tokenizer"),
        ("prompt.json", cut, "prompt format"),
        ("card.json", lambda data: b"{", "card.json"),
    ],
)
def test_a_damaged_checkpoint_is_one_line_with_a_remedy(
    llama: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: Callable[[bytes], bytes] | None,
    what: str,
) -> None:
    copy = shutil.copytree(llama, tmp_path / "checkpoint")
    path = copy / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes() if path.exists() else b""))
    assert command_line(["export", str(copy), str(tmp_path / "model")]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert re.search(rf"cannot read the ({what}).* of {copy}: .*anew", told, re.DOTALL)
    assert not (tmp_path / "model").exists()


def test_without_a_runtime_the_two_that_there_are_are_named(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"autocoder\[cpu\], or autocoder\[cuda\]"):
        export(str(llama), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(llama_model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(llama_model, tmp_path / "model")


def rewrite_manifest(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_whole_folder_loads(folder: Path) -> None:
    model = model_folder.load(folder)
    assert model.graph("cpu") == folder / "cpu.onnx"
    assert model.info.sha256 == model.sha256 and len(model.sha256) == 64


def test_a_missing_folder() -> None:
    with pytest.raises(ModelError, match=r"no model folder at /no/where.*autocoder export"):
        model_folder.load(Path("/no/where"))


def test_a_folder_without_manifest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no manifest\.json"):
        model_folder.load(tmp_path)


@pytest.mark.parametrize("name", ["weights.bin", "cpu.onnx", "tokenizer.json"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"lacks the file .*{name}.*export"):
        model_folder.load(folder)


def test_a_truncated_file_is_seen_without_hashing(folder: Path) -> None:
    weights = folder / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelError, match="damaged"):
        model_folder.load(folder, check_hashes=False)


def test_one_changed_byte(folder: Path) -> None:
    weights = folder / "weights.bin"
    data = bytearray(weights.read_bytes())
    data[5000] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="wrong SHA-256"):
        model_folder.load(folder)
    assert model_folder.load(folder, check_hashes=False).name


def test_a_future_version(folder: Path) -> None:
    rewrite_manifest(folder, version=2)
    with pytest.raises(ModelError, match=r"version 2.*upgrade autocoder"):
        model_folder.load(folder)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"version": 1}', '{"version": "x"}', '{"version": 1, "files": 3}']
)
def test_a_garbled_manifest(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=r"export the model again|autocoder export"):
        model_folder.load(folder)


def test_files_outside_the_folder_are_refused(folder: Path) -> None:
    rewrite_manifest(folder, graphs={"cpu": "../elsewhere.onnx"})
    with pytest.raises(ModelError, match="no plain file name"):
        model_folder.load(folder)


def test_the_models_hash_follows_its_content(folder: Path) -> None:
    before = model_folder.load(folder).sha256
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7))
    assert model_folder.load(folder).sha256 == before
    rewrite_manifest(folder, name="other")
    assert model_folder.load(folder).sha256 != before


def test_the_environment_chooses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOCODER_MODEL", str(folder))
    assert model_folder.load().path == folder
    monkeypatch.delenv("AUTOCODER_MODEL")
    assert model_folder.chosen() == model_folder.bundled()
