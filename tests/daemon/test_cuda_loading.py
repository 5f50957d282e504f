"""Opening a model for CUDA, and what serves where that fails: a CPU stands in for the device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from autocoder.daemon import cuda_loading, model_folder
from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.cuda_completer import CudaCompleter
from autocoder.daemon.cuda_graph import StepGraph
from autocoder.daemon.cuda_weights import hand_over_spread, spread
from autocoder.daemon.engine_prefill import PrefillWeights
from autocoder.daemon.engine_session import CPU, CUDA
from autocoder.daemon.errors import CudaFailed, ModelError
from autocoder.daemon.loading import load_completer
from autocoder.daemon.protocol import Complete

REQUEST = Complete("def get_count(self):\n    return se", language="python")


def never() -> bool:
    return False


class OnCpu(StepGraph):
    """A device that is none."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "device": "cpu"})


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """Sessions for CUDA are opened on the CPU; the list tells which, with which settings."""
    opened: list[tuple[str, dict[str, str]]] = []

    def open_on_cuda(
        graph: Path,
        threads: int,
        settings: dict[str, str] | None = None,
        hand_over: Callable[[Any], Any] = lambda options: None,
    ) -> Any:
        opened.append((graph.stem, dict(settings or {})))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        kept = hand_over(options)
        session = onnxruntime.InferenceSession(str(graph), options, providers=[CPU])
        del kept
        return session

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(cuda_loading, "open_on_cuda", open_on_cuda)
    monkeypatch.setattr(cuda_loading, "StepGraph", OnCpu)
    monkeypatch.setattr(cuda_loading, "LANE_BYTES", 2**20)
    return opened


def test_where_there_is_cuda_it_serves_in_lanes(
    tiny_model_folder: Path, device: list[tuple[str, dict[str, str]]]
) -> None:
    completer = load_completer(tiny_model_folder, cache_bytes=0)
    assert isinstance(completer, CudaCompleter) and completer.provider == CUDA
    assert completer.places > 1 and completer.reason == ""
    captured = {"enable_cuda_graph": "1"}
    assert device == [(name, captured) for name in ("cuda-step", "cuda-wide", "cuda-choose")]
    (suggestion,) = completer.complete(REQUEST, never).suggestions
    assert suggestion.text.startswith("lf.")


def test_more_memory_gives_more_lanes(
    tiny_model_folder: Path, device: list[tuple[str, dict[str, str]]]
) -> None:
    few, many = (
        load_completer(tiny_model_folder, cache_bytes=megabytes << 20) for megabytes in (1, 4)
    )
    assert isinstance(few, CudaCompleter) and isinstance(many, CudaCompleter)
    assert many.places == pytest.approx(4 * few.places, abs=4)


def test_when_the_device_fails_the_same_model_is_had_on_the_cpu(
    tiny_model_folder: Path, device: list[tuple[str, dict[str, str]]]
) -> None:
    completer = load_completer(tiny_model_folder)
    assert isinstance(completer, CudaCompleter) and completer.on_cpu is not None
    instead = completer.on_cpu("out of memory")
    assert type(instead) is ModelCompleter and instead.provider == CPU
    assert instead.reason == "CUDA failed: out of memory"
    (suggestion,) = instead.complete(REQUEST, never).suggestions
    assert suggestion.text.startswith("lf.")


def test_a_graph_that_cannot_be_captured_is_served_without(
    tiny_model_folder: Path,
    device: list[tuple[str, dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def warm_up(self: StepGraph) -> None:
        if device[-1][1]:
            raise CudaFailed("capturing is not possible")

    monkeypatch.setattr(OnCpu, "warm_up", warm_up)
    assert isinstance(load_completer(tiny_model_folder), CudaCompleter)
    assert [settings for _, settings in device[-3:]] == [{}, {}, {}]


def test_without_the_graph_for_many_tokens_the_other_serves_them_too(
    tiny_model_folder: Path,
    device: list[tuple[str, dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(record: Path, options: Any) -> None:
        raise ModelError("no memory for weights")

    monkeypatch.setattr(cuda_loading, "hand_over_spread", broken)
    completer = load_completer(tiny_model_folder)
    assert isinstance(completer, CudaCompleter)
    assert completer.complete(REQUEST, never).suggestions


def test_where_no_lane_fits_another_way_is_found(
    tiny_model_folder: Path,
    device: list[tuple[str, dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(self: StepGraph) -> dict[str, Any]:
        raise CudaFailed("out of memory")

    monkeypatch.setattr(OnCpu, "_allocated", nothing)
    completer = load_completer(tiny_model_folder)
    assert type(completer) is ModelCompleter and completer.provider == CPU
    assert "CUDA" in completer.reason


def test_a_model_without_these_graphs_is_served_as_before(
    tiny_model_folder: Path, device: list[tuple[str, dict[str, str]]]
) -> None:
    graphs = {"cpu": tiny_model_folder / "cpu.onnx", "cuda": tiny_model_folder / "cuda.onnx"}
    assert cuda_loading.device_or_none(graphs, "auto", 256, 1, 0) is None
    assert not device


def test_without_cuda_the_cpu_serves_and_says_why(tiny_model_folder: Path) -> None:
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("there is CUDA here")
    completer = load_completer(tiny_model_folder)
    assert type(completer) is ModelCompleter and completer.provider == CPU
    assert "no CUDA" in completer.reason
    asked = load_completer(tiny_model_folder, "cuda")
    assert asked.provider == CPU and asked.reason.startswith("CUDA was asked for, but ")
    with pytest.raises(ModelError, match="no CUDA"):
        model = model_folder.load(tiny_model_folder)
        graphs = {name: model.graph(name) for name in model.graphs}
        cuda_loading.open_device(graphs, 256, 1)


def test_weights_spread_out_are_those_of_the_blocks(tiny_model_folder: Path) -> None:
    from autocoder.export.unpack import read

    stored = PrefillWeights.read(tiny_model_folder / "cuda-wide.json")
    cpu = read(tiny_model_folder / "cpu.onnx")
    data = np.memmap(stored.file, np.uint8, "r")
    assert {"logits.weight", "layer.0.qkv.weight"} <= {p.name for p in stored.products}
    for product in stored.products:
        found = spread(data, product)
        assert found.shape == (product.columns, product.rows) and found.dtype == np.float16
        np.testing.assert_allclose(found.T, cpu.matrix(product.name), rtol=2e-3, atol=1e-6)


def test_the_wide_graph_chooses_as_the_narrow_one(tiny_model_folder: Path) -> None:
    options = onnxruntime.SessionOptions()
    kept = hand_over_spread(tiny_model_folder / "cuda-wide.json", options)
    path = tiny_model_folder / "cuda-wide.onnx"
    wide = onnxruntime.InferenceSession(str(path), options, providers=[CPU])
    del kept
    path = tiny_model_folder / "cuda-step.onnx"
    narrow = onnxruntime.InferenceSession(str(path), providers=[CPU])
    ids = list(range(20, 45))
    found = [
        StepGraph(narrow, 64, 2, wide=chosen, device="cpu").chunk(1, 0, ids, rows=5)
        for chosen in (wide, None)
    ]
    for one, other in zip(*found, strict=True):
        assert one.token == other.token
        assert one.probability == pytest.approx(other.probability, abs=5e-3)
