"""Query heads that share keys are rows of one product: the same result, alike in every pass."""

from pathlib import Path

import numpy as np
import onnx

from autocoder.daemon import model_folder
from autocoder.daemon.engine_graph import OnnxGraph, keys_per_token
from autocoder.daemon.engine_session import open_session
from autocoder.export.decoder_session import DecoderSession
from autocoder.export.grouped import Heads

IDS = np.random.default_rng(2).integers(3, 600, 40)


def opened(folder: Path, capacity: int) -> OnnxGraph:
    return OnnxGraph(open_session({"cpu": folder / "cpu.onnx"}, "cpu", 1).session, capacity)


def test_the_order_of_heads() -> None:
    assert Heads(6, 2, 64).order == [0, 3, 1, 4, 2, 5]
    assert Heads(4, 4, 64).group == 1


def test_only_heads_that_share_keys_are_grouped(exported: Path) -> None:
    sizes = model_folder.load(exported).architecture
    graph = opened(exported, 64)
    group = sizes.heads // sizes.kv_heads
    assert keys_per_token(graph._session) == (group + 1 if group > 1 else 0)
    assert graph.least == (1 if group > 1 else 2)


def test_passes_agree(exported: Path) -> None:
    graph = opened(exported, 64)
    for past in (0, 1, 3, 20):
        cache = graph.new_cache()
        for at in range(past):
            graph.run_rows(cache, at, IDS[at : at + 1], 0)
        tokens = IDS[past : past + 6]
        singly = [graph.run_rows(cache, past + i, tokens[i : i + 1], 1)[0].copy() for i in range(6)]
        together = graph.run_rows(cache, past, tokens, 6)
        if graph.least == 1:
            assert np.array_equal(singly, together)
        else:
            assert np.abs(np.array(singly) - together).max() < 0.05 * np.abs(together).max()


def test_more_rows_than_a_pass_may_have(exported: Path) -> None:
    """As many guesses as are judged at once, with a capacity that is only a little larger."""
    wide, narrow = opened(exported, 64), opened(exported, 24)
    wanted = wide.run_rows(wide.new_cache(), 0, IDS[:24], 17).copy()
    found = narrow.run_rows(narrow.new_cache(), 0, IDS[:24], 17)
    assert found.shape == wanted.shape
    if narrow.least == 1:
        assert np.array_equal(found, wanted)


def test_the_gpu_graph_with_single_heads_computes_the_same(llama_model: Path) -> None:
    """In float32 and float16, so nearly; the cache holds keys and values in the same places."""
    grouped = DecoderSession(llama_model / "cpu.onnx", 64)
    single = DecoderSession(llama_model / "cuda.onnx", 64)
    for ids in (IDS[:7], IDS[7:8], IDS[8:20]):
        one, other = grouped.feed(list(ids)), single.feed(list(ids))
        assert np.abs(one - other).max() < 0.02 * np.abs(other).max()
    for mine, its in zip(grouped._caches, single._caches, strict=True):
        assert np.abs(mine.numpy() - its.numpy()).max() < 0.02 * np.abs(its.numpy()).max()


def test_no_constant_is_added_to_the_weights(exported: Path) -> None:
    """`weights.bin` would grow; what reorders and places fits into the graph."""
    graph = onnx.load(exported / "cpu.onnx", load_external_data=False).graph
    stored = [i.name for i in graph.initializer if i.external_data]
    assert stored and not [name for name in stored if "grouped" in name or "ordered" in name]
