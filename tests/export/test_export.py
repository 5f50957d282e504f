"""Each family's checkpoint becomes a folder whose graphs compute what torch computes."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from transformers import AutoModelForCausalLM

from autocoder.daemon import model_folder
from autocoder.daemon.errors import ConfigError
from autocoder.export.checkpoint import load_checkpoint
from autocoder.export.command import main
from autocoder.export.decoder_session import DecoderSession
from autocoder.export.exporting import Settings, export
from autocoder.export.tiny import make_checkpoint
from autocoder.export.verify import put_on_grid, torch_logits

IDS = np.random.default_rng(0).integers(6, 600, 60).tolist()


def quantised_torch(checkpoint: Path) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    put_on_grid(model, 4)
    return model


def test_the_graph_computes_what_torch_computes(checkpoint: Path, exported: Path) -> None:
    wanted = torch_logits(quantised_torch(checkpoint), IDS)
    for provider, bound in (("cpu", 0.08), ("cuda", 0.02)):
        session = DecoderSession(exported / f"{provider}.onnx", 128)
        found = session.feed(IDS)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() < bound * np.abs(wanted).max(), provider


def test_chunks_and_roll_back_change_nothing(exported: Path) -> None:
    session = DecoderSession(exported / "cpu.onnx", 128)
    at_once = session.feed(IDS, at=0)
    session.feed(IDS[:20], at=0)
    session.feed([9, 9, 9, 9, 9])
    rest = session.feed(IDS[20:], at=20)
    assert np.abs(rest - at_once[20:]).max() < 0.02 * np.abs(at_once).max()


def test_only_the_wanted_rows(exported: Path) -> None:
    session = DecoderSession(exported / "cpu.onnx", 128)
    everything = session.feed(IDS, at=0)
    some = session.feed(IDS, [3, 59], at=0)
    assert some.shape == (2, 600)
    assert np.allclose(some, everything[[3, 59]], atol=0.02 * np.abs(everything).max())


def test_two_sequences_of_different_length_decode_together(exported: Path) -> None:
    """past_length is per sequence: a batch decodes as each sequence would alone. Grouped queries,
    as on the CPU, are for one sequence."""
    path = str(exported / "cuda.onnx")
    alone = DecoderSession(Path(path), 64)
    wanted, caches = [], []
    for prompt in (IDS[:9], IDS[9:30]):
        alone.feed(prompt, at=0)
        caches.append([cache.numpy().copy() for cache in alone._caches])
        wanted.append(alone.feed([7])[0])
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [v.name for v in session.get_inputs() if v.name.startswith("past.")]
    joined = [np.concatenate(pair) for pair in zip(*caches, strict=True)]
    feeds = dict(zip(names, joined, strict=True)) | {
        "input_ids": np.array([[7], [7]]),
        "past_length": np.array([9, 21], np.int32),
        "rows": np.array([0]),
    }
    (logits,) = session.run(["logits"], feeds)
    scale = np.abs(wanted).max()
    assert np.abs(logits[:, 0] - np.array(wanted)).max() < 0.02 * scale


def test_the_contract(exported: Path) -> None:
    sizes = model_folder.load(exported).architecture
    for provider, kind in (("cpu", onnx.TensorProto.FLOAT), ("cuda", onnx.TensorProto.FLOAT16)):
        graph = onnx.load(exported / f"{provider}.onnx", load_external_data=False).graph
        inputs = {v.name: v.type.tensor_type for v in graph.input}
        outputs = {v.name: v.type.tensor_type for v in graph.output}
        assert inputs["input_ids"].elem_type == onnx.TensorProto.INT64
        assert inputs["past_length"].elem_type == onnx.TensorProto.INT32
        assert inputs["rows"].elem_type == onnx.TensorProto.INT64
        assert outputs["logits"].elem_type == onnx.TensorProto.FLOAT
        for index in range(sizes.layers):
            for part in ("key", "value"):
                assert inputs[f"past.{index}.{part}"].elem_type == kind
                assert outputs[f"present.{index}.{part}"].elem_type == kind
                dims = [d.dim_value for d in inputs[f"past.{index}.{part}"].shape.dim]
                assert dims == [0, sizes.kv_heads, 0, sizes.head_size]
        operators = [node.op_type for node in graph.node]
        assert operators.count("GroupQueryAttention") == sizes.layers
        assert "MatMul" not in operators and "Concat" not in operators


def external(graph: Path) -> dict[str, tuple[int, int]]:
    """Offset and length of every initializer outside the graph."""
    found = {}
    for tensor in onnx.load(graph, load_external_data=False).graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries:
            assert entries["location"] == "weights.bin"
            found[tensor.name] = (int(entries["offset"]), int(entries["length"]))
    return found


def test_both_graphs_share_one_weights_file(checkpoint: Path, exported: Path) -> None:
    cpu, cuda = external(exported / "cpu.onnx"), external(exported / "cuda.onnx")
    assert cpu and cpu == cuda
    table, head = cpu["embedding.weight.rows"], cpu["logits.weight.packed"]
    assert (table == head) == (checkpoint.name != "qwen2")  # stored once where tied
    stored = sum(length for _, length in set(cpu.values()))
    assert (exported / "weights.bin").stat().st_size < stored + 4096 * len(cpu)
    assert max(p.stat().st_size for p in exported.glob("*.onnx")) < 100_000


def test_the_manifest(checkpoint: Path, exported: Path) -> None:
    model = model_folder.load(exported)
    assert model.name == checkpoint.name and model.architecture.vocab == 600
    assert model.quantisation == "int4" and model.context == 256
    assert model.info.fills_holes and model.info.languages == ("java", "python")
    report = model.results["export"]
    assert report["exact"]["largest"] < 1e-3 * report["exact"]["scale"]
    assert report["greedy_same"] <= report["greedy_tokens"] and report["greedy_tokens"] > 20


@pytest.mark.parametrize("kind", ["int8", "none"])
def test_other_quantisations(llama: Path, tmp_path: Path, kind: str) -> None:
    model = export(str(llama), tmp_path / "model", Settings(quantisation=kind))
    report = model.results["export"]
    assert report["cpu"]["largest"] < (1e-3 if kind == "none" else 0.05) * report["cpu"]["scale"]


def test_rope_theta_of_transformers_5_is_read(llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "five"
    folder.mkdir()
    for path in llama.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    record = json.loads((llama / "config.json").read_text())
    theta = record.pop("rope_theta")
    record["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
    (folder / "config.json").write_text(json.dumps(record))
    old, new = load_checkpoint(str(llama)), load_checkpoint(str(folder))
    assert theta == 50_000 and new.model.config.rope_theta == theta
    assert np.array_equal(torch_logits(old.model, IDS), torch_logits(new.model, IDS))
    record["rope_theta"] = 10_000.0
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="contradicts itself"):
        load_checkpoint(str(folder))


def test_the_command(llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model"
    assert main([str(llama), str(out), "--name", "mine", "--licence", "Apache-2.0"]) == 0
    assert "mine, int4" in capsys.readouterr().out
    assert model_folder.load(out).licence == "Apache-2.0"
    with pytest.raises(ConfigError, match="exists already"):
        main([str(llama), str(out)])


def test_another_family_is_refused(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bloom"}')
    with pytest.raises(ConfigError, match="'bloom'"):
        export(str(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_width_that_blocks_do_not_divide(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "odd", train_steps=0, hidden=64, intermediate=72)
    with pytest.raises(ConfigError, match="input width 72"):
        export(str(folder), tmp_path / "out")
    assert export(str(folder), tmp_path / "out", Settings(quantisation="none")).context == 256
