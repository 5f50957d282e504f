"""Opens a model folder: its graph on the best provider, its tokenizer, and the completer over them.

What can be done at once is: hashing, reading the tokenizer and opening the session. Knows model
folders and sessions; knows no request.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from tokenizers import Tokenizer

from autocoder.daemon import model_folder
from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.cuda_loading import device_or_none, serving
from autocoder.daemon.detokenizer import Detokenizer
from autocoder.daemon.engine import CACHE_BYTES, Engine
from autocoder.daemon.engine_graph import OnnxGraph
from autocoder.daemon.engine_session import CPU, CUDA, PREFILL, OpenSession, open_session
from autocoder.daemon.errors import ModelError
from autocoder.daemon.model_folder import ModelFolder
from autocoder.daemon.prefill_loading import PrefillLoading
from autocoder.daemon.prompt import Budget, PromptBuilder
from autocoder.daemon.repository_index import RepositoryIndex
from autocoder.daemon.side_by_side import Begun

SPECIAL_TOKENS = 8  # more than any prompt format adds
LONGEST_TEXT = 64  # tokens kept free for a suggestion when the budget fills the context
LONGEST_ANSWER = 512  # tokens, as docs/protocol.md allows
CHUNK = {
    False: 128,
    True: 512,
}  # tokens a pass, on the CPU and on CUDA: how long a cancelled request lasts


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
    graphs = {name: model.graph(name) for name in model.graphs}
    budget = fitted(budget or Budget(), model.context)
    room = capacity(budget, model.context)
    try:
        device = device_or_none(graphs, provider, room, threads, cache_bytes)
        opening = Begun(lambda: None if device else open_session(graphs, provider, threads))
        # Behind the session, which leaves the interpreter alone; reading a tokenizer does not.
        tokenizer, detokenizer = detokenized(load_tokenizer(model.tokenizer))
        opened = opening.result()
    finally:
        checked.result()  # a damaged file is what there is to say, if it is damaged
    builder = PromptBuilder(tokenizer, model.prompt, budget)
    index = RepositoryIndex(builder.encode) if repository else None
    if device is not None:
        check_vocabulary(model, tokenizer, device.graph.vocabulary)
        again = partial(_on_cpu, folder, threads, budget, cache_bytes, repository)
        return serving(device, builder, detokenizer, model.info, again, index)
    assert opened is not None
    graph = OnnxGraph(opened.session, room, cuda=opened.provider == CUDA)
    check_vocabulary(model, tokenizer, graph.vocabulary)
    afterwards = prefill_opened(model, graph, opened, hurry)
    return ModelCompleter(
        Engine(graph, cache_bytes=cache_bytes, chunk=CHUNK[opened.provider == CUDA]),
        builder,
        detokenizer,
        model.info,
        provider=opened.provider,
        threads=opened.threads,
        reason=opened.reason,
        afterwards=afterwards,
        index=index,
    )


def _on_cpu(
    folder: Path | None,
    threads: int | None,
    budget: Budget,
    cache_bytes: int,
    repository: bool,
    reason: str,
) -> ModelCompleter:
    """The same model on the CPU, because CUDA failed."""
    completer = load_completer(
        folder, "cpu", threads, budget, cache_bytes, hurry=True, repository=repository
    )
    completer.reason = reason
    return completer


def check_vocabulary(model: ModelFolder, tokenizer: Tokenizer, vocabulary: int) -> None:
    """Raises ModelError where a tokenizer has tokens that the graph does not know."""
    if tokenizer.get_vocab_size() > vocabulary:
        raise ModelError(
            f"the tokenizer in {model.path} has {tokenizer.get_vocab_size()} tokens, the graph "
            f"{vocabulary}; export the model again"
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


def detokenized(tokenizer: Tokenizer) -> tuple[Tokenizer, Detokenizer]:
    """A tokenizer and its detokenizer, with the tables made that the first request needs."""
    detokenizer = Detokenizer(tokenizer)
    detokenizer.vocabulary  # noqa: B018
    return tokenizer, detokenizer


def fitted(budget: Budget, context: int) -> Budget:
    """The budget cut in proportion, so that prompt and suggestion fit a model's context."""
    room = max(2, context - SPECIAL_TOKENS - min(LONGEST_TEXT, context // 4))
    wanted = budget.prefix_tokens + budget.suffix_tokens
    if wanted <= room:
        return budget
    prefix = max(1, budget.prefix_tokens * room // wanted)
    return replace(budget, prefix_tokens=prefix, suffix_tokens=room - prefix)


def capacity(budget: Budget, context: int) -> int:
    """Tokens of a cache: the longest prompt and the longest suggestion, within the context."""
    prompt = budget.prefix_tokens + budget.suffix_tokens + SPECIAL_TOKENS
    return min(context, prompt + LONGEST_ANSWER)
