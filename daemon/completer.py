"""Text in, suggestions out: the prompt, the decoding, the stops and the filters of one request.

Knows the protocol's requests as data and a model; knows no sockets and no queue.
"""

import math
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter

from tokenizers import Tokenizer

from autocoder.daemon import model_folder
from autocoder.daemon.decoding import Decoding, Draft
from autocoder.daemon.detokenizer import Detokenizer, readable
from autocoder.daemon.engine import CACHE_BYTES, Engine
from autocoder.daemon.engine_graph import OnnxGraph
from autocoder.daemon.engine_session import CUDA, open_session
from autocoder.daemon.errors import ModelError
from autocoder.daemon.filters import refine
from autocoder.daemon.languages import language_of
from autocoder.daemon.live_sequence import LiveSequence
from autocoder.daemon.prompt import Budget, PromptBuilder
from autocoder.daemon.protocol import (
    Cancelled,
    Complete,
    Completion,
    ModelInfo,
    Suggestion,
    Timing,
)
from autocoder.daemon.sampling import Logits, Sampling, most_probable, penalised
from autocoder.daemon.stopping import StopRules, cursor_ends_line

SPECIAL_TOKENS = 8  # more than any prompt format adds
LONGEST_TEXT = 64  # tokens kept free for a suggestion when the budget fills the context
LONGEST_ANSWER = 512  # tokens, as docs/protocol.md allows
CHUNK = {
    False: 64,
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


class ModelCompleter:
    """Answers requests with one model. `reason` says why its provider is not CUDA, "" if it is."""

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
    ) -> None:
        self.info = info
        self.provider = provider
        self.threads = threads
        self.reason = reason
        self._engine = engine
        self._builder = builder
        self._detokenizer = detokenizer
        self._stop_ids = builder.stop_ids | detokenizer.special

    def complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        """See `Completer.complete`."""
        started = perf_counter()
        source = Source.of(request)
        prompt = self._builder.build(source.language, source.prefix, source.suffix)
        interrupt = partial(_raise_if, cancelled)
        sequence, cached, logits = self._engine.prefill(prompt.ids, interrupt, request.document)
        prompted = perf_counter()
        decoding = self._decoding(request, source, interrupt)
        found: dict[str, Suggestion] = {}
        passes = 0
        for draft in drafts(request, decoding, sequence, logits):
            passes += draft.passes
            suggestion = suggest(draft, source)
            if suggestion.text:
                found.setdefault(suggestion.text, suggestion)
            if len(found) == request.candidates:
                break
        ended = perf_counter()
        return Completion(
            tuple(sorted(found.values(), key=lambda suggestion: -suggestion.probability)),
            prompt_tokens=len(prompt.ids),
            cached_tokens=cached,
            generated_tokens=passes,
            ms=Timing(
                prompt=1000 * (prompted - started),
                decode=1000 * (ended - prompted),
                total=1000 * (ended - started),
            ),
        )

    def _decoding(
        self, request: Complete, source: Source, interrupt: Callable[[], None]
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
            interrupt=interrupt,
        )


def drafts(
    request: Complete, decoding: Decoding, sequence: LiveSequence, logits: Logits
) -> Iterator[Draft]:
    """Continuations of `sequence`, one after the other, each after rolling the last one back.

    Twice as many as candidates are wanted, since some will be empty or alike. Greedily, they
    branch at the first token, the most probable one first; sampled, each has its own seed.
    """
    length, logits = len(sequence.ids), logits.copy()
    seed = secrets.randbits(64) if request.seed is None else request.seed
    attempts = 1 if request.candidates == 1 else 2 * request.candidates
    firsts: list[int | None] = [None] * attempts
    if request.temperature <= 0 and attempts > 1:
        firsts = list(first_tokens(decoding, sequence, logits, attempts))
    for number, first in enumerate(firsts):
        sequence.rewind(length)
        yield decoding.draft(sequence, logits, Random(f"{seed} {number}"), first)


def first_tokens(
    decoding: Decoding, sequence: LiveSequence, logits: Logits, count: int
) -> Iterator[int]:
    """The greedy choice, then the next best tokens that do not end the text at once."""
    logits = penalised(logits, sequence.ids, decoding.sampling.repetition_penalty)
    best, *others = most_probable(logits, count + len(decoding.stop_ids))
    yield best
    yield from [token for token in others if token not in decoding.stop_ids][: count - 1]


def suggest(draft: Draft, source: Source) -> Suggestion:
    """The suggestion that remains of a draft; its text is empty where nothing does."""
    unfinished = draft.stopped_by in ("length", "context")
    text = refine(readable(draft.kept), source.prefix, source.suffix, unfinished=unfinished)
    probabilities = draft.probabilities_within(len(text.encode()))
    if source.line_end != "\n":
        text = text.replace("\n", source.line_end)
    return Suggestion(text, math.prod(probabilities), probabilities, draft.stopped_by)


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
) -> ModelCompleter:
    """Load a model folder, by default the bundled one, and open its graph on the best provider.

    Raises ModelError for a folder that cannot be served, ConfigError for a bad setting.
    """
    model = model_folder.load(folder)
    graphs = {name: model.graph(name) for name in model.graphs}
    opened = open_session(graphs, provider, threads)
    budget = fitted(budget or Budget(), model.context)
    graph = OnnxGraph(opened.session, capacity(budget, model.context), cuda=opened.provider == CUDA)
    tokenizer = load_tokenizer(model.tokenizer)
    if tokenizer.get_vocab_size() > graph.vocabulary:
        raise ModelError(
            f"the tokenizer in {model.path} has {tokenizer.get_vocab_size()} tokens, the graph "
            f"{graph.vocabulary}; export the model again"
        )
    return ModelCompleter(
        Engine(graph, cache_bytes=cache_bytes, chunk=CHUNK[opened.provider == CUDA]),
        PromptBuilder(tokenizer, model.prompt, budget),
        Detokenizer(tokenizer),
        model.info,
        provider=opened.provider,
        threads=opened.threads,
        reason=opened.reason,
    )


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
