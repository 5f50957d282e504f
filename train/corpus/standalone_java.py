"""Java methods that need only java.lang and java.util, bare or in a class of their own.

By braces and patterns, not by a parser: static methods whose types are well known or their own
type parameters, which call no method of their class but themselves, and whose other words are
declared in them. A text that half fits is still Java. Knows text; knows no corpus.
"""

import re
from collections.abc import Iterator
from textwrap import dedent

from autocoder.train.evaluate.bodies import PIECES, TYPE
from autocoder.train.pretrain.renaming import JAVA_LOCAL, JAVA_WORDS, WORD

LINES = range(3, 61)
HEADER = re.compile(r"\bstatic\b[^=;{}]*?(\w+)\s*\(([^{};=]*)\)\s*(?:throws\s[\w\s.,]+)?$", re.S)
LOOSE = re.compile(
    r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*|(?<=\.)\w+', re.S
)
TYPE_PARAMETERS = re.compile(r"\bstatic\s+(?:final\s+)?<([^()]*?)>\s+\w")
LAMBDA = re.compile(r"(?:\(\s*(\w+(?:\s*,\s*\w+)*)\s*\)|\b(\w+))\s*->")
CALL = re.compile(r"(?<![\w.@])(?<!new )(\w+)\s*\(")
IMPORT = re.compile(r"^import (java\.(?:util|io|time|math|nio|text)\.[\w.]*?(\w+));", re.M)
KNOWN_TYPES = (
    "ArithmeticException Boolean Byte CharSequence Character Class Comparable Deprecated Double "
    "Enum Exception Float IllegalArgumentException IllegalStateException IndexOutOfBoundsException "
    "Integer InterruptedException Iterable Long Math NullPointerException Number "
    "NumberFormatException Object Override Runnable RuntimeException SafeVarargs Short String "
    "StringBuilder SuppressWarnings System Thread Throwable UnsupportedOperationException Void"
)
KNOWN = frozenset(KNOWN_TYPES.split())
WORDS = frozenset(JAVA_WORDS.split()) | {"yield", "length"}
WRAPPED = 2  # of three texts stand in a class of their own


def cuts(text: str) -> Iterator[str]:
    """Every static method of a file that can stand alone."""
    imports = {name: path for path, name in IMPORT.findall(text)}
    outer = re.search(r"\b(?:class|interface|enum|record)\s+([A-Z]\w*)", text)
    for number, method in enumerate(_static_methods(text)):
        needed = _needed(method)
        if method.count("\n") + 1 in LINES and needed is not None and needed <= imports.keys():
            head = "".join(f"import {path};\n" for path in sorted(imports[n] for n in needed))
            body = _wrapped(method, outer[1]) if outer and number % 3 < WRAPPED else method
            yield (head + "\n" if head else "") + body.rstrip() + "\n"


def _wrapped(method: str, name: str) -> str:
    inner = "\n".join(f"    {line}" if line else line for line in method.split("\n"))
    return f"public class {name} {{\n\n{inner}\n}}\n"


def _static_methods(text: str) -> Iterator[str]:
    """Whole static methods, the comment and annotations above included, without indentation."""
    depth = since = 0
    begin: tuple[int, int] | None = None  # where the method begins, and its depth
    last = 0  # where the latest comment began that nothing but blanks has followed
    for match in PIECES.finditer(text):
        piece = match[0]
        if piece == "{":
            header = text[since : match.start()]
            if begin is None and HEADER.search(header) and not TYPE.search(header):
                begin = (last, depth)
            depth += 1
        elif piece == "}":
            depth -= 1
            if begin and depth == begin[1]:
                yield dedent(_from_line(text, begin[0], match.end()))
                begin = None
        if piece in ("{", "}", ";"):
            since = last = match.end()
        elif piece.startswith(("//", "/*")) and not text[last : match.start()].strip():
            since = match.end()


def _from_line(text: str, start: int, stop: int) -> str:
    """text[start:stop] from the first line that begins in it and is not blank, indentation too."""
    line = text.find("\n", start, stop) + 1 or start
    return text[line:stop].lstrip("\n") if text[line:stop].strip() else text[start:stop]


def _needed(method: str) -> set[str] | None:
    """Types to import; None if the method needs something that only its class has."""
    code = LOOSE.sub('""', method)
    header = HEADER.search(code[: code.find("{")].rstrip())
    if header is None or any(call not in WORDS | {header[1]} for call in CALL.findall(code)):
        return None
    generics = TYPE_PARAMETERS.search(code)
    own = {header[1], *(WORD.findall(generics[1]) if generics else ())}
    own.update(JAVA_LOCAL.findall(code))
    for many, one in LAMBDA.findall(code):
        own.update(WORD.findall(many or one))
    free = set(WORD.findall(code)) - own - WORDS - KNOWN
    return free if all(word[:1].isupper() and not word.isupper() for word in free) else None
