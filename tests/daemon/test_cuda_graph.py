"""Steps and chunks over many lanes, with the tokens chosen in the graph: here on the CPU, where
each pass must say what the plain graph says."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from autocoder.daemon import model_folder
from autocoder.daemon.cuda_buffers import Bound
from autocoder.daemon.cuda_choice import Chooser, Wish
from autocoder.daemon.cuda_graph import CHUNKED, StepGraph
from autocoder.daemon.cuda_loading import with_lanes
from autocoder.daemon.engine_graph import OnnxGraph
from autocoder.daemon.errors import CudaFailed, ModelError
from autocoder.daemon.sampling import Sampling, choose, probability

CAPACITY = 96
Continued = list[tuple[int, float]]


def session(folder: Path, name: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = str(model_folder.load(folder).graph(name))
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def opened(tiny_model_folder: Path) -> Callable[[str], Any]:
    made: dict[str, Any] = {}
    return lambda name: made.setdefault(name, session(tiny_model_folder, name))


@pytest.fixture
def graph(opened: Callable[[str], Any]) -> StepGraph:
    return StepGraph(opened("cuda-step"), CAPACITY, 6, device="cpu")


@pytest.fixture(scope="module")
def plain(opened: Callable[[str], Any]) -> Callable[[Sequence[int], int], Continued]:
    """The greedy continuation by the plain graph: its logits, one token at a time."""
    engine = OnnxGraph(opened("cuda"), CAPACITY)

    def continued(ids: Sequence[int], count: int) -> Continued:
        cache, found = engine.new_cache(), []
        logits = engine.run(cache, 0, np.array(ids))
        for past in range(len(ids), len(ids) + count):
            token = int(logits.argmax())
            found.append((token, probability(logits, token)))
            logits = engine.run(cache, past, np.array([token]))
        return found

    return continued


def prompt(length: int, seed: int = 0) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(10, 500, length)]


def among(first: Sequence[int]) -> Callable[[int, int], Sequence[int]]:
    """The first tokens of lanes from one to another."""
    return lambda start, stop: first[start:stop]


def same(found: Sequence[Any], wanted: Continued) -> None:
    assert [chosen.token for chosen in found] == [token for token, _ in wanted]
    np.testing.assert_allclose(
        [chosen.probability for chosen in found], [chance for _, chance in wanted], atol=2e-3
    )


def test_one_lane_continues_as_the_plain_graph_does(
    graph: StepGraph, plain: Callable[[Sequence[int], int], Continued]
) -> None:
    ids = prompt(20)
    found = graph.chunk(2, 0, ids)
    for place in range(20, 27):
        found += graph.chunk(2, place, [found[-1].token])
    same(found, plain(ids, 8))


def test_lanes_advance_together_as_each_would_alone(
    graph: StepGraph, plain: Callable[[Sequence[int], int], Continued]
) -> None:
    prompts = {0: prompt(20, 1), 3: prompt(7, 2), 5: prompt(33, 3)}
    resting = [prompts[lane][0] if lane in prompts else 0 for lane in range(graph.lanes)]
    found = {lane: graph.chunk(lane, 0, ids) for lane, ids in prompts.items()}
    for step in range(5):
        fed = {
            lane: (found[lane][-1].token, len(ids) + len(found[lane]) - 1)
            for lane, ids in prompts.items()
            if lane != 3 or step >= 2  # one rests for two steps, and is none the worse for it
        }
        for lane, chosen in graph.step(fed, among(resting)).items():
            found[lane].append(chosen)
    for lane, ids in prompts.items():
        same(found[lane], plain(ids, len(found[lane])))


def test_the_tokens_of_a_prompt_can_be_fed_by_steps(
    graph: StepGraph, plain: Callable[[Sequence[int], int], Continued]
) -> None:
    ids = prompt(12)
    for place, token in enumerate(ids):
        told = graph.step(
            {1: (token, place), 4: (token, place)}, among([0, ids[0], 0, 0, ids[0], 0])
        )
    same([told[1]], plain(ids, 1))
    same([told[4]], plain(ids, 1))


def test_every_row_of_a_chunk_can_be_told(
    graph: StepGraph, plain: Callable[[Sequence[int], int], Continued]
) -> None:
    ids = prompt(9)
    graph.chunk(0, 0, ids[:5])
    rows = graph.chunk(0, 5, ids[5:], rows=4)
    same(rows, [plain(ids[: 6 + row], 1)[0] for row in range(4)])


def test_a_copied_lane_goes_on_as_its_source(
    graph: StepGraph, plain: Callable[[Sequence[int], int], Continued]
) -> None:
    ids = prompt(15)
    graph.chunk(1, 0, ids)
    assert graph.copy(1, 4)
    graph.chunk(1, 0, prompt(15, 9))
    same(graph.chunk(4, 14, ids[14:]), plain(ids, 1))


def test_rows_can_be_chosen_anew(graph: StepGraph, opened: Callable[[str], Any]) -> None:
    chooser = Chooser(opened("cuda-choose"), graph.logits)
    graph.step({0: (20, 0), 1: (30, 0), 2: (40, 0)}, among([20, 30, 40, 0, 0, 0]))
    logits = graph.logits.numpy()
    allowed = np.array([5, 77, 300])
    seen = [int(logits[2].argmax()), 3]
    wishes = [Wish(0), Wish(1, allowed=allowed), Wish(2, Sampling(0, 0, 1, 3.0), seen=seen)]
    free, agreeing, penalised = (a.chosen for a in chooser.choose(wishes))
    assert free.token == logits[0].argmax()
    assert agreeing.token == allowed[logits[1][allowed].argmax()]
    shares = np.exp(logits[1][allowed] - logits[1][allowed].max())
    assert agreeing.probability == pytest.approx(1 / shares.sum(), rel=1e-4)
    assert penalised.token == choose(logits[2], seen, Sampling(0, 0, 1, 3.0), Drawn(0.0))
    assert penalised.probability == pytest.approx(probability(logits[2], penalised.token), rel=1e-4)


class Drawn:
    """Chance, as a test wants it."""

    def __init__(self, number: float) -> None:
        self.random = lambda: number


@pytest.mark.parametrize(
    "sampling",
    [Sampling(0.7, 40, 0.9), Sampling(1.0, 5), Sampling(1.5, 200, 0.5, 1.3), Sampling(2.0, 1)],
)
def test_a_draw_on_the_device_is_the_daemons_own(
    graph: StepGraph, opened: Callable[[str], Any], sampling: Sampling
) -> None:
    chooser = Chooser(opened("cuda-choose"), graph.logits)
    graph.chunk(0, 0, prompt(9))
    logits, seen = graph.logits.numpy()[0], [1, 2, 2, 30]
    for number in np.linspace(0, 0.999, 23):
        wish = Wish(0, sampling, seen=seen, chance=float(number))
        (answer,) = chooser.choose([wish])
        assert answer.chosen.token == choose(logits, seen, sampling, Drawn(number))  # type: ignore


def test_the_most_probable_tokens_come_in_order(
    graph: StepGraph, opened: Callable[[str], Any]
) -> None:
    graph.chunk(0, 0, prompt(9))
    (answer,) = Chooser(opened("cuda-choose"), graph.logits).choose([Wish(0, ranks=True)])
    assert (np.diff(answer.probabilities) <= 0).all()
    logits = graph.logits.numpy()[0]
    assert answer.probabilities[0] == pytest.approx(probability(logits, int(logits.argmax())), 1e-4)


def test_gpt2_learns_its_positions_from_the_host(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from autocoder.export import exporting, tiny

    folder = tmp_path_factory.mktemp("gpt2")
    checkpoint = tiny.make_checkpoint(folder / "checkpoint", "gpt2", train_steps=10)
    exporting.export(str(checkpoint), folder / "model")
    graph = StepGraph(session(folder / "model", "cuda-step"), CAPACITY, 3, device="cpu")
    engine = OnnxGraph(session(folder / "model", "cuda"), CAPACITY)
    ids = prompt(11)
    graph.chunk(0, 0, ids[:4])
    graph.chunk(2, 0, ids[:9])
    for place in range(4, 11):
        fed = {0: (ids[place], place), **({2: (ids[place], place)} if place >= 9 else {})}
        told = graph.step(fed, among([ids[0], 0, ids[0]]))
    wanted = engine.run(engine.new_cache(), 0, np.array(ids))
    assert told[0].token == told[2].token == wanted.argmax()


def test_another_graph_is_refused_with_the_remedy(opened: Callable[[str], Any]) -> None:
    with pytest.raises(ModelError, match="export the model again"):
        StepGraph(opened("cuda"), CAPACITY, 1, device="cpu")


def test_a_pass_that_fails_is_the_devices_failure(graph: StepGraph) -> None:
    with pytest.raises(CudaFailed):
        graph.chunk(0, CAPACITY - 2, prompt(20))


def test_a_row_can_be_bound_to_some_tokens_for_one_pass(graph: StepGraph) -> None:
    fed = {0: (20, 0), 1: (30, 0), 2: (40, 0)}
    free = graph.step(fed, among([20, 30, 40, 0, 0, 0]))
    logits = graph.logits.numpy()[1]
    some = np.array([5, 77, 300])
    bound = graph.step(fed, among([20, 30, 40, 0, 0, 0]), {1: some})
    assert bound[1].token == some[logits[some].argmax()]
    shares = np.exp(logits[some] - logits[some].max())
    assert bound[1].probability == pytest.approx(1 / shares.sum(), rel=1e-3)
    assert (bound[0], bound[2]) == (free[0], free[2])
    assert graph.step(fed, among([20, 30, 40, 0, 0, 0])) == free


def test_a_row_of_a_chunk_can_be_bound_too(graph: StepGraph) -> None:
    ids = prompt(7)
    free = graph.chunk(3, 0, ids, rows=3)
    bound = graph.chunk(3, 0, ids, rows=3, allowed={1: np.array([9, 11])})
    assert (bound[0], bound[2]) == (free[0], free[2]) and bound[1].token in (9, 11)


@pytest.mark.parametrize("count", [1, 3, 9, 20, 40])
def test_chunks_filled_up_say_what_exact_ones_say(
    opened: Callable[[str], Any], graph: StepGraph, count: int
) -> None:
    exact = StepGraph(opened("cuda-step"), CAPACITY, 1, device="cpu", fills=False)
    ids = prompt(count)
    assert graph.chunk(0, 0, ids)[0].token == exact.chunk(0, 0, ids)[0].token
    for place in range(count, count + 3):
        one, other = (each.chunk(0, place, [50])[0] for each in (graph, exact))
        assert one.token == other.token
        assert one.probability == pytest.approx(other.probability, abs=2e-3)


def test_near_the_end_of_a_lane_chunks_are_exact(graph: StepGraph) -> None:
    ids = prompt(CAPACITY)
    graph.chunk(0, 0, ids[:90])
    assert graph.chunk(0, 90, ids[90:95])
    assert graph.chunk(0, 95, ids[95:])


def test_every_size_is_run_once_before_it_is_needed(graph: StepGraph) -> None:
    graph.warm_up()
    chunks = len([size for size in CHUNKED if size <= CAPACITY])
    assert graph.passes == chunks + 1  # its six lanes are one size of step


def test_steps_are_captured_when_the_model_is_loaded_and_nothing_while_it_serves(
    opened: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = StepGraph(opened("cuda-step"), CAPACITY, 6, device="cpu")
    monkeypatch.setattr(graph, "_captures", True)
    captured: list[int] = []
    capture_as = Bound.capture_as

    def noted(bound: Bound, number: int) -> None:
        captured.append(number)
        capture_as(bound, number)

    monkeypatch.setattr(Bound, "capture_as", noted)
    graph.warm_up()
    assert captured == [1, 2, 3, 4, 5, 6]  # chunks of 1 to 16, and the step of all lanes
    for place in range(40):
        graph.chunk(1, place, [7])
    assert len(captured) == 6


def test_what_is_run_often_is_captured_and_nothing_is_lost_by_it(
    opened: Callable[[str], Any],
    plain: Callable[[Sequence[int], int], Continued],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = StepGraph(opened("cuda-step"), CAPACITY, 4, device="cpu")
    monkeypatch.setattr(graph, "_captures", True)
    ids = prompt(20)
    found = graph.chunk(1, 0, ids)
    held = {1: [*ids]}
    captured = 0
    for place in range(20, 30):
        found += graph.chunk(1, place, [found[-1].token])
        held[1].append(found[-2].token)
        while graph.capture_next(lambda lane: held.get(lane, [])):
            captured += 1
    assert captured == 1
    same(found, plain(ids, 11))


def test_lanes_that_do_not_fit_are_halved(
    opened: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def little(self: StepGraph) -> dict[str, Any]:
        if self.lanes > 20:
            raise CudaFailed("out of memory")
        return {}

    one = StepGraph(opened("cuda-step"), CAPACITY, 1, device="cpu").bytes
    monkeypatch.setattr(StepGraph, "_allocated", little)
    assert with_lanes(opened("cuda-step"), CAPACITY, 50 * one, device="cpu").lanes == 12
