"""CUDA's graphs for serving: what the folder holds of them, and that a wrong one is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from autocoder.daemon.errors import ModelError
from autocoder.export.decoder_session import DecoderSession
from autocoder.export.verify_steps import check_steps

IDS = [int(token) for token in np.random.default_rng(7).integers(0, 96, 40)]
GRAPHS = ("cuda-step", "cuda-wide", "cuda-choose")


def test_the_manifest_lists_them(exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text())
    assert {name: manifest["graphs"][name] for name in GRAPHS} == {
        name: f"{name}.onnx" for name in GRAPHS
    }
    assert "cuda-wide.json" in manifest["files"]


def test_they_hold_no_weights_of_their_own(exported: Path) -> None:
    for name in GRAPHS:
        assert (exported / f"{name}.onnx").stat().st_size < 100_000


def test_nothing_of_a_step_goes_through_the_host(exported: Path) -> None:
    """Shapes that are computed with would be, and no CUDA graph could be captured."""
    graph = onnx.load(str(exported / "cuda-step.onnx"), load_external_data=False).graph
    operators = {node.op_type for node in graph.node}
    assert not operators & {"Shape", "Range", "Loop", "If", "NonZero", "ReduceMax"}


def test_they_choose_as_the_plain_graph(exported: Path) -> None:
    logits = DecoderSession(exported / "cuda.onnx", 64).feed(IDS, at=0)
    assert check_steps(exported, [IDS], [logits], 0.01) == 2 * (40 + 2 * 16)


def test_one_that_chooses_otherwise_is_refused(exported: Path, tmp_path: Path) -> None:
    logits = DecoderSession(exported / "cuda.onnx", 64).feed(IDS, at=0)
    folder = shutil.copytree(exported, tmp_path / "model")
    model = onnx.load(str(folder / "cuda-step.onnx"), load_external_data=False)
    for node in model.graph.node:
        if node.op_type == "ArgMax":
            node.op_type = "ArgMin"
    onnx.save(model, str(folder / "cuda-step.onnx"))
    with pytest.raises(ModelError, match="below the best logit"):
        check_steps(folder, [IDS], [logits], 0.1)


def test_without_quantisation_one_graph_serves_all(llama_model: Path) -> None:
    assert (llama_model / "cuda-step.onnx").exists()
    assert not (llama_model / "cuda-wide.onnx").exists()


def test_the_choice_knows_the_vocabulary(exported: Path) -> None:
    graph = onnx.load(str(exported / "cuda-choose.onnx")).graph
    sizes = json.loads((exported / "manifest.json").read_text())["architecture"]
    (logits,) = (value for value in graph.input if value.name == "logits")
    assert logits.type.tensor_type.shape.dim[1].dim_value == sizes["vocab"]
    places = [i for i in graph.initializer if i.name == "places"]
    assert numpy_helper.to_array(places[0]).shape[1] == min(256, sizes["vocab"])
