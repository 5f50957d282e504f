"""The kernel for few tokens, compiled for the CPU (`kernel_on_cpu.cpp`): each pass must say what
the graph says."""

import ctypes
import json
import shutil
import subprocess
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from autocoder.daemon import cuda_driver, cuda_kernel_loading, model_folder
from autocoder.daemon.cuda_driver import Architecture
from autocoder.daemon.cuda_graph import StepGraph
from autocoder.daemon.cuda_kernel import MOST, RECORD, SOURCE, Buffers, Kernel, KernelRecord
from autocoder.daemon.cuda_kernel_loading import compiling, give_kernel
from autocoder.daemon.engine_session import CPU
from autocoder.daemon.errors import ModelError

pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="needs a compiler, c++")

CAPACITY, BLOCKS = 128, 2
SHAPES = {
    "as the bundled model": {"hidden": 128, "heads": 2, "kv_heads": 1, "intermediate": 160},
    "heads wider than all": {"hidden": 64, "heads": 4, "kv_heads": 2, "intermediate": 96},
}
EMULATOR = Path(__file__).with_name("kernel_on_cpu.cpp")


class OnCpu:
    """A launcher that runs the kernel's threads one after the other."""

    architecture = Architecture("cpu", BLOCKS)

    def __init__(self) -> None:
        self.launched: list[str] = []

    def pinned(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], int]:
        self.told = np.full(shape, np.nan, np.float32)
        return self.told, self.told.ctypes.data

    def function(self, image: bytes, name: str, shared_bytes: int) -> Any:
        return ctypes.CDLL(image.decode()), name

    def launch(
        self, function: Any, blocks: int, threads: int, shared_bytes: int, arguments: Sequence[Any]
    ) -> None:
        library, name = function
        self.launched.append(name)
        model, told = map(ctypes.byref, arguments)
        library.launch(int(name.removeprefix("rows_")), blocks, shared_bytes, model, told)


@pytest.fixture(scope="module", params=list(SHAPES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of a shape that the kernel was written for."""
    from autocoder.export import exporting, tiny

    made = tmp_path_factory.mktemp("kernel")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optimum's and torch's own
        sizes = {**SHAPES[request.param], "head_size": 64}
        checkpoint = tiny.make_checkpoint(made / "checkpoint", **sizes)
        exporting.export(str(checkpoint), made / "model")
    return made / "model"


@pytest.fixture(scope="module")
def image(folder: Path) -> bytes:
    """The kernel as a library, or rather its path."""
    record, library = KernelRecord.read(folder / RECORD), folder.with_name("kernel.so")
    macros = [f"-D{name}={size}" for name, size in record.macros.items()]
    options = ["-shared", "-fPIC", "-O2", "-w", "-U_FORTIFY_SOURCE", f'-DKERNEL="{SOURCE}"']
    command = ["c++", *options, *macros, str(EMULATOR), "-o", str(library)]
    subprocess.run(command, check=True)
    return str(library).encode()


@pytest.fixture(scope="module")
def session(folder: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = str(model_folder.load(folder).graph("cuda-step"))
    return onnxruntime.InferenceSession(path, options, providers=[CPU])


@pytest.fixture
def graphs(
    folder: Path, image: bytes, session: Any
) -> Callable[[], tuple[StepGraph, StepGraph, OnCpu]]:
    """The same lanes with the kernel and without."""

    def made() -> tuple[StepGraph, StepGraph, OnCpu]:
        record, launcher = KernelRecord.read(folder / RECORD), OnCpu()
        with_kernel, without = (StepGraph(session, CAPACITY, 4, device="cpu") for _ in range(2))
        with_kernel.take_kernel(
            lambda buffers: Kernel(record, image, buffers, launcher, BLOCKS, device="cpu")
        )
        return with_kernel, without, launcher

    return made


def prompt(length: int, seed: int = 0) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(10, 500, length)]


def alike(found: Sequence[Any], wanted: Sequence[Any]) -> None:
    assert [chosen.token for chosen in found] == [chosen.token for chosen in wanted]
    np.testing.assert_allclose(
        [chosen.probability for chosen in found],
        [chosen.probability for chosen in wanted],
        atol=5e-3,
    )


def test_lanes_go_on_as_the_graph_says(
    graphs: Callable[[], tuple[StepGraph, StepGraph, OnCpu]],
) -> None:
    kernel, graph, launcher = graphs()
    long, short = prompt(70), prompt(9, 1)
    for each in (kernel, graph):  # longer than what the kernel takes
        each.chunk(1, 0, long)
        each.chunk(3, 0, short)
    del launcher.launched[:]
    alone = [each.chunk(1, 70, [41]) for each in (kernel, graph)]
    alike(*alone)
    rows = [each.chunk(1, 71, [7, 301, 12, 40], 3) for each in (kernel, graph)]
    alike(*rows)
    fed = {1: (33, 75), 3: (200, 9)}
    one, other = (
        each.step(fed, lambda start, stop: [long[0]] * (stop - start)) for each in (kernel, graph)
    )
    alike([one[lane] for lane in fed], [other[lane] for lane in fed])
    assert launcher.launched == ["rows_1", "rows_8", "rows_8"]


def test_logits_lie_where_the_rows_say(
    graphs: Callable[[], tuple[StepGraph, StepGraph, OnCpu]],
) -> None:
    kernel, graph, _ = graphs()
    ids = prompt(6, 2)
    for each in (kernel, graph):
        each.chunk(2, 0, ids, 3)
    for number in range(3):
        one, other = (each.logits.numpy()[each.row(number)] for each in (kernel, graph))
        np.testing.assert_allclose(one, other, atol=0.02 * np.abs(other).max())
    chosen = kernel.step({0: (5, 0), 2: (6, 6)}, lambda start, stop: [0] * (stop - start))
    logits = kernel.logits.numpy()
    assert {lane: int(logits[kernel.offset(lane)].argmax()) for lane in (0, 2)} == {
        lane: each.token for lane, each in chosen.items()
    }


def test_only_what_is_allowed_is_chosen(
    graphs: Callable[[], tuple[StepGraph, StepGraph, OnCpu]],
) -> None:
    found = []
    for each in graphs()[:2]:
        free = each.chunk(0, 0, prompt(5), 2)
        few = np.array([11, 77, 401])
        bound = each.chunk(0, 0, prompt(5), 2, {each.row(1) - each.row(0): few})
        assert bound[1].token in few and bound[0].token == free[0].token
        found.append(bound)
    alike(*found)


def test_a_kernel_that_says_something_else_is_not_taken(
    folder: Path, image: bytes, session: Any
) -> None:
    record = KernelRecord.read(folder / RECORD)
    swapped = record.layers[::-1]
    graph = StepGraph(session, CAPACITY, 2, device="cpu")
    with pytest.raises(ModelError, match="away from the graph"):
        graph.take_kernel(
            lambda buffers: Kernel(
                KernelRecord(record.weights, record.sizes, record.places, swapped),
                image,
                buffers,
                OnCpu(),
                BLOCKS,
                device="cpu",
            )
        )
    wanted = StepGraph(session, CAPACITY, 2, device="cpu").chunk(0, 0, prompt(4))
    alike(graph.chunk(0, 0, prompt(4)), wanted)


def test_a_model_is_compiled_for_while_it_is_opened(
    folder: Path, image: bytes, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = OnCpu()
    made: list[Any] = []

    def compiled(source: Path, architecture: str, sizes: dict[str, str]) -> bytes:
        made.append((source, architecture, sizes["HIDDEN"], sizes["EPSILON"][-1]))
        return image

    def kernel(record: Any, image: bytes, buffers: Buffers, device: Any, blocks: int) -> Kernel:
        return Kernel(record, image, buffers, device, blocks, device="cpu")

    monkeypatch.setattr(cuda_kernel_loading, "Device", lambda: launcher)
    monkeypatch.setattr(cuda_kernel_loading, "compiled", compiled)
    monkeypatch.setattr(cuda_kernel_loading, "Kernel", kernel)
    graph = StepGraph(session, CAPACITY, 2, device="cpu")
    give_kernel(graph, compiling(folder / "cuda-step.onnx"))
    del launcher.launched[:]
    graph.chunk(0, 0, [5])
    assert launcher.launched == ["rows_1"]
    hidden = KernelRecord.read(folder / RECORD).at("HIDDEN")
    assert made == [(SOURCE, "cpu", str(hidden), "f")]


def test_without_a_device_or_a_record_the_graph_serves_alone(
    folder: Path,
    tiny_model_folder: Path,
    session: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def none() -> Any:
        raise ModelError("no driver for NVIDIA devices")

    monkeypatch.setattr(cuda_kernel_loading, "Device", none)
    assert compiling(folder / "cuda-step.onnx") is None and "no driver" in caplog.text
    caplog.clear()
    assert compiling(tiny_model_folder / "cuda-step.onnx") is None and not caplog.records
    graph = StepGraph(session, CAPACITY, 2, device="cpu")
    give_kernel(graph, None)
    assert graph.chunk(0, 0, prompt(MOST))


def test_a_model_of_another_shape_has_no_kernel(tiny_model_folder: Path, folder: Path) -> None:
    assert not (tiny_model_folder / RECORD).exists()  # heads of 16
    sizes = json.loads((folder / RECORD).read_text())["sizes"]
    config = json.loads((folder.with_name("checkpoint") / "config.json").read_text())
    assert sizes.pop("EPSILON") == pytest.approx(1e-6)
    assert sizes == {
        "HIDDEN": config["hidden_size"],
        "HEADS": config["num_attention_heads"],
        "KV_HEADS": config["num_key_value_heads"],
        "MLP": config["intermediate_size"],
        "VOCABULARY": 600,
        "LAYERS": 2,
    }


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("{}")
    with pytest.raises(ModelError, match=r"cuda-kernel.json: 'weights'; export the model again"):
        KernelRecord.read(tmp_path / RECORD)


def test_a_kernel_that_cannot_be_launched_leaves_the_graph_to_serve(
    folder: Path, session: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any) -> Kernel:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(cuda_kernel_loading, "Device", OnCpu)
    monkeypatch.setattr(cuda_kernel_loading, "compiled", lambda *arguments: b"")
    monkeypatch.setattr(cuda_kernel_loading, "Kernel", broken)
    graph = StepGraph(session, CAPACITY, 2, device="cpu")
    give_kernel(graph, compiling(folder / "cuda-step.onnx"))
    assert "no kernel for few tokens: out of memory" in caplog.text
    assert graph.chunk(0, 0, prompt(3))


def test_where_there_is_no_driver_or_compiler_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "DRIVER", "libnothing.so")
    with pytest.raises(ModelError, match="no driver for NVIDIA devices: libnothing"):
        cuda_driver.Device()
    monkeypatch.setattr(cuda_driver, "COMPILERS", ("libnothing.so",))
    with pytest.raises(ModelError, match="no compiler for NVIDIA devices"):
        cuda_driver.compiled(SOURCE, "sm_90", {})
