"""The prefill graph: int8 rows made at load from the stored blocks, for many tokens at once."""

import json
from pathlib import Path

import numpy as np
import pytest

from autocoder.daemon.engine_prefill import PrefillWeights, StoredProduct, blocks, whole_rows
from autocoder.daemon.errors import ModelError
from autocoder.export.decoder_session import DecoderSession
from autocoder.export.quantise import quantise

IDS = [int(token) for token in np.random.default_rng(7).integers(0, 96, 40)]


@pytest.mark.parametrize("block", [32, 64])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_stored_grid_becomes_int8_rows_of_the_same_values(bits: int, block: int) -> None:
    weights = np.random.default_rng(0).standard_normal((96, 128)).astype(np.float32)
    weights[5] = 0  # a row of zeros has no largest weight to divide by
    grid = quantise(weights, bits, block)
    stored = np.frombuffer(grid.packed.tobytes() + grid.scales.tobytes(), np.uint8)
    steps, scales = blocks(
        stored, StoredProduct("w", bits, 96, 128, 0, len(grid.packed.tobytes()), block)
    )
    assert ((steps * scales[..., None]).reshape(96, 128) == grid.dequantised()).all()

    int8, channels = whole_rows(steps, scales)
    assert int8.shape == (128, 96) and int8.dtype == np.int8
    gaps = np.abs(int8.T * channels[:, None] - grid.dequantised())
    assert (gaps <= 0.501 * channels[:, None]).all()  # half a step, and float32's rounding
    assert (np.abs(int8).max(axis=0)[channels != 1] == 127).all()


def test_it_agrees_with_the_graph_for_single_tokens(exported: Path) -> None:
    one = DecoderSession(exported / "cpu.onnx", 64).feed(IDS, at=0)
    many = DecoderSession(exported / "cpu-prefill.onnx", 64).feed(IDS, at=0)
    assert 0 < np.abs(one - many).max() < 0.08 * np.abs(one).max()


def test_a_tokens_result_does_not_depend_on_its_neighbours_in_the_pass(exported: Path) -> None:
    whole = DecoderSession(exported / "cpu-prefill.onnx", 64).feed(IDS, at=0)
    session = DecoderSession(exported / "cpu-prefill.onnx", 64)
    pieces = [session.feed(IDS[:7], at=0), session.feed(IDS[7:8]), session.feed(IDS[8:])]
    gap = np.abs(np.concatenate(pieces) - whole).max()
    assert gap < 0.02 * np.abs(whole).max()  # what is left is attention's own rounding


def test_the_manifest_lists_the_graph_and_its_record(exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text())
    assert manifest["graphs"]["cpu-prefill"] == "cpu-prefill.onnx"
    assert {"cpu-prefill.onnx", "cpu-prefill.json", "weights.bin"} <= set(manifest["files"])
    assert manifest["results"]["export"]["nats_prefill"] > 0


def test_without_quantisation_there_is_none(llama_model: Path) -> None:
    assert not (llama_model / "cpu-prefill.onnx").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"weights": "w", "products": [{"name": "x"}]}'])
def test_a_damaged_record_is_refused_with_the_remedy(tmp_path: Path, text: str) -> None:
    record = tmp_path / "cpu-prefill.json"
    record.write_text(text)
    with pytest.raises(ModelError, match="export the model again"):
        PrefillWeights.read(record)
