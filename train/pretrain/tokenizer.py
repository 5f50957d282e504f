"""A byte-level BPE made for code.

Line breaks with the indentation that follows are one piece, so that a new line costs one token;
digits come in groups of up to three; a word may carry one leading space or punctuation mark. Any
text comes back exactly. Written as a plain `tokenizer.json`. Knows no model.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.pieces import PATTERN
from autocoder.train.pretrain.prepare import texts_by_language

RESERVED = 32
BYTES = 256
NAMED = (
    "<eos>",
    "<python>",
    "<java>",
    "<suffix>",
    "<prefix>",
    "<middle>",
    "<file>",
    "<path>",
    "<pad>",
)
LONGEST_TOKEN = 48
MEASURED_BYTES = 1_000_000  # of each language


def special_tokens() -> list[str]:
    """The special tokens in the order of their ids, 0 … 31."""
    return [*NAMED, *(f"<reserved{i}>" for i in range(RESERVED - len(NAMED)))]


def untrained() -> Tokenizer:
    """The pipeline without merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(texts: Iterable[str], vocabulary: int = 24_576) -> Tokenizer:
    """Train on texts; `vocabulary` counts the special tokens and the 256 bytes too.

    The tokenizer is smaller where the texts have no more pairs to merge. Raises ConfigError where
    there is no text, or `vocabulary` has no room for the special tokens and the bytes.
    """
    if vocabulary < RESERVED + BYTES:
        raise ConfigError(
            f"a vocabulary of {vocabulary} is too small: {RESERVED} special tokens and {BYTES} "
            f"bytes need {RESERVED + BYTES}"
        )
    texts = iter(texts)
    first = next((text for text in texts if text), None)
    if first is None:
        raise ConfigError("the sample holds no text; `autocoder train corpus --only sample` does")
    tokenizer = untrained()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[AddedToken(token, special=True) for token in special_tokens()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=LONGEST_TOKEN,
        show_progress=True,
    )
    tokenizer.train_from_iterator(chain((first,), texts), trainer)
    return tokenizer


def warn_if_short(reached: int, vocabulary: int) -> None:
    """Say on stderr where a training ended below the vocabulary that was asked for."""
    if reached < vocabulary:
        print(
            f"only {reached} of {vocabulary} tokens: the sample has nothing more to merge; "
            "give a larger one, or a smaller vocabulary",
            file=sys.stderr,
        )


def texts_of(path: Path) -> Iterator[str]:
    """The `text` of each line of a JSONL file. Raises ConfigError where there is none."""
    if not path.is_file():
        raise ConfigError(f"no file {path}; `autocoder train corpus --only sample` writes one")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                text = json.loads(line)["text"]
            except (ValueError, TypeError, LookupError) as error:
                raise ConfigError(f"{path}, line {number} is no JSON with a `text`") from error
            if not isinstance(text, str):
                raise ConfigError(f"{path}, line {number}: `text` is no string")
            yield text


def bytes_per_token(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """How many bytes of text one token stands for, on average."""
    tokens = sum(len(each.ids) for each in tokenizer.encode_batch(list(texts)))
    return sum(len(text.encode()) for text in texts) / max(tokens, 1)


def main(arguments: Sequence[str]) -> int:
    """`autocoder train tokenizer SAMPLE.jsonl -o tokenizer.json`."""
    parser = argparse.ArgumentParser(prog="autocoder train tokenizer", description=__doc__)
    parser.add_argument("sample", type=Path, help="JSONL with a `text` in each line")
    parser.add_argument("-o", "--output", type=Path, required=True, help="tokenizer.json to write")
    parser.add_argument("--vocabulary", type=int, default=24_576, help="tokens in all")
    parser.add_argument("--measure", type=Path, help="shard whose bytes per token are printed")
    options = parser.parse_args(arguments)
    tokenizer = train(texts_of(options.sample), options.vocabulary)
    warn_if_short(tokenizer.get_vocab_size(), options.vocabulary)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(options.output))
    print(f"{tokenizer.get_vocab_size()} tokens in {options.output}")
    if options.measure:
        for language, texts in sorted(texts_by_language([options.measure], MEASURED_BYTES).items()):
            print(f"{language}: {bytes_per_token(tokenizer, texts):.2f} bytes per token")
    return 0
