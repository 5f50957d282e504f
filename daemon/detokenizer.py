"""Token ids → bytes → text. A token may hold half a character, so tokens become bytes first.

Knows a `tokenizers.Tokenizer` of either common kind: byte-level (GPT-2, Llama 3, Qwen, StarCoder),
where each character of a token stands for one byte, and word-piece with byte fallback (Llama 2),
where `▁` is a space and `<0x0A>` a byte. Knows no model.
"""

import json
import re
from functools import cached_property
from typing import Any

from autocoder.daemon.healing import Vocabulary

BYTE_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffd]")


class Detokenizer:
    """The bytes of each token; special tokens have none, and are listed in `special`."""

    def __init__(self, tokenizer: Any) -> None:
        added = tokenizer.get_added_tokens_decoder()
        self.special = frozenset(token for token, entry in added.items() if entry.special)
        self._added = {token: str(entry.content) for token, entry in added.items()}
        self._tokenizer = tokenizer
        self._byte_of = _byte_alphabet() if _is_byte_level(tokenizer) else None

    def bytes_of(self, token: int) -> bytes:
        """The token's bytes; b"" for a special token or an id without one."""
        return self.pieces[token] if token < len(self.pieces) else b""

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of every token."""
        found = self._tokenizer.get_vocab(with_added_tokens=True)
        pieces = [b""] * (max(found.values(), default=-1) + 1)
        for piece, token in found.items():
            pieces[token] = self._bytes(piece, token)
        return tuple(pieces)

    @cached_property
    def breaks(self) -> frozenset[int]:
        """The tokens that say nothing before a line break."""
        blank = b" \t\r"
        return frozenset(
            n for n, piece in enumerate(self.pieces) if piece.lstrip(blank)[:1] == b"\n"
        )

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens by their bytes."""
        return Vocabulary(self.pieces)

    def _bytes(self, piece: str, token: int) -> bytes:
        if token in self._added:
            return b"" if token in self.special else self._added[token].encode()
        if self._byte_of is not None:
            return piece.translate(self._byte_of).encode("latin-1")
        fallback = BYTE_FALLBACK.fullmatch(piece)
        return bytes([int(fallback[1], 16)]) if fallback else piece.replace("▁", " ").encode()


def readable(data: bytes) -> str:
    """The text up to the first broken or unfinished character, or one no editor should be sent.

    Such are control characters other than tab and line feed, and U+FFFD.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        text = data[: error.start].decode()
    found = FORBIDDEN.search(text)
    return text[: found.start()] if found else text


def _is_byte_level(tokenizer: Any) -> bool:
    """Whether the tokenizer's decoder is, or contains, the byte-level one."""
    decoder = json.loads(tokenizer.decoder.__getstate__()) if tokenizer.decoder else {}
    kinds = [decoder.get("type"), *(part.get("type") for part in decoder.get("decoders", []))]
    return "ByteLevel" in kinds


def _byte_alphabet() -> dict[int, int]:
    """Code point → byte in byte-level vocabularies.

    Printable Latin-1 bytes stand for themselves, the others, in order, for U+0100 and up
    (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, the code).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {byte: byte for byte in printable} | {
        0x100 + number: byte for number, byte in enumerate(others)
    }
