"""Requests that advance together in lanes: here on the CPU, where they must be answered as by the
completer that takes one after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from autocoder.daemon import model_folder
from autocoder.daemon.batch import Batching
from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.cuda_choice import Chooser
from autocoder.daemon.cuda_completer import Begun, CudaCompleter
from autocoder.daemon.cuda_graph import StepGraph
from autocoder.daemon.detokenizer import Detokenizer
from autocoder.daemon.engine import Engine
from autocoder.daemon.engine_graph import OnnxGraph
from autocoder.daemon.loading import load_tokenizer
from autocoder.daemon.prompt import Budget, PromptBuilder
from autocoder.daemon.protocol import Cancelled, Complete, Completion

LANES = 6
SOURCE = "def get_count(self):\n    return self.count\n\n\n"
PREFIXES = [
    "def get_count(self):\n    return se",
    "def set_total(",
    "for i in range(",
    SOURCE + "def set_count(self, cou",
    SOURCE * 3 + "for i in",
    "class A:\n    ",
]
REQUESTS = [
    Complete(prefix, document=str(number), language="python", max_lines=2, max_tokens=16)
    for number, prefix in enumerate(PREFIXES)
]


def opened(folder: Path, name: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = str(model_folder.load(folder).graph(name))
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def builder(tiny_model_folder: Path) -> PromptBuilder:
    model = model_folder.load(tiny_model_folder)
    return PromptBuilder(load_tokenizer(model.tokenizer), model.prompt, Budget(100, 40))


@pytest.fixture(scope="module")
def device(tiny_model_folder: Path) -> Iterator[tuple[StepGraph, Chooser]]:
    graph = StepGraph(opened(tiny_model_folder, "cuda-step"), 256, LANES, device="cpu")
    yield graph, Chooser(opened(tiny_model_folder, "cuda-choose"), graph.logits)


@pytest.fixture
def lanes(
    tiny_model_folder: Path, builder: PromptBuilder, device: tuple[StepGraph, Chooser]
) -> CudaCompleter:
    info = model_folder.load(tiny_model_folder).info
    return CudaCompleter(*device, builder, Detokenizer(builder.tokenizer), info)


@pytest.fixture(scope="module")
def plain(tiny_model_folder: Path, builder: PromptBuilder) -> ModelCompleter:
    engine = Engine(OnnxGraph(opened(tiny_model_folder, "cuda"), 256))
    info = model_folder.load(tiny_model_folder).info
    return ModelCompleter(engine, builder, Detokenizer(builder.tokenizer), info, guesses=False)


def never() -> bool:
    return False


def alike(found: Completion, wanted: Completion) -> None:
    assert [s.text for s in found.suggestions] == [s.text for s in wanted.suggestions]
    assert [s.stopped_by for s in found.suggestions] == [s.stopped_by for s in wanted.suggestions]
    for one, other in zip(found.suggestions, wanted.suggestions, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=5e-3)
        assert len(one.token_probabilities) == len(other.token_probabilities)
    assert found.prompt_tokens == wanted.prompt_tokens


def finish(completer: CudaCompleter, under_way: Sequence[Begun]) -> int:
    """Advance requests together until all are over; the number of steps."""
    steps = 0
    while waiting := [begun for begun in under_way if not completer.over(begun)]:
        completer.advance(waiting)
        steps += 1
    for begun in under_way:
        completer.end(begun)
    return steps


@pytest.mark.parametrize("request_", REQUESTS, ids=range(len(REQUESTS)))
def test_a_request_alone_is_answered_as_ever(
    lanes: CudaCompleter, plain: ModelCompleter, request_: Complete
) -> None:
    alike(lanes.complete(request_, never), plain.complete(request_, never))


def test_requests_together_are_answered_as_alone_in_fewer_steps(
    lanes: CudaCompleter, plain: ModelCompleter
) -> None:
    under_way = [lanes.begin(lanes.prepare(request)) for request in REQUESTS]
    steps = finish(lanes, under_way)
    for begun, request in zip(under_way, REQUESTS, strict=True):
        alike(lanes.completion(begun), plain.complete(request, never))
    assert steps < sum(lanes.completion(begun).generated_tokens for begun in under_way)


def test_one_may_join_while_others_are_under_way(
    lanes: CudaCompleter, plain: ModelCompleter
) -> None:
    under_way = [lanes.begin(lanes.prepare(request)) for request in REQUESTS[:2]]
    lanes.advance(under_way)
    under_way += [lanes.begin(lanes.prepare(request)) for request in REQUESTS[2:]]
    finish(lanes, under_way)
    for begun, request in zip(under_way, REQUESTS, strict=True):
        alike(lanes.completion(begun), plain.complete(request, never))


def test_the_next_key_costs_its_own_tokens(lanes: CudaCompleter) -> None:
    request = REQUESTS[3]
    first = lanes.complete(request, never)
    second = lanes.complete(replace(request, prefix=request.prefix + "n"), never)
    assert first.cached_tokens == 0
    assert second.prompt_tokens - second.cached_tokens <= 2


def test_candidates_branch_at_the_first_token(lanes: CudaCompleter, plain: ModelCompleter) -> None:
    request = replace(REQUESTS[2], candidates=3)
    found = lanes.complete(request, never)
    assert len(found.suggestions) > 1
    alike(found, plain.complete(request, never))


def test_a_seed_draws_the_same_text(lanes: CudaCompleter, plain: ModelCompleter) -> None:
    request = replace(REQUESTS[3], temperature=1.5, top_k=20, seed=4, candidates=2)
    found = lanes.complete(request, never)
    alike(found, lanes.complete(request, never))
    alike(found, plain.complete(request, never))


def test_a_penalty_weighs_what_was_seen(lanes: CudaCompleter, plain: ModelCompleter) -> None:
    request = replace(REQUESTS[4], repetition_penalty=1.8)
    alike(lanes.complete(request, never), plain.complete(request, never))


def test_a_cancelled_request_ends_and_frees_its_lane(lanes: CudaCompleter) -> None:
    for _ in range(LANES + 1):
        with pytest.raises(Cancelled):
            lanes.complete(REQUESTS[0], lambda: True)


def test_more_than_there_are_lanes_are_refused(lanes: CudaCompleter) -> None:
    for number in range(LANES):
        lanes.begin(lanes.prepare(replace(REQUESTS[0], document=str(number))))
    with pytest.raises(RuntimeError, match="more than 6"):
        lanes.begin(lanes.prepare(REQUESTS[1]))


def test_a_long_prompt_goes_in_chunks_and_others_go_on(
    lanes: CudaCompleter, plain: ModelCompleter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autocoder.daemon.cuda_completer.CHUNK", 16)
    short = lanes.begin(lanes.prepare(REQUESTS[1]))
    while short.work.pending and not short.work.generated:
        lanes.advance([short])
    long = lanes.begin(lanes.prepare(REQUESTS[4]))
    before = short.work.generated
    lanes.advance([short, long])
    assert len(long.work.lane.ids) == 16 and short.work.generated == before + 1
    finish(lanes, [short, long])
    alike(lanes.completion(long), plain.complete(REQUESTS[4], never))
    alike(lanes.completion(short), plain.complete(REQUESTS[1], never))


def test_it_is_one_that_batches(lanes: CudaCompleter) -> None:
    assert isinstance(lanes, Batching) and lanes.places == LANES


def test_a_request_alone_is_guessed_for_and_says_the_same(
    lanes: CudaCompleter, device: tuple[StepGraph, Chooser]
) -> None:
    graph, _ = device
    before = graph.passes
    first = lanes.complete(REQUESTS[4], never)
    passes, before = graph.passes - before, graph.passes
    again = lanes.complete(REQUESTS[4], never)
    assert again.accepted_tokens > 0 and graph.passes - before < passes
    alike(again, first)


def test_guesses_can_be_switched_off(lanes: CudaCompleter) -> None:
    lanes.guesses = False
    for _ in range(2):
        assert lanes.complete(REQUESTS[4], never).drafted_tokens == 0
