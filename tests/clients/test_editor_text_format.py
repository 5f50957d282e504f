"""Bytes to text and back: whatever a file holds, it is written again as it was."""

import codecs

import pytest

from autocoder.clients.editor.text_format import UnencodableError, decode, encode

NASTY = {
    "empty": b"",
    "no final newline": b"x = 1",
    "final newline": b"x = 1\n",
    "only newlines": b"\n\n\n",
    "crlf": b"a\r\nb\r\n",
    "crlf, no final newline": b"a\r\nb",
    "old mac": b"a\rb\r",
    "mixed": b"a\r\nb\nc\r\n",
    "crlf with a lone return": b"a\rb\r\nc\r\n",
    "crlf after a return": b"a\r\r\nb\r\n",
    "nul": b"a\0b\n\0",
    "utf-8": "größe = '日本 👩‍👩‍👧'\n".encode(),
    "utf-8 bom": codecs.BOM_UTF8 + "é\r\n".encode(),
    "bom alone": codecs.BOM_UTF8,
    "two boms": codecs.BOM_UTF8 * 2 + b"x",
    "utf-16": codecs.BOM_UTF16_LE + "x = 'ü'\n".encode("utf-16-le"),
    "utf-16 big": codecs.BOM_UTF16_BE + "x\r\ny\r\n".encode("utf-16-be"),
    "utf-16 cut in the middle": codecs.BOM_UTF16_LE + b"a\0b",
    "utf-32": codecs.BOM_UTF32_LE + "x\n".encode("utf-32-le"),
    "latin-1": "café = 1\n".encode("latin-1"),
    "declared": "# -*- coding: cp1252 -*-\nx = '€'\n".encode("cp1252"),
    "declared wrongly": "# coding: ascii\nx = 'é'\n".encode("latin-1"),
    "declared nonsense": b"# coding: klingon\nx = '\xff'\n",
    "declared, not utf-8 but stateful": b"# coding: utf-7\nx = '\xe9'\n",
    "utf-8 with damage": "é".encode() + b"\xff\xfe\n\x80",
    "encoded surrogate": b"\xed\xa0\x80\n",
    "overlong": b"\xc0\xaf\n",
    "unicode line separators": "a\u2028b\u2029c\x85d\x0be\x0cf\n".encode(),
    "every byte": bytes(range(256)),
    "every byte backwards": bytes(range(255, -1, -1)) * 3,
}


@pytest.mark.parametrize("data", NASTY.values(), ids=NASTY.keys())
def test_every_file_comes_back_byte_for_byte(data: bytes) -> None:
    assert encode(*decode(data)) == data


def test_line_ends_of_one_kind_become_line_feeds() -> None:
    text, form = decode(b"a\r\nb\r\n")
    assert (text, form.newline, form.mixed) == ("a\nb\n", "\r\n", False)
    assert encode(text + "c\n", form) == b"a\r\nb\r\nc\r\n"


def test_mixed_line_ends_are_left_alone_line_by_line() -> None:
    text, form = decode(b"a\r\nb\n")
    assert text == "a\r\nb\n" and "mixed" in form.label
    assert encode(text.replace("b", "bb"), form) == b"a\r\nbb\n"


def test_a_declared_encoding_is_used_where_the_bytes_are_no_utf8() -> None:
    text, form = decode(NASTY["declared"])
    assert "€" in text and form.encoding == "cp1252"


def test_damage_in_utf8_stays_where_it_is_while_the_rest_is_edited() -> None:
    text, form = decode("é\n".encode() + b"\xff\n")
    assert encode("ü" + text, form) == "üé\n".encode() + b"\xff\n"


def test_a_character_that_the_encoding_lacks_is_named() -> None:
    _, form = decode("café".encode("latin-1"))
    with pytest.raises(UnencodableError, match=r"€.*UTF-8"):
        encode("5 €", form)
