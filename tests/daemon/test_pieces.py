"""A text tokenised piece by piece has the tokens that it has as a whole."""

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from autocoder.daemon import model_folder
from autocoder.daemon.loading import load_tokenizer
from autocoder.daemon.pieces import BREAK, MOST_HEADS, MOST_PIECES, Pieces

SOURCES = sorted(Path(__file__).parents[1].rglob("*.py"))[:25]
ODD = "a\n\n \t\r\n\r\n  b \n x\u00a0\n\u2028\ny\x1c\nz\x85\n<eos>\n\n\n\u00e9\n\ud7ff\n)\n \n\t\n"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The bundled model's."""
    return load_tokenizer(model_folder.load(model_folder.bundled()).tokenizer)


@pytest.fixture(scope="module")
def pieces(tokenizer: Tokenizer) -> Pieces:
    return Pieces(tokenizer)


def assert_alike(pieces: Pieces, tokenizer: Tokenizer, text: str) -> None:
    encoding, encoded = tokenizer.encode(text, add_special_tokens=False), pieces.encode(text)
    assert encoded.ids == encoding.ids
    assert list(encoded.starts) == [start for start, _ in encoding.offsets]


def test_the_bundled_tokenizer_is_known(pieces: Pieces) -> None:
    assert pieces.divides


def test_real_sources_cut_anywhere(pieces: Pieces, tokenizer: Tokenizer) -> None:
    chance = random.Random(1)
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        start, end = sorted((chance.randrange(len(text)), chance.randrange(len(text))))
        for changed in (text[start:end], text[start:end].replace("\n", "\r\n"), text[start:] + "x"):
            assert_alike(pieces, tokenizer, changed)


def test_odd_characters_around_breaks(pieces: Pieces, tokenizer: Tokenizer) -> None:
    chance = random.Random(2)
    for _ in range(400):
        text = "".join(chance.choices(ODD + "\n\n\n ab_7(", k=30))
        assert_alike(pieces, tokenizer, text)


def test_what_was_seen_is_not_tokenised_again(tokenizer: Tokenizer) -> None:
    class Counting:
        normalizer = tokenizer.normalizer
        pre_tokenizer = tokenizer.pre_tokenizer

        def encode(self, text: str, **options: bool) -> object:
            asked.append(text)
            return tokenizer.encode(text, **options)

    asked: list[str] = []
    counted = Pieces(Counting())
    counted.encode("def f():\n    return 1\n")
    asked.clear()
    counted.encode("def f():\n    return 12")
    assert asked == ["\n    return 12"]


def test_memory_is_bounded(pieces: Pieces) -> None:
    pieces.encode("".join(f"line_{number}\n" for number in range(MOST_PIECES + 100)))
    assert len(pieces._known) <= MOST_PIECES
    for number in range(MOST_HEADS + 10):
        pieces.encode(f"head_{number}\nlast")
    assert len(pieces._heads) <= MOST_HEADS


def test_all_above_the_last_line_is_put_together_once(pieces: Pieces) -> None:
    once = pieces.encode("def f(a):\n    b = a\n    ret")
    before = {text: id(found) for text, found in pieces._heads.items()}
    again = pieces.encode("def f(a):\n    b = a\n    return b")
    assert before == {text: id(found) for text, found in pieces._heads.items()}
    assert again.ids[: len(once.ids) - 1] == once.ids[:-1]


def test_another_tokenizer_gets_the_whole_text() -> None:
    other = Tokenizer(models.BPE())
    assert not Pieces(other).divides
    other.pre_tokenizer = pre_tokenizers.ByteLevel()
    assert not Pieces(other).divides
    assert BREAK.split("a\nb\n\nc") == ["a", "\nb", "\n\nc"]
