"""Long prompts through the prefill graph of the bundled model, single tokens through the other."""

import threading

import numpy as np
import pytest

from autocoder.daemon import model_folder
from autocoder.daemon.engine_graph import FEWEST_PREFILLED, OnnxGraph
from autocoder.daemon.engine_session import PREFILL, open_prefill, open_session
from autocoder.daemon.loading import load_completer
from autocoder.daemon.prefill_loading import PrefillLoading
from autocoder.daemon.protocol import Complete

IDS = np.random.default_rng(3).integers(300, 9000, 96)


@pytest.fixture(scope="module")
def graph() -> OnnxGraph:
    """The bundled model, its prefill graph not opened yet."""
    model = model_folder.load(model_folder.bundled())
    opened = open_session({"cpu": model.graph("cpu")}, "cpu", 1)
    return OnnxGraph(opened.session, 256)


@pytest.fixture(scope="module")
def wide(graph: OnnxGraph) -> OnnxGraph:
    """The same with its prefill graph."""
    twin = OnnxGraph(graph._session, 256)
    model = model_folder.load(model_folder.bundled())
    twin.widen(open_prefill(model.graph(PREFILL), 1))
    return twin


def test_a_long_prompt_gives_nearly_the_same_logits(graph: OnnxGraph, wide: OnnxGraph) -> None:
    plain = graph.run_rows(graph.new_cache(), 0, IDS, 1)[0].copy()
    fast = wide.run_rows(wide.new_cache(), 0, IDS, 1)[0]
    assert 0 < np.abs(plain - fast).max() < 0.08 * np.abs(plain).max()


def test_a_short_one_does_not_take_the_prefill_graph(graph: OnnxGraph, wide: OnnxGraph) -> None:
    few = IDS[:FEWEST_PREFILLED]
    plain = graph.run_rows(graph.new_cache(), 0, few, 1)[0].copy()
    assert (wide.run_rows(wide.new_cache(), 0, few, 1)[0] == plain).all()


def test_guesses_behind_a_long_prompt_change_no_bit(wide: OnnxGraph) -> None:
    alone = wide.run_rows(wide.new_cache(), 0, IDS, 1)[0].copy()
    guessed = wide.run_rows(wide.new_cache(), 0, np.concatenate([IDS, IDS[:3]]), 4)
    assert (guessed[0] == alone).all()


def test_it_is_opened_behind_the_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    monkeypatch.setattr(PrefillLoading, "start", lambda self: begun.set())
    completer = load_completer(model_folder.bundled(), "cpu", 1, hurry=True)
    assert not begun.is_set()
    completer.complete(Complete(prefix="for i in ran", language="python"), lambda: False)
    assert begun.is_set()


def test_a_damaged_prefill_graph_is_logged_and_costs_no_answer(
    graph: OnnxGraph, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path_factory.mktemp("damaged") / "cpu-prefill.onnx"
    damaged.write_bytes(b"no graph")
    loading = PrefillLoading(graph, damaged, 1)
    loading.start()
    assert loading.done.wait(30)
    assert "no graph for long prompts" in caplog.text
    assert np.isfinite(graph.run_rows(graph.new_cache(), 0, IDS, 1)).all()
