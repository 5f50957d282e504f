"""The comparisons' converter: what llama.cpp reads from the file is what the daemon serves."""

import importlib
import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autocoder.daemon.model_folder import bundled

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SIZES = {0: (1, 4), 2: (32, 18), 8: (32, 34)}  # elements and bytes of a block, by tensor type


@pytest.fixture
def gguf(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gguf")


@pytest.mark.parametrize("kind", ["q4_0", "q8_0"])
def test_the_weights_are_bit_for_bit_those_of_the_folder(
    kind: str, gguf: ModuleType, tmp_path: Path
) -> None:
    folder_weights = importlib.import_module("folder_weights")
    decoder = folder_weights.read(bundled())
    settings, tensors = parsed(gguf.write(decoder, tmp_path / "model.gguf", kind))
    assert settings["general.architecture"] == "llama"
    assert settings["llama.rope.freq_base"] == 10000.0
    assert settings["tokenizer.ggml.tokens"][0] == "<eos>"
    assert len(tensors) == 2 + 9 * decoder.architecture.layers

    wanted = decoder.weights["model.layers.3.mlp.down_proj.weight"].dequantised()
    assert np.array_equal(tensors["blk.3.ffn_down.weight"], wanted)
    norm = decoder.weights["model.norm.weight"]
    assert np.array_equal(tensors["output_norm.weight"], norm)

    key = decoder.weights["model.layers.0.self_attn.k_proj.weight"].dequantised()
    heads = key.reshape(decoder.architecture.kv_heads, 2, -1, key.shape[1])
    pairs = tensors["blk.0.attn_k.weight"].reshape(*heads[:, 0].shape[:2], 2, -1)
    assert np.array_equal(pairs[:, :, 0], heads[:, 0])  # halves become neighbours
    assert np.array_equal(pairs[:, :, 1], heads[:, 1])


def parsed(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """A reader of its own: metadata, and every tensor as float32 in (rows, columns)."""
    reader = Reader(path.read_bytes())
    assert reader.take("4sI") == (b"GGUF", 3)
    count, settings_count = reader.take("QQ")
    settings = {reader.text(): reader.value(*reader.take("I")) for _ in range(settings_count)}
    table = []
    for _ in range(count):
        name, (rank,) = reader.text(), reader.take("I")
        table.append((name, reader.take(f"{rank}Q"), *reader.take("IQ")))
    start = reader.at + -reader.at % 32
    return settings, {
        name: tensor(reader.data[start + offset :], shape, kind)
        for name, shape, kind, offset in table
    }


def tensor(data: bytes, shape: tuple[int, ...], kind: int) -> NDArray[np.float32]:
    count, size = SIZES[kind]
    blocks = int(np.prod(shape)) // count
    raw = np.frombuffer(data, np.uint8, blocks * size).reshape(blocks, size)
    if kind == 0:
        return raw.view("<f4").reshape(shape[::-1])
    scales = raw[:, :2].copy().view("<f2").astype(np.float32)
    steps = raw[:, 2:].view(np.int8).astype(np.float32)
    if kind == 2:
        steps = np.concatenate([raw[:, 2:] & 15, raw[:, 2:] >> 4], axis=1).astype(np.float32) - 8
    return (steps * scales).reshape(shape[::-1])


class Reader:
    """Little-endian values one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return found

    def text(self) -> str:
        (length,) = self.take("Q")
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def value(self, kind: int) -> Any:
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, count = self.take("IQ")
            return [self.value(inner) for _ in range(count)]
        (found,) = self.take({4: "I", 5: "i", 6: "f", 7: "?"}[kind])
        return found
