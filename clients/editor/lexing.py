"""Syntax colours in time for each key: the text is lexed in pieces that begin at safe lines.

Lexing a file of 10,000 lines takes half a second. A piece runs from one top-level statement
(or method) to another, is lexed when it is first shown, and kept by its text; a keystroke
costs the piece it falls in. Whether a line is inside a long string or comment is told by counting
their marks before it. Knows no buffer.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import PurePath

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer as DisplayLexer
from prompt_toolkit.styles.pygments import pygments_token_to_classname
from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class_for_filename
from pygments.token import Token
from pygments.util import ClassNotFound

MIN_LINES, MAX_LINES = 20, 200
KEPT_PIECES = 400
LONGEST_LINE = 2000  # a minified line is not worth its time: it stays plain

_PYTHON_START = re.compile(
    r"[ \t]*(?:async def|def|class|@)|if|for|while|try|with|import|from|[A-Z_]+ ?="
)
_OTHER_START = re.compile(r"(?: {0,4}|\t?)[A-Za-z@#]")
_MARKS: dict[str, tuple[tuple[str, str], ...]] = {
    "Python": (('"""', '"""'), ("'''", "'''")),
}
_C_MARKS = (("/*", "*/"),)


def lexer_for(path: PurePath, text: str) -> DisplayLexer | None:
    """A lexer by a file's name, None where Pygments knows none."""
    try:
        found = find_lexer_class_for_filename(path.name, text[:1000])
    except ClassNotFound:
        return None
    return PieceLexer(found(stripnl=False, ensurenl=False)) if found else None


class PieceLexer(DisplayLexer):
    """Lexes only the pieces of a document that are asked for, and remembers them."""

    def __init__(self, lexer: Lexer) -> None:
        self._lexer = lexer
        self._is_python = lexer.name == "Python"
        self._marks = _MARKS.get(lexer.name, _C_MARKS)
        self._pieces: OrderedDict[str, list[StyleAndTextTuples]] = OrderedDict()

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """A function from a line's number to its coloured text."""
        lines = document.lines
        found: dict[int, StyleAndTextTuples] = {}
        starts: list[int] = []

        def line(number: int) -> StyleAndTextTuples:
            if number not in found and number < len(lines):
                if not starts:
                    starts.extend(accumulate((len(text) + 1 for text in lines), initial=0))
                start, stop = self._piece(document.text, lines, starts, number)
                short = ["" if _is_long(text) else text for text in lines[start:stop]]
                found.update(enumerate(self._coloured("\n".join(short)), start))
                found.update(
                    (n, [("", lines[n])]) for n in range(start, stop) if _is_long(lines[n])
                )
            return found.get(number, [])

        return line

    def _piece(
        self, text: str, lines: Sequence[str], starts: Sequence[int], number: int
    ) -> tuple[int, int]:
        """The lines [start, stop) that are lexed together with line `number`."""
        lowest = max(0, number - MAX_LINES)
        above = range(number, lowest - 1, -1)
        start = next((n for n in above if self._is_start(text, lines, starts, n)), None)
        if start is None:  # a very long statement: anywhere outside strings and comments
            below = range(lowest, number + 1)
            start = next((n for n in below if self._is_outside(text, starts[n])), lowest)
        stop = start + MIN_LINES if number < start + MIN_LINES else number + 1
        highest = min(len(lines), start + 2 * MAX_LINES)
        while stop < highest and not self._is_start(text, lines, starts, stop):
            stop += 1
        return start, min(stop, len(lines))

    def _is_start(
        self, text: str, lines: Sequence[str], starts: Sequence[int], number: int
    ) -> bool:
        pattern = _PYTHON_START if self._is_python else _OTHER_START
        if not pattern.match(lines[number]) or (number and not _may_precede(lines[number - 1])):
            return False
        return self._is_outside(text, starts[number])

    def _is_outside(self, text: str, position: int) -> bool:
        return all(self._balanced(text, *pair, position) for pair in self._marks)

    def _balanced(self, text: str, opening: str, closing: str, end: int) -> bool:
        if opening == closing:
            return text.count(opening, 0, end) % 2 == 0
        return text.count(opening, 0, end) == text.count(closing, 0, end)

    def _coloured(self, piece: str) -> list[StyleAndTextTuples]:
        known = self._pieces.get(piece)
        if known is None:
            known = self._pieces[piece] = self._lexed(piece)
            while len(self._pieces) > KEPT_PIECES:
                self._pieces.popitem(last=False)
        else:
            self._pieces.move_to_end(piece)
        return known

    def _lexed(self, piece: str) -> list[StyleAndTextTuples]:
        lines: list[StyleAndTextTuples] = [[]]
        for _, token, value in self._lexer.get_tokens_unprocessed(piece):
            style = "class:" + pygments_token_to_classname(token) if token is not Token.Text else ""
            first, *others = value.split("\n")
            lines[-1].append((style, first))
            lines.extend([(style, other)] for other in others)
        return lines


def _is_long(line: str) -> bool:
    return len(line) > LONGEST_LINE


def _may_precede(line: str) -> bool:
    """Whether a statement may begin after this line: it is blank, or ends one."""
    return not line.strip() or not line.rstrip().endswith(("\\", ",", "(", "[", "="))
