"""A model that a test writes down itself, and a byte-level tokenizer to go with it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SPECIALS = ["<python>", "<java>", "<suffix>", "<prefix>", "<middle>", "<eos>"]
PAIRS = [(")", ":"), ("):", "Ċ"), ("Ċ", "Ġ"), ("ĊĠ", "Ġ"), ("ĊĠĠ", "Ġ"), ("ĊĠĠĠ", "Ġ")]

NextToken = Callable[[tuple[int, ...]], Mapping[int, float]]


class FakeGraph:
    """A model by its answer to the whole past: token → probability, the rest shared out evenly.

    The past is read back from the cache, so a wrong roll-back gives a wrong answer. `passes`
    lists (past, tokens) of each run.
    """

    def __init__(self, answer: NextToken, vocabulary: int, capacity: int = 512) -> None:
        self.answer = answer
        self.vocabulary = vocabulary
        self.capacity = capacity
        self.passes: list[tuple[int, int]] = []

    def new_cache(self) -> NDArray[np.int64]:
        return np.full(self.capacity, -1, np.int64)

    def run(
        self, cache: NDArray[np.int64], past: int, ids: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        self.passes.append((past, len(ids)))
        cache[past : past + len(ids)] = ids
        given = self.answer(tuple(int(token) for token in cache[: past + len(ids)]))
        rest = max(0.0, 1.0 - sum(given.values())) / self.vocabulary
        chances = np.full(self.vocabulary, max(rest, 1e-12))
        for token, chance in given.items():
            chances[token] = chance
        return np.log(chances).astype(np.float32)


@pytest.fixture(scope="session")
def fake_graph() -> type[FakeGraph]:
    return FakeGraph


@pytest.fixture(scope="session")
def byte_tokenizer() -> Tokenizer:
    """One token per byte, but line break and indentation, and `):` and `):⏎`, are one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *("".join(pair) for pair in PAIRS)]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, PAIRS))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIALS)
    return tokenizer


@pytest.fixture(scope="session")
def scripted(byte_tokenizer: Tokenizer) -> Callable[[Mapping[str, float]], FakeGraph]:
    """Makes a model that continues `<middle>` with one of the texts given, by their weights.

    A text is closed by `<eos>`.
    """
    middle, eos = (byte_tokenizer.token_to_id(name) for name in ("<middle>", "<eos>"))

    def encode(text: str) -> list[int]:
        return [*byte_tokenizer.encode(text, add_special_tokens=False).ids, eos]

    def make(texts: Mapping[str, float], **options: Any) -> FakeGraph:
        scripts = [(encode(text), weight) for text, weight in texts.items()]
        return FakeGraph(
            lambda past: vote(scripts, past[past.index(middle) + 1 :] if middle in past else ()),
            byte_tokenizer.get_vocab_size(),
            **options,
        )

    return make


def vote(scripts: Sequence[tuple[list[int], float]], written: Sequence[int]) -> dict[int, float]:
    """Token → probability by the scripts that begin with what is written."""
    chances: dict[int, float] = {}
    for tokens, weight in scripts:
        if tokens[: len(written)] == list(written) and len(tokens) > len(written):
            token = tokens[len(written)]
            chances[token] = chances.get(token, 0.0) + weight
    total = sum(chances.values())
    return {token: chance / total for token, chance in chances.items()}
