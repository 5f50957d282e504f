"""A small byte-level BPE tokenizer for a fresh model, trained on the sources at hand.

For a model made from nothing on one folder of code; `autocoder train tokenizer` makes the serious
one. Knows texts; knows no model.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<eos>"


def train_vocabulary(texts: Iterable[str], size: int) -> Tokenizer:
    """A tokenizer of at most `size` tokens; every text encodes, for every byte is a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(END, special=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
