"""Text in, suggestions out: the prompt, the decoding, the stops and the filters of one request.

Knows the protocol's requests as data and a model; knows no sockets and no queue.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

from autocoder.daemon.best_line import Search
from autocoder.daemon.candidates import Start, continuations
from autocoder.daemon.decoding import Continuation, Decoding
from autocoder.daemon.detokenizer import Detokenizer, readable
from autocoder.daemon.drafting import Guess
from autocoder.daemon.engine import Claim, Engine
from autocoder.daemon.filters import refine
from autocoder.daemon.guessing import Guessing
from autocoder.daemon.healing import Agreement
from autocoder.daemon.held import Held
from autocoder.daemon.languages import language_of
from autocoder.daemon.lookahead import Lookahead
from autocoder.daemon.prompt import Prompt, PromptBuilder
from autocoder.daemon.protocol import (
    Cancelled,
    Complete,
    Completion,
    ModelInfo,
    Suggestion,
    Timing,
)
from autocoder.daemon.recollection import Recollection
from autocoder.daemon.repository_index import RepositoryIndex
from autocoder.daemon.sampling import Sampling
from autocoder.daemon.speculation import Tally
from autocoder.daemon.stopping import StopRules, cursor_ends_line


@dataclass(frozen=True)
class Source:
    """A request's text on both sides of the cursor, fit for a tokenizer, and its language."""

    prefix: str
    suffix: str
    language: str
    line_end: str

    @staticmethod
    def of(request: Complete) -> "Source":
        language = request.language or (language_of(request.path) if request.path else None)
        breaks = request.prefix if "\n" in request.prefix else request.suffix
        line_end = "\r\n" if "\r\n" in breaks else "\n"
        prefix, suffix = (
            clean(text).replace("\r\n", "\n") for text in (request.prefix, request.suffix)
        )
        return Source(prefix, suffix, (language or "").lower(), line_end)


class ModelCompleter:
    """Answers requests with one model. `reason` says why its provider is not CUDA, "" if it is.

    `heals`, `guesses` and `searches` switch token healing, speculation and the search for the
    likeliest line off, for comparisons.
    """

    def __init__(
        self,
        engine: Engine,
        builder: PromptBuilder,
        detokenizer: Detokenizer,
        info: ModelInfo,
        *,
        provider: str = "",
        threads: int = 1,
        reason: str = "",
        heals: bool = True,
        guesses: bool = True,
        searches: bool = True,
        afterwards: Callable[[], None] = lambda: None,
        index: RepositoryIndex | None = None,
    ) -> None:
        self.info = info
        self.provider = provider
        self.threads = threads
        self.reason = reason
        self._afterwards = afterwards  # once something was answered
        self.heals = heals
        self.guesses = guesses and engine.guesses
        self.searches = searches and engine.guesses
        self._engine = engine
        self._builder = builder
        self._detokenizer = detokenizer
        self._vocabulary = detokenizer.vocabulary
        self._stop_ids = builder.stop_ids | detokenizer.special
        self._lookahead = Lookahead()
        self._guessing = Guessing(engine, index)
        self._recollection = Recollection()

    def complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        """See `Completer.complete`."""
        self._guessing.busy()
        try:
            return self._complete(request, partial(_raise_if, cancelled))
        finally:
            self._guessing.idle()

    def _complete(self, request: Complete, interrupt: Callable[[], None]) -> Completion:
        started = perf_counter()
        source = Source.of(request)
        prompt = self._builder.build(source.language, source.prefix, source.suffix)
        held = self._held(prompt, request)
        decoding = self._decoding(request, source, held, interrupt)
        claim = self._engine.claim(held.ids, request.document)
        start = self._started(request, source, prompt, held, claim, decoding)
        prompted = perf_counter()
        found: dict[str, Suggestion] = {}
        said: list[Continuation] = []
        for continuation in continuations(request, decoding, start):
            said.append(continuation)
            if self.searches and _wants_a_line(request):
                continuation = self._likeliest(continuation, decoding, held, start)
            suggestion = suggest(continuation, source)
            if suggestion.text:
                found.setdefault(suggestion.text, suggestion)
            if len(found) == request.candidates:
                break
        self._remember(request, held, claim, said[0], start)
        ended = perf_counter()
        self._afterwards()
        return Completion(
            tuple(sorted(found.values(), key=lambda suggestion: -suggestion.probability)),
            prompt_tokens=len(held.ids),
            cached_tokens=len(held.ids) if start.recalled else claim.cached,
            generated_tokens=sum(len(each.tokens) for each in said) + start.tally.branched,
            drafted_tokens=start.tally.drafted,
            accepted_tokens=start.tally.accepted,
            ms=Timing(
                prompt=1000 * (prompted - started),
                decode=1000 * (ended - prompted),
                total=1000 * (ended - started),
            ),
        )

    def _started(
        self,
        request: Complete,
        source: Source,
        prompt: Prompt,
        held: Held,
        claim: Claim,
        decoding: Decoding,
    ) -> Start:
        """Run what is new of the prompt, and with it what may come next."""
        drafter, guess = None, Guess()
        recalled = self._recollection.recall(claim.sequence, held.ids) if self.guesses else None
        if self.guesses:
            drafter = self._guessing.drafter(
                prompt, held, claim, request.path, source.language, request.max_tokens
            )
        if recalled is not None:
            guess, tally = Guess(recalled.tokens), Tally()
            return Start(
                claim.sequence,
                recalled.rows,
                guess,
                drafter,
                self._lookahead,
                tally,
                recalled=True,
                branches=recalled.branches,
            )
        if drafter is not None:
            guess = self._lookahead.best(self._guessing.first(held, claim, drafter))
            guess = replace(guess, tokens=tuple(decoding.worth((), guess.tokens)))
        new = held.ids[claim.cached :]
        rows = claim.sequence.extend_guessing(new, guess.tokens, decoding.interrupt)
        tally = Tally(drafted=len(guess.tokens))
        return Start(claim.sequence, rows, guess, drafter, self._lookahead, tally)

    def _likeliest(
        self, greedy: Continuation, decoding: Decoding, held: Held, start: Start
    ) -> Continuation:
        search = Search(decoding, start.sequence, len(held.ids), start.branches)
        found = search.better(greedy)
        start.tally.branched += search.steps
        return found

    def _remember(
        self, request: Complete, held: Held, claim: Claim, said: Continuation, start: Start
    ) -> None:
        """For the next key. Of several candidates the last is what the sequence holds."""
        self._guessing.remember(held, claim.sequence, said.tokens)
        if request.candidates == 1:
            self._recollection.keep(
                claim.sequence, held.ids, said.tokens, said.rows, start.branches
            )

    def _held(self, prompt: Prompt, request: Complete) -> Held:
        """Candidates branch at the first token: few agree with a mark that was given back."""
        if self.heals:
            return Held.back(prompt, self._detokenizer, marks=request.candidates == 1)
        return Held.nothing(prompt)

    def _decoding(
        self, request: Complete, source: Source, held: Held, interrupt: Callable[[], None]
    ) -> Decoding:
        typed = [(token, self._detokenizer.bytes_of(token)) for token in held.word]
        return Decoding(
            detokenizer=self._detokenizer,
            stop_ids=self._stop_ids,
            rules=StopRules(
                max_lines=request.max_lines,
                stops=tuple(clean(stop).encode() for stop in request.stop if stop),
                next_line=cursor_ends_line(source.suffix),
            ),
            sampling=Sampling(
                request.temperature, request.top_k, request.top_p, request.repetition_penalty
            ),
            max_tokens=request.max_tokens,
            agreement=Agreement(typed, self._vocabulary),
            interrupt=interrupt,
        )


def _wants_a_line(request: Complete) -> bool:
    """Whether one greedy line is asked for."""
    greedy = request.temperature <= 0 and request.repetition_penalty == 1
    return greedy and request.candidates == 1 and request.max_lines == 1


def suggest(continuation: Continuation, source: Source) -> Suggestion:
    """What remains of a continuation; its text is empty where nothing does."""
    unfinished = continuation.stopped_by in ("length", "context")
    text = refine(readable(continuation.kept), source.prefix, source.suffix, unfinished=unfinished)
    probabilities = continuation.probabilities_within(len(text.encode()))
    if source.line_end != "\n":
        text = text.replace("\n", source.line_end)
    return Suggestion(text, math.prod(probabilities), probabilities, continuation.stopped_by)


def clean(text: str) -> str:
    """The text with lone surrogates, which have no UTF-8, as question marks."""
    return text.encode("utf-8", "replace").decode()


def _raise_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled
