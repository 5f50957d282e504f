"""Tokens to bytes, for both common kinds of vocabulary, and bytes to text fit for an editor."""

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models

from autocoder.daemon.detokenizer import Detokenizer, readable


def test_every_byte_of_a_byte_level_vocabulary(byte_tokenizer: Tokenizer) -> None:
    detokenizer = Detokenizer(byte_tokenizer)
    text = "naïve\t日本\n    x):\n🦊"
    ids = byte_tokenizer.encode(text).ids
    assert b"".join(map(detokenizer.bytes_of, ids)).decode() == text
    single = [detokenizer.bytes_of(token) for token in range(256)]
    assert sorted(single) == [bytes([byte]) for byte in range(256)]


def test_special_tokens_and_unknown_ids_have_no_bytes(byte_tokenizer: Tokenizer) -> None:
    detokenizer = Detokenizer(byte_tokenizer)
    eos = byte_tokenizer.token_to_id("<eos>")
    assert eos in detokenizer.special
    assert detokenizer.bytes_of(eos) == detokenizer.bytes_of(10**6) == b""


def test_pieces_with_byte_fallback() -> None:
    words = {"▁def": 0, "<0x0A>": 1, "▁": 2, "x": 3}
    tokenizer = Tokenizer(models.BPE(words, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_tokens([AddedToken("<indent>", special=False)])
    detokenizer = Detokenizer(tokenizer)
    assert [detokenizer.bytes_of(token) for token in range(5)] == [
        b" def",
        b"\n",
        b" ",
        b"x",
        b"<indent>",
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"abc", "abc"),
        ("aé".encode()[:-1], "a"),
        (b"a\xffb", "a"),
        ("a\ufffdb".encode(), "a"),
        (b"a\tb\nc\x1b[31m", "a\tb\nc"),
        (b"a\rb", "a"),
    ],
)
def test_only_readable_text_remains(data: bytes, text: str) -> None:
    assert readable(data) == text
