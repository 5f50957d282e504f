"""However tokens are shared out among passes, logits and cache agree to the last bit."""

import numpy as np
import pytest

from autocoder.daemon import model_folder
from autocoder.daemon.engine_graph import BoundCache, OnnxGraph
from autocoder.daemon.engine_session import open_session

CAPACITY = 640
IDS = np.random.default_rng(5).integers(300, 9000, CAPACITY)
MOST = 17  # tokens of a pass that judges guesses


@pytest.fixture(scope="module")
def graph() -> OnnxGraph:
    """The bundled model without its prefill graph."""
    path = model_folder.load(model_folder.bundled()).graph("cpu")
    return OnnxGraph(open_session({"cpu": path}, "cpu", 2).session, CAPACITY)


def filled(graph: OnnxGraph, length: int) -> BoundCache:
    cache = graph.new_cache()
    if length:
        graph.run_rows(cache, 0, IDS[:length], 0)
    return cache


# Around these, fewer keys than rows, as many, and the runtime's blocks of keys end.
@pytest.mark.parametrize("past", [0, 1, 4, 5, 20, 64, 127, 128, 511, 600])
def test_one_by_one_is_as_many_at_once(graph: OnnxGraph, past: int) -> None:
    assert graph.least == 1
    cache, tokens = filled(graph, past), IDS[past : past + MOST]
    singly = [
        graph.run_rows(cache, past + at, tokens[at : at + 1], 1)[0].copy() for at in range(MOST)
    ]
    written = [array[:, :, : past + MOST].copy() for array in cache.arrays]
    for count in (2, 3, 4, 7, 8, 16, MOST):
        together = graph.run_rows(cache, past, tokens[:count], count)
        assert all(np.array_equal(one, row) for one, row in zip(singly, together, strict=False))
        for array, expected in zip(cache.arrays, written, strict=True):
            assert np.array_equal(array[:, :, : past + count], expected[:, :, : past + count])


def test_what_was_rolled_back_leaves_no_trace(graph: OnnxGraph) -> None:
    cache = filled(graph, 100)
    wanted = graph.run_rows(cache, 100, IDS[100:101], 1)[0].copy()
    graph.run_rows(cache, 101, IDS[300:316], 1)
    assert np.array_equal(graph.run_rows(cache, 100, IDS[100:101], 1)[0], wanted)


def test_a_pass_longer_than_the_room_for_its_rows_is_divided(graph: OnnxGraph) -> None:
    at_once = graph.run_rows(graph.new_cache(), 0, IDS, 3).copy()
    cache = filled(graph, CAPACITY - 3)
    assert np.array_equal(graph.run_rows(cache, CAPACITY - 3, IDS[-3:], 3), at_once)
