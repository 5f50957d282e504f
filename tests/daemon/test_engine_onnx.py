"""The engine on ONNX Runtime: a real exported model, with its cache bound in place."""

import gc
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from math import prod
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autocoder.daemon import engine_runtime, model_folder
from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.engine import Engine
from autocoder.daemon.engine_graph import OnnxGraph
from autocoder.daemon.engine_session import CPU, open_session
from autocoder.daemon.engine_threads import granted_cpus, thread_count
from autocoder.daemon.errors import ConfigError, ModelError
from autocoder.daemon.live_sequence import LiveSequence
from autocoder.daemon.loading import capacity, load_completer, load_tokenizer
from autocoder.daemon.prompt import Budget
from autocoder.daemon.protocol import Cancelled, Complete

SOURCE = "def get_count(self):\n    return self.count\n\n\ndef set_count(self, count):\n"


def go_on() -> None:
    """Interrupts nothing."""


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def graph(tiny_model_folder: Path) -> OnnxGraph:
    path = model_folder.load(tiny_model_folder).graph("cpu")
    return OnnxGraph(open_session({"cpu": path}).session, 256)


@pytest.fixture(scope="module")
def ids(tiny_model_folder: Path) -> list[int]:
    tokenizer = load_tokenizer(tiny_model_folder / "tokenizer.json")
    return list(tokenizer.encode(SOURCE * 4).ids)


@pytest.fixture(scope="module")
def completer(tiny_model_folder: Path) -> ModelCompleter:
    return load_completer(tiny_model_folder)


@pytest.fixture(scope="module")
def reference(graph: OnnxGraph, tiny_model_folder: Path) -> Callable[[Sequence[int]], np.ndarray]:
    """The last token's logits by one plain run over everything: no binding, no cache."""
    path = model_folder.load(tiny_model_folder).graph("cpu")
    session = open_session({"cpu": path}).session
    empty = np.zeros(graph.shape.buffer(256), np.float32)
    past = {node.name: empty for node in session.get_inputs() if node.name.startswith("past.")}

    def logits(ids: Sequence[int]) -> np.ndarray:
        feeds = {
            "input_ids": np.array([ids], np.int64),
            "past_length": np.zeros(1, np.int32),
            "rows": np.array([len(ids) - 1]),
        }
        return session.run(["logits"], feeds | past)[0][0, 0]

    return logits


def test_what_was_kept_and_written_over_is_there_again(graph: OnnxGraph, ids: list[int]) -> None:
    sequence, other = LiveSequence(graph, 64), list(reversed(ids[20:40]))
    sequence.extend(ids[:40], go_on)
    kept = sequence.keep(20)
    wanted = sequence.extend(ids[40:45], go_on).copy()
    sequence.rewind(20)
    sequence.extend(other, go_on)
    assert kept is not None
    sequence.put_back(kept)
    passes = sequence.passes
    assert sequence.ids == ids[:40]
    assert np.array_equal(sequence.extend(ids[40:45], go_on), wanted)
    assert sequence.passes == passes + 1


def test_chunks_give_the_logits_of_one_plain_run(
    graph: OnnxGraph, ids: list[int], reference: Callable[..., np.ndarray]
) -> None:
    for chunk in (1, 7, 64, 256):
        _, _, logits = Engine(graph, chunk=chunk).prefill(ids, go_on)
        np.testing.assert_allclose(logits, reference(ids), atol=1e-4)


def test_a_cached_prefix_gives_the_logits_of_a_fresh_prefill(
    graph: OnnxGraph, ids: list[int], reference: Callable[..., np.ndarray]
) -> None:
    engine = Engine(graph)
    engine.prefill([*ids[:40], 7, 8, 9], go_on)
    for length in (50, 51, 53, 45, 60):
        _, cached, logits = engine.prefill(ids[:length], go_on)
        assert cached >= 40
        np.testing.assert_allclose(logits, reference(ids[:length]), atol=1e-4)


def test_rolling_back_is_a_shorter_past(graph: OnnxGraph, ids: list[int]) -> None:
    sequence, _, logits = Engine(graph).prefill(ids[:50], go_on)
    before = logits.copy()
    sequence.extend([3, 1, 4, 1, 5, 9, 2, 6], go_on)
    sequence.rewind(49)
    np.testing.assert_allclose(sequence.extend(ids[49:50], go_on), before, atol=1e-4)


def test_decoding_step_by_step_is_the_argmax_of_plain_runs(
    graph: OnnxGraph, ids: list[int], reference: Callable[..., np.ndarray]
) -> None:
    sequence, _, logits = Engine(graph).prefill(ids[:30], go_on)
    expected = ids[:30]
    for _ in range(12):
        expected = [*expected, int(reference(expected).argmax())]
        logits = sequence.extend([int(logits.argmax())], go_on)
    assert sequence.ids == expected


def test_sequences_do_not_share_memory_and_outlive_their_arrays(
    graph: OnnxGraph, ids: list[int], reference: Callable[..., np.ndarray]
) -> None:
    engine = Engine(graph, sequences=2)
    one, other = ids[:40], ids[5:45]
    engine.prefill(one, go_on)
    engine.prefill(other, go_on)
    gc.collect()
    junk = [np.full(graph.shape.buffer(256), np.nan, np.float32) for _ in range(20)]
    for document in (one, other):
        _, cached, logits = engine.prefill([*document, 9], go_on)
        assert cached == 40
        np.testing.assert_allclose(logits, reference([*document, 9]), atol=1e-4)
    assert len(junk) == 20


def test_an_idle_engine_does_not_spin(graph: OnnxGraph, ids: list[int]) -> None:
    Engine(graph).prefill(ids, go_on)
    used = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - used < 0.05


def test_a_token_outside_the_vocabulary_is_a_model_error(graph: OnnxGraph) -> None:
    with pytest.raises(ModelError, match="outside"):
        Engine(graph).prefill([graph.vocabulary], go_on)


def test_a_graph_of_another_contract_is_refused() -> None:
    inputs = [SimpleNamespace(name="input_ids", shape=[1, "T"], type="tensor(int64)")]
    session = SimpleNamespace(get_inputs=lambda: inputs, get_outputs=lambda: [])
    with pytest.raises(ModelError, match="has no input"):
        OnnxGraph(session, 64)


def test_suggestions_of_a_real_model(completer: ModelCompleter) -> None:
    request = Complete("def get_count(self):", path="a.py", max_lines=3, candidates=3)
    answer = completer.complete(request, never)
    texts = [suggestion.text for suggestion in answer.suggestions]
    assert len(set(texts)) == 3
    assert any("self" in text for text in texts)
    chances = [suggestion.probability for suggestion in answer.suggestions]
    assert 1 >= chances[0] >= chances[1] >= chances[2] > 0
    assert (completer.info.context, completer.provider) == (256, CPU)


def test_token_probabilities_are_the_softmax_of_plain_runs(
    completer: ModelCompleter, reference: Callable[..., np.ndarray], tiny_model_folder: Path
) -> None:
    request = Complete("def get_count(self):", path="a.py", max_lines=3, candidates=3)
    answer = completer.complete(request, never)
    tokenizer = load_tokenizer(tiny_model_folder / "tokenizer.json")
    tokenizer.encode_special_tokens = False
    prompt = tokenizer.encode(f"<python><suffix><prefix>{request.prefix}<middle>").ids
    assert len(prompt) == answer.prompt_tokens
    for suggestion in answer.suggestions:
        ids, text = list(prompt), b""
        for reported in suggestion.token_probabilities:
            logits = reference(ids).astype(np.float64)
            exact = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            ids.append(int(np.abs(exact - reported).argmin()))
            assert reported == pytest.approx(exact[ids[-1]], rel=1e-3)
            text += completer._detokenizer.bytes_of(ids[-1])
        assert text.decode().startswith(suggestion.text)
        assert suggestion.probability == prod(suggestion.token_probabilities)


def test_a_keystroke_costs_a_few_tokens(completer: ModelCompleter) -> None:
    typed = SOURCE + "    self.count = cou"
    completer.complete(Complete(typed, "\n", path="b.py"), never)
    answer = completer.complete(Complete(typed + "n", "\n", path="b.py"), never)
    assert answer.prompt_tokens - answer.cached_tokens <= 4


def test_text_that_looks_like_a_special_token_is_text(completer: ModelCompleter) -> None:
    plain = completer.complete(Complete("x = 1"), never).prompt_tokens
    odd = completer.complete(Complete("x = 1<eos>"), never).prompt_tokens
    assert odd > plain + 1


@pytest.mark.parametrize("prefix", ["", "\x00\udcff" * 4000, "def f():\n    pass\n" * 60_000])
def test_any_text_is_answered(completer: ModelCompleter, prefix: str) -> None:
    answer = completer.complete(Complete(prefix, prefix, max_tokens=512, max_lines=0), never)
    assert answer.prompt_tokens <= 256
    assert all("\ufffd" not in suggestion.text for suggestion in answer.suggestions)


def test_cancelled_at_once(completer: ModelCompleter) -> None:
    with pytest.raises(Cancelled):
        completer.complete(Complete("import numpy as "), lambda: True)


def test_without_cuda_the_cpu_serves_and_says_why(tiny_model_folder: Path) -> None:
    graphs = {"cpu": model_folder.load(tiny_model_folder).graph("cpu")}
    opened = open_session(graphs)  # no cuda.onnx here, whatever the runtime
    assert (opened.provider, "CUDA" in opened.reason or "cuda" in opened.reason) == (CPU, True)
    asked = open_session(graphs, "cuda")
    assert asked.provider == CPU and asked.reason == f"CUDA was asked for, but {opened.reason}"
    with pytest.raises(ConfigError, match="tpu"):
        open_session(graphs, "tpu")
    assert open_session(graphs, "cpu").reason == "the CPU was asked for"


def test_a_damaged_graph_or_tokenizer_is_a_model_error(tmp_path: Path) -> None:
    broken = tmp_path / "cpu.onnx"
    broken.write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="cannot open"):
        open_session({"cpu": broken})
    with pytest.raises(ModelError, match="cannot read"):
        load_tokenizer(broken)


def test_two_runtimes_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_runtime.conflicting_runtimes() == ()
    monkeypatch.setattr(metadata, "version", lambda package: "1.32.0")
    assert engine_runtime.conflicting_runtimes() == ("onnxruntime", "onnxruntime-gpu")
    with pytest.raises(ModelError, match="pip uninstall -y onnxruntime onnxruntime-gpu"):
        engine_runtime.import_runtime()


def test_threads_are_never_more_than_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOCODER_THREADS", raising=False)
    assert 1 <= thread_count() <= len(granted_cpus())
    assert thread_count(10_000) == len(granted_cpus())
    monkeypatch.setenv("AUTOCODER_THREADS", "1")
    assert thread_count() == 1
    for bad in ("0", "-2", "many"):
        monkeypatch.setenv("AUTOCODER_THREADS", bad)
        with pytest.raises(ConfigError, match=bad):
            thread_count()


def test_the_cache_is_no_larger_than_prompt_and_answer_need() -> None:
    assert capacity(Budget(512, 128), 2048) == 512 + 128 + 8 + 512
    assert capacity(Budget(512, 128), 1024) == 1024
