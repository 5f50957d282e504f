"""Answers many requests at once on a GPU: each has a lane, and one step advances them all.

What a request wants is decided where a CPU decides it too (`completer.py`, `cuda_request.py`); here
is the order of the passes. A long prompt goes in chunks of its own, one between two steps, so that
nobody waits for more than a chunk; short ones are fed token by token along with what others decode.
Knows requests and lanes; knows no sockets and no queue.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, cast

from autocoder.daemon.completer import ModelCompleter, Source, suggest
from autocoder.daemon.cuda_choice import Chooser, Wish
from autocoder.daemon.cuda_graph import Chosen, StepGraph
from autocoder.daemon.cuda_guesses import Ahead, Memory
from autocoder.daemon.cuda_lanes import Lanes
from autocoder.daemon.cuda_request import LaneRequest
from autocoder.daemon.decoding import Continuation, Decoding
from autocoder.daemon.detokenizer import Detokenizer
from autocoder.daemon.engine import Engine
from autocoder.daemon.held import Held
from autocoder.daemon.prompt import Prompt, PromptBuilder
from autocoder.daemon.protocol import (
    Cancelled,
    Complete,
    Completion,
    ModelInfo,
    Suggestion,
    Timing,
)
from autocoder.daemon.repository_index import RepositoryIndex

logger = logging.getLogger(__name__)

CHUNK = 512  # tokens of a prompt in one pass
STEPWISE = 12  # tokens of a prompt that are fed along with what others decode


@dataclass(frozen=True)
class Prompted:
    """A request with all that is known of it without the model."""

    request: Complete
    source: Source
    prompt: Prompt
    held: Held
    decoding: Decoding
    started: float


@dataclass(eq=False)
class Begun:
    """A request under way and what it has found."""

    work: LaneRequest
    held: Held
    started: float
    ahead: Ahead | None
    found: dict[str, Suggestion] = field(default_factory=dict)


class CudaCompleter(ModelCompleter):
    """As `ModelCompleter`, on a `StepGraph`; `places` requests can be under way at once.

    `batches` off: one after the other, for comparisons.
    """

    def __init__(
        self,
        graph: StepGraph,
        chooser: Chooser,
        builder: PromptBuilder,
        detokenizer: Detokenizer,
        info: ModelInfo,
        **options: Any,
    ) -> None:
        self._lanes = Lanes(graph.lanes, graph.capacity, graph.copy)
        super().__init__(cast(Engine, self._lanes), builder, detokenizer, info, **options)
        self._index: RepositoryIndex | None = options.get("index")
        self._memory = Memory(self._lanes)
        self._under_way = 0
        self.places = graph.lanes
        self.on_cpu: Callable[[str], ModelCompleter] | None = None
        self._graph = graph
        self._chooser = chooser

    def complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        """See `Completer.complete`."""
        begun = self.begin(self.prepare(request))
        try:
            while not self.over(begun):
                if cancelled():
                    raise Cancelled
                self.advance([begun])
            return self.completion(begun)
        finally:
            self.end(begun)

    def prepare(self, request: Complete) -> Prompted:
        """A request's prompt, and how it is to be continued. Callable from any thread."""
        started = perf_counter()
        source = Source.of(request)
        prompt = self._builder.build(source.language, source.prefix, source.suffix)
        held = self._held(prompt, request)
        decoding = self._decoding(request, source, held, lambda: None)
        return Prompted(request, source, prompt, held, decoding, started)

    def begin(self, prompted: Prompted) -> Begun:
        """Take a request on. Raises ModelError where its prompt does not fit, RuntimeError where
        more than `places` are under way."""
        request, held = prompted.request, prompted.held
        lane = self._lanes.claim(held.ids, request.document)
        if lane is None:
            raise RuntimeError(f"more than {self.places} requests are under way")
        if not self._under_way:
            self._guessing.busy()
        self._under_way += 1
        found: dict[str, Suggestion] = {}

        def finished(continuation: Continuation) -> bool:
            suggestion = suggest(continuation, prompted.source)
            if suggestion.text:
                found.setdefault(suggestion.text, suggestion)
            self._memory.remember(held, lane, continuation.tokens)
            return len(found) < request.candidates

        suffix = prompted.prompt.ids[: prompted.prompt.prefix_start]
        ahead = self._memory.ahead(held, suffix, lane) if self.guesses else None
        work = LaneRequest(
            request,
            prompted.source.language,
            prompted.decoding,
            held.ids,
            lane,
            self._graph.capacity,
            finished,
        )
        return Begun(work, held, prompted.started, ahead, found)

    def over(self, begun: Begun) -> bool:
        """Whether it has all that was asked for."""
        return begun.work.over

    def end(self, begun: Begun) -> None:
        """A request is over, or nobody wants it any more."""
        self._lanes.release(begun.work.lane)
        self._under_way -= 1
        if not self._under_way:
            self._guessing.idle()

    def completion(self, begun: Begun) -> Completion:
        """What a request that is over has found."""
        work, ended = begun.work, perf_counter()
        found = sorted(begun.found.values(), key=lambda suggestion: -suggestion.probability)
        return Completion(
            tuple(found),
            prompt_tokens=len(begun.held.ids),
            cached_tokens=work.cached,
            generated_tokens=work.generated,
            drafted_tokens=work.drafted,
            accepted_tokens=work.accepted,
            ms=Timing(
                prompt=1000 * (work.prompted - begun.started),
                decode=1000 * (ended - work.prompted),
                total=1000 * (ended - begun.started),
            ),
        )

    def rest(self) -> bool:
        """Nothing is to be done: make something faster; False where all is. Raises CudaFailed."""
        return self._graph.capture_next(lambda lane: self._lanes.all[lane].ids)

    def advance(self, under_way: Sequence[Begun]) -> None:
        """One step for all of them. Raises CudaFailed."""
        if len(under_way) == 1:
            self._alone(under_way[0])
            return
        works = [begun.work for begun in under_way]
        stepwise = [work for work in works if len(work.pending) <= STEPWISE]
        longer = [work for work in works if len(work.pending) > STEPWISE]
        if longer:
            self._chunk(longer[0])
        if stepwise:
            self._step(stepwise)

    def _alone(self, begun: Begun) -> None:
        """A chunk with guesses behind it."""
        work = begun.work
        guesses: list[int] = []
        if begun.ahead is not None and len(work.pending) <= STEPWISE:
            guesses = begun.ahead.guesses(work, self._index)
        if not guesses:
            self._chunk(work)
            return
        rows = {number: work.agreeing(guesses[:number]) for number in range(len(guesses) + 1)}
        told = self._graph.chunk(
            work.lane.number,
            len(work.lane.ids),
            [*work.pending, *guesses],
            1 + len(guesses),
            {number: allowed for number, allowed in rows.items() if allowed is not None},
        )
        work.ran(len(work.pending))
        work.drafted += len(guesses)
        for number, chosen in enumerate(told):
            self._choose([(work, self._graph.row(number), chosen)])
            if number == len(guesses) or work.over or work.said[-1:] != (guesses[number],):
                break
            work.ran(1)  # it is in the lane already
            work.accepted += 1

    def _chunk(self, work: LaneRequest) -> None:
        ids = work.pending[:CHUNK]
        allowed = work.agreeing() if len(ids) == len(work.pending) else None
        chosen = self._graph.chunk(
            work.lane.number,
            len(work.lane.ids),
            ids,
            allowed={} if allowed is None else {0: allowed},
        )
        work.ran(len(ids))
        if not work.pending:
            self._choose([(work, self._graph.row(0), chosen[0])])

    def _step(self, works: Sequence[LaneRequest]) -> None:
        fed = {work.lane.number: (work.pending[0], len(work.lane.ids)) for work in works}
        ending = {work.lane.number: work.agreeing() for work in works if len(work.pending) == 1}
        allowed = {lane: tokens for lane, tokens in ending.items() if tokens is not None}
        told = self._graph.step(fed, self._lanes.resting, allowed)
        ended = []
        for work in works:
            work.ran(1)
            if not work.pending:
                number = work.lane.number
                ended.append((work, self._graph.offset(number), told[number]))
        self._choose(ended)

    def _choose(self, ended: Sequence[tuple[LaneRequest, int, Chosen]]) -> None:
        """The next token of each: the most probable one, or as it wishes."""
        wishing: list[tuple[LaneRequest, Wish]] = []
        for work, row, most_probable in ended:
            wish = work.wish(row)
            if wish is None:
                work.accept(most_probable)
            else:
                wishing.append((work, wish))
        if wishing:
            answers = self._chooser.choose([wish for _, wish in wishing])
            for (work, _), answer in zip(wishing, answers, strict=True):
                work.choose(answer)
