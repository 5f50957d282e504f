"""Text in, suggestions out: the prompt, the decoding, the stops and the filters of one request.

Knows the protocol's requests as data and a model; knows no sockets and no queue.
"""

import math
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter
from weakref import WeakKeyDictionary

import numpy as np
from tokenizers import Tokenizer

from autocoder.daemon import model_folder
from autocoder.daemon.decoding import Continuation, Decoding
from autocoder.daemon.detokenizer import Detokenizer, readable
from autocoder.daemon.drafting import Drafter, Guess
from autocoder.daemon.engine import CACHE_BYTES, Claim, Engine
from autocoder.daemon.engine_graph import OnnxGraph
from autocoder.daemon.engine_session import CPU, CUDA, PREFILL, OpenSession, open_session
from autocoder.daemon.errors import ModelError
from autocoder.daemon.filters import refine
from autocoder.daemon.healing import Agreement, unfinished_word
from autocoder.daemon.languages import language_of
from autocoder.daemon.live_sequence import LiveSequence, Rows
from autocoder.daemon.lookahead import AGAIN, MOST_GUESSES, Lookahead
from autocoder.daemon.model_folder import ModelFolder
from autocoder.daemon.prefill_loading import PrefillLoading
from autocoder.daemon.prompt import Budget, Prompt, PromptBuilder
from autocoder.daemon.protocol import (
    Cancelled,
    Complete,
    Completion,
    ModelInfo,
    Suggestion,
    Timing,
)
from autocoder.daemon.repository_index import RepositoryIndex
from autocoder.daemon.sampling import Logits, Sampling, most_probable, penalised
from autocoder.daemon.side_by_side import Begun
from autocoder.daemon.speculation import Speculation, Tally
from autocoder.daemon.stopping import StopRules, cursor_ends_line

SPECIAL_TOKENS = 8  # more than any prompt format adds
LONGEST_TEXT = 64  # tokens kept free for a suggestion when the budget fills the context
LONGEST_ANSWER = 512  # tokens, as docs/protocol.md allows
MOST_HELD = 8  # tokens before the cursor that healing looks at
FEW_NEW = (
    15  # tokens of a prompt that may share a pass with guesses; more have a graph of their own
)
REMEMBERED = 16  # suggestions that guesses are drawn from
LEAD = 8  # tokens before a suggestion that are remembered with it
AS_TYPED = 8  # the match that a word is worth which was typed as its tokens say
CHUNK = {
    False: 128,
    True: 512,
}  # tokens a pass, on the CPU and on CUDA: how long a cancelled request lasts


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
        line_end = "\r\n" if "\r\n" in request.prefix else "\n"
        prefix, suffix = (
            clean(text).replace("\r\n", "\n") for text in (request.prefix, request.suffix)
        )
        return Source(prefix, suffix, (language or "").lower(), line_end)


@dataclass(frozen=True)
class Held:
    """A prompt without the tokens of the unfinished word before the cursor, and their text."""

    ids: tuple[int, ...]
    before: tuple[int, ...]  # the prefix's own tokens that remain
    word: tuple[int, ...]
    text: bytes

    @staticmethod
    def back(prompt: Prompt, detokenizer: Detokenizer) -> "Held":
        start, stop = prompt.prefix_start, prompt.prefix_stop
        prefix = prompt.ids[start:stop]
        pieces = [detokenizer.bytes_of(token) for token in prefix[-MOST_HELD:]]
        kept = len(prefix) - unfinished_word(pieces)
        text = b"".join(pieces[len(pieces) - len(prefix) + kept :])
        ids = prompt.ids[: start + kept] + prompt.ids[stop:]
        return Held(ids, prefix[:kept], prefix[kept:], text)


@dataclass(frozen=True)
class Said:
    """What a prompt was continued with, and the prefix's tokens before that."""

    prompt: tuple[int, ...]
    before: tuple[int, ...]
    tokens: tuple[int, ...]

    def with_lead(self) -> tuple[int, ...]:
        return (*self.before[-LEAD:], *self.tokens)


class ModelCompleter:
    """Answers requests with one model. `reason` says why its provider is not CUDA, "" if it is.

    `heals` and `guesses` switch token healing and speculation off, for comparisons.
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
        self._engine = engine
        self._builder = builder
        self._detokenizer = detokenizer
        self._vocabulary = detokenizer.vocabulary
        self._stop_ids = builder.stop_ids | detokenizer.special
        self._lookahead = Lookahead()
        self._index = index if self.guesses else None
        self._last: WeakKeyDictionary[LiveSequence, Said] = WeakKeyDictionary()
        self._said: deque[Said] = deque(maxlen=REMEMBERED)

    def complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        """See `Completer.complete`."""
        if self._index is None:
            return self._complete(request, cancelled)
        self._index.busy()
        try:
            return self._complete(request, cancelled)
        finally:
            self._index.idle()

    def _complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        started = perf_counter()
        source = Source.of(request)
        prompt = self._builder.build(source.language, source.prefix, source.suffix)
        held = self._held(prompt)
        decoding = self._decoding(request, source, held, partial(_raise_if, cancelled))
        claim = self._engine.claim(held.ids, request.document)
        drafter = self._drafter(request, source, prompt, held, claim) if self.guesses else None
        guess = self._first_guess(held, claim, drafter, decoding)
        rows = claim.sequence.extend_guessing(
            held.ids[claim.cached :], guess.tokens, decoding.interrupt
        )
        prompted = perf_counter()
        tally = Tally(drafted=len(guess.tokens))
        found: dict[str, Suggestion] = {}
        passes = 0
        said: tuple[int, ...] = ()
        start = Start(claim.sequence, rows, guess, drafter, self._lookahead, tally)
        for continuation in continuations(request, decoding, start):
            passes += len(continuation.tokens)
            said = said or continuation.tokens
            suggestion = suggest(continuation, source)
            if suggestion.text:
                found.setdefault(suggestion.text, suggestion)
            if len(found) == request.candidates:
                break
        self._last[claim.sequence] = Said(held.ids, held.before, said)
        self._said.append(self._last[claim.sequence])
        ended = perf_counter()
        self._afterwards()
        return Completion(
            tuple(sorted(found.values(), key=lambda suggestion: -suggestion.probability)),
            prompt_tokens=len(held.ids),
            cached_tokens=claim.cached,
            generated_tokens=passes,
            drafted_tokens=tally.drafted,
            accepted_tokens=tally.accepted,
            ms=Timing(
                prompt=1000 * (prompted - started),
                decode=1000 * (ended - prompted),
                total=1000 * (ended - started),
            ),
        )

    def _held(self, prompt: Prompt) -> Held:
        if self.heals:
            return Held.back(prompt, self._detokenizer)
        return Held(prompt.ids, prompt.ids[prompt.prefix_start : prompt.prefix_stop], (), b"")

    def _drafter(
        self, request: Complete, source: Source, prompt: Prompt, held: Held, claim: Claim
    ) -> Drafter:
        """Guesses from prompt, other live sequences, what was said lately, and the repository."""
        suffix = prompt.ids[: prompt.prefix_start]
        said = [each.with_lead() for each in self._said]
        others = [*self._engine.others(claim.sequence), *said, suffix]
        library = self._index.around(request.path, source.language) if self._index else None
        return Drafter(held.before, others, len(held.word) + request.max_tokens, library)

    def _first_guess(
        self, held: Held, claim: Claim, drafter: Drafter | None, decoding: Decoding
    ) -> Guess:
        """What to judge in the prompt's last pass; nothing where the prompt is mostly new.

        The same prompt again will be continued as before, and a word given back as it was typed.
        """
        new = held.ids[claim.cached :]
        if drafter is None or len(new) > FEW_NEW or claim.sequence.room <= len(new) + MOST_GUESSES:
            return Guess()
        guesses = drafter.guesses(MOST_GUESSES)
        said = self._last.get(claim.sequence)
        if said and said.prompt == held.ids:
            guesses = [Guess(said.tokens, AGAIN)]
        elif held.word[:-1]:
            guesses = [Guess(held.word[:-1], AS_TYPED)]
        guess = self._lookahead.best(guesses)
        return replace(guess, tokens=tuple(decoding.worth((), guess.tokens)))

    def _decoding(
        self, request: Complete, source: Source, held: Held, interrupt: Callable[[], None]
    ) -> Decoding:
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
            agreement=Agreement(held.text, self._vocabulary),
            interrupt=interrupt,
        )


@dataclass(frozen=True)
class Start:
    """The end of a prompt, from which every candidate sets out."""

    sequence: LiveSequence
    rows: Rows
    guess: Guess
    drafter: Drafter | None
    lookahead: Lookahead
    tally: Tally


def continuations(request: Complete, decoding: Decoding, start: Start) -> Iterator[Continuation]:
    """Continuations of a prompt, one after the other, each after rolling the last one back.

    Twice as many as candidates are wanted, since some will be empty or alike. Greedily, they
    branch at the first token, the most probable one first; sampled, each has its own seed.
    """
    length = len(start.sequence.ids) - len(start.guess.tokens)
    seed = secrets.randbits(64) if request.seed is None else request.seed
    attempts = 1 if request.candidates == 1 else 2 * request.candidates
    firsts: list[int | None] = [None] * attempts
    again = start
    if attempts > 1:
        again = replace(start, rows=start.rows[:1].copy(), guess=Guess())
        if request.temperature <= 0:
            logits = decoding.agreement.weighed(again.rows[0], 0)
            firsts = list(first_tokens(decoding, start.sequence.ids[:length], logits, attempts))
    for number, first in enumerate(firsts):
        if number:
            start = again
            start.sequence.rewind(length)
            if start.drafter:
                start.drafter.reset()
        ahead = Speculation(
            start.sequence, start.rows, start.guess, start.drafter, start.lookahead, start.tally
        )
        yield decoding.continuation(ahead, Random(f"{seed} {number}"), first)
        ahead.finish()


def first_tokens(
    decoding: Decoding, ids: Sequence[int], logits: Logits, count: int
) -> Iterator[int]:
    """The greedy choice, then the next best tokens that do not end the text at once."""
    logits = penalised(logits, ids, decoding.sampling.repetition_penalty)
    best, *others = most_probable(logits, count + len(decoding.stop_ids))
    yield best
    others = [t for t in others if t not in decoding.stop_ids and np.isfinite(logits[t])]
    yield from others[: count - 1]


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


def fitted(budget: Budget, context: int) -> Budget:
    """The budget cut in proportion, so that prompt and suggestion fit a model's context."""
    room = max(2, context - SPECIAL_TOKENS - min(LONGEST_TEXT, context // 4))
    wanted = budget.prefix_tokens + budget.suffix_tokens
    if wanted <= room:
        return budget
    prefix = max(1, budget.prefix_tokens * room // wanted)
    return replace(budget, prefix_tokens=prefix, suffix_tokens=room - prefix)


def load_completer(
    folder: Path | None = None,
    provider: str = "auto",
    threads: int | None = None,
    budget: Budget | None = None,
    cache_bytes: int = CACHE_BYTES,
    hurry: bool = False,
    repository: bool = True,
) -> ModelCompleter:
    """Load a model folder, by default the bundled one, and open its graph on the best provider.

    In a `hurry` the CPU's graph for long prompts is opened behind the first answer only.
    `repository`: guesses may be drawn from the source files around a document. Raises ModelError
    for a folder that cannot be served, ConfigError for a bad setting.
    """
    model = model_folder.load(folder, check_hashes=False)
    checked = Begun(model.check_hashes)
    reading = Begun(lambda: detokenized(load_tokenizer(model.tokenizer)))
    graphs = {name: model.graph(name) for name in model.graphs}
    try:
        opened = open_session(graphs, provider, threads)
    finally:
        checked.result()  # a damaged file is what there is to say, if it is damaged
    tokenizer, detokenizer = reading.result()
    budget = fitted(budget or Budget(), model.context)
    graph = OnnxGraph(opened.session, capacity(budget, model.context), cuda=opened.provider == CUDA)
    if tokenizer.get_vocab_size() > graph.vocabulary:
        raise ModelError(
            f"the tokenizer in {model.path} has {tokenizer.get_vocab_size()} tokens, the graph "
            f"{graph.vocabulary}; export the model again"
        )
    afterwards = prefill_opened(model, graph, opened, hurry)
    builder = PromptBuilder(tokenizer, model.prompt, budget)
    return ModelCompleter(
        Engine(graph, cache_bytes=cache_bytes, chunk=CHUNK[opened.provider == CUDA]),
        builder,
        detokenizer,
        model.info,
        provider=opened.provider,
        threads=opened.threads,
        reason=opened.reason,
        afterwards=afterwards,
        index=RepositoryIndex(builder.encode) if repository else None,
    )


def prefill_opened(
    model: ModelFolder, graph: OnnxGraph, opened: OpenSession, hurry: bool
) -> Callable[[], None]:
    """Open the prefill graph where the model has one for the provider; in a hurry, when called."""
    if opened.provider != CPU or PREFILL not in model.graphs:
        return lambda: None
    loading = PrefillLoading(graph, model.graph(PREFILL), opened.threads)
    if hurry:
        return loading.start
    loading.load()
    return lambda: None


def detokenized(tokenizer: Tokenizer) -> tuple[Tokenizer, Detokenizer]:
    """A tokenizer and its detokenizer, with the tables made that the first request needs."""
    detokenizer = Detokenizer(tokenizer)
    detokenizer.vocabulary  # noqa: B018
    return tokenizer, detokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer, deaf to special tokens in source text. Raises ModelError if it is damaged."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower class
        raise ModelError(f"cannot read {path}: {error}; export the model again") from error
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def capacity(budget: Budget, context: int) -> int:
    """Tokens of a cache: the longest prompt and the longest suggestion, within the context."""
    prompt = budget.prefix_tokens + budget.suffix_tokens + SPECIAL_TOKENS
    return min(context, prompt + LONGEST_ANSWER)
