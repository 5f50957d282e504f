"""Bytes to text and back, losing nothing: encoding, byte order mark, line ends.

A format is only chosen if it gives back the very bytes it was read from. Knows no disk.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from autocoder.daemon.errors import ConfigError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# A declaration in one of the first two lines: https://peps.python.org/pep-0263/
_DECLARED = re.compile(rb"\A(?:.*\n)?[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_ENDS = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}


class UnencodableError(ConfigError):
    """The text holds a character that the file's encoding lacks."""


@dataclass(frozen=True)
class TextFormat:
    """How a file writes its text. `errors` is a codec's error handler.

    In the text of a buffer every line ends in "\\n". Where a file mixes line ends, `mixed` is set
    and the odd "\\r" stay in the text as characters.
    """

    encoding: str = "utf-8"
    errors: str = "strict"
    bom: bytes = b""
    newline: str = "\n"
    mixed: bool = False

    @property
    def label(self) -> str:
        """For the status bar: what differs from plain UTF-8 with line feeds."""
        end = "mixed line ends" if self.mixed else _ENDS[self.newline]
        name = self.encoding + (" BOM" if self.bom else "")
        return f"{name} {end}" + (" +raw bytes" if self.errors == "surrogateescape" else "")


def decode(data: bytes) -> tuple[str, TextFormat]:
    """The text, and the format by which `encode` gives the same bytes again."""
    for form in _candidates(data):
        raw = _decoded(data, form)
        if raw is not None:
            text, form = _with_line_ends(raw, form)
            if _gives_back(text, form, data):
                return text, form
    raise AssertionError("latin-1 decodes every byte")


def encode(text: str, form: TextFormat) -> bytes:
    """The file's bytes. Raises UnencodableError."""
    ended = text if form.newline == "\n" else text.replace("\n", form.newline)
    try:
        return form.bom + ended.encode(form.encoding, form.errors)
    except UnicodeEncodeError as error:
        raise UnencodableError(
            f"{ended[error.start]!r} does not exist in {form.encoding}; save as UTF-8 instead"
        ) from error


def as_utf8(form: TextFormat, text: str) -> TextFormat:
    """The same with UTF-8, which takes every text; undecodable bytes in it stay what they are."""
    raw = any("\udc80" <= character <= "\udcff" for character in set(text))
    return replace(form, encoding="utf-8", bom=b"", errors="surrogateescape" if raw else "strict")


def _candidates(data: bytes) -> Iterator[TextFormat]:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            yield TextFormat(encoding, bom=bom)
    yield TextFormat()
    declared = _declared(data)
    if declared:
        yield TextFormat(declared)
    if _mostly_utf8(data):
        yield TextFormat(errors="surrogateescape")
    yield TextFormat("latin-1")


def _declared(data: bytes) -> str | None:
    found = _DECLARED.match(data[:1000])
    try:
        return codecs.lookup(found[1].decode("ascii")).name if found else None
    except LookupError:
        return None


def _mostly_utf8(data: bytes) -> bool:
    """Whether some bytes beyond ASCII are well-formed UTF-8: then the others are damage."""
    return any(
        "\x80" <= c < "\udc80" or c > "\udcff" for c in data.decode("utf-8", "surrogateescape")
    )


def _decoded(data: bytes, form: TextFormat) -> str | None:
    try:
        return data[len(form.bom) :].decode(form.encoding, form.errors)
    except (UnicodeError, LookupError):
        return None


def _with_line_ends(raw: str, form: TextFormat) -> tuple[str, TextFormat]:
    """Line ends made "\\n" where all are alike, so that each can be told back from it."""
    feeds, pairs, returns = raw.count("\n"), raw.count("\r\n"), raw.count("\r")
    if returns == 0:
        return raw, form
    if pairs == feeds and pairs:
        return raw.replace("\r\n", "\n"), replace(form, newline="\r\n", mixed=returns > pairs)
    if feeds == 0:
        return raw.replace("\r", "\n"), replace(form, newline="\r")
    return raw, replace(form, mixed=True)


def _gives_back(text: str, form: TextFormat, data: bytes) -> bool:
    try:
        return encode(text, form) == data
    except UnencodableError:
        return False
