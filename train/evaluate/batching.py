"""Many completers, one model: their forward passes are gathered into batches.

Each of `lanes` threads has a whole completer of its own, prompt, stops, filters and all, so that
a checkpoint is asked by the very code that serves; only the graph beneath is shared. A lane that
wants a pass waits until every other lane wants one too, or has no items left; then all the passes
run as few batches of like lengths, and each lane goes on. A lane that has its answer takes the next
item at once, so batches stay full to the end.

Knows threads and a `Batched` graph; knows no torch, and not what is asked.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.protocol import Completer

Item = TypeVar("Item")
Result = TypeVar("Result")
LARGEST_BATCH = 16_384  # tokens of one batch, padding included


@dataclass
class Pass:
    """Append `ids` after the `past` tokens in a slot; the answer are `logits`, (T, V) or (1, V)."""

    slot: int
    past: int
    ids: NDArray[np.int64]
    logits: NDArray[np.float32] | None = None
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Ended:
    """A lane has no items left, or failed."""

    error: BaseException | None


class Batched(Protocol):
    """A forward pass over several slots at once."""

    capacity: int

    def run(self, passes: Sequence[Pass]) -> None:
        """Set the `logits` of every pass."""
        ...


class Lanes:
    """Gathers the passes of running lanes. `slots` are given out in order."""

    def __init__(self, model: Batched, lanes: int) -> None:
        self.model = model
        self._running = lanes
        self._slots = 0
        self._waiting: list[Pass] = []
        self._changed = threading.Condition()

    def new_slot(self) -> int:
        with self._changed:
            self._slots += 1
            return self._slots - 1

    def submit(self, wanted: Pass) -> NDArray[np.float32]:
        """Wait for the batch that holds this pass; its logits (T, V)."""
        with self._changed:
            self._waiting.append(wanted)
            self._changed.notify()
        wanted.done.wait()
        if wanted.error is not None:
            raise wanted.error
        assert wanted.logits is not None
        return wanted.logits

    def leave(self) -> None:
        """A lane has no items left."""
        with self._changed:
            self._running -= 1
            self._changed.notify()

    def serve(self) -> None:
        """Run batches until every lane has left. Called from the thread that owns the model."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._waiting) >= self._running)
                passes, self._waiting = self._waiting, []
                if not passes:
                    return
            for batch in batches(passes):
                self._run(batch)

    def _run(self, batch: list[Pass]) -> None:
        try:
            self.model.run(batch)
        except BaseException as error:
            for each in batch:
                each.error = error
        for each in batch:
            each.done.set()


def batches(passes: Sequence[Pass], largest: int = LARGEST_BATCH) -> Iterator[list[Pass]]:
    """Passes of like lengths together, the shortest first, padded to at most `largest` tokens."""
    batch: list[Pass] = []
    for each in sorted(passes, key=lambda each: len(each.ids)):
        much = len(each.ids) * (len(batch) + 1) > largest
        if batch and (much or len(each.ids) > 2 * len(batch[0].ids)):
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


class LaneGraph:
    """One lane's view of the shared model: a `daemon.engine.Graph`."""

    def __init__(self, lanes: Lanes) -> None:
        self.capacity = lanes.model.capacity
        self._lanes = lanes

    def new_cache(self) -> int:
        return self._lanes.new_slot()

    def run(self, cache: int, past: int, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The last token's logits (V,); see `daemon.engine.Graph.run`."""
        logits: NDArray[np.float32] = self._lanes.submit(Pass(cache, past, ids))[-1]
        return logits


def ask_all(
    model: Batched,
    completer: Callable[[LaneGraph], Completer],
    items: Iterable[Item],
    ask: Callable[[Completer, Item], Result],
    lanes: int,
) -> Iterator[Result]:
    """`ask` of every item, in any order; `completer` makes one lane's over the given graph.

    Raises what the first lane that fails raises.
    """
    gathered = Lanes(model, lanes)
    source, taking = iter(items), threading.Lock()
    results: SimpleQueue[Result | Ended] = SimpleQueue()

    def lane() -> None:
        error: BaseException | None = None
        try:
            asking = completer(LaneGraph(gathered))
            while True:
                with taking:
                    item = next(source, None)
                if item is None:
                    return
                results.put(ask(asking, item))
        except BaseException as raised:
            error = raised
        finally:
            gathered.leave()
            results.put(Ended(error))

    for work in [gathered.serve, *[lane] * lanes]:
        threading.Thread(target=work, daemon=True).start()
    while lanes:
        result = results.get()
        if not isinstance(result, Ended):
            yield result
            continue
        if result.error is not None:
            raise result.error
        lanes -= 1
