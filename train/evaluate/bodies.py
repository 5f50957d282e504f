"""Which lines of a text stand inside a function's body, as the public infilling sets have it.

Those sets (HumanEval's single lines, Fried et al., "InCoder", 2023; SantaCoder's for Java) take
every line of a body in turn, the closing braces too: a third of Java's lines is `}` alone. Knows
Python by its syntax tree and other languages by their braces; knows no holes.
"""

import ast
import re
from collections.abc import Sequence

# Strings and comments are passed over; what stands before a brace says what it opens.
PIECES = re.compile(
    r'""".*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/|[{};\n]', re.S
)
TYPE = re.compile(
    r"\b(?:class|interface|enum)\s+\w[^()=]*$|\brecord\s+\w[^()]*\([^{}]*\)[^()]*$|\bnew\s[^;]*\)\s*$"
)
FUNCTION = re.compile(r"\)\s*(?:throws\s[\w\s.,<>@]+)?$|^\s*(?:static\s*)?$|->\s*$")


def body_lines(text: str, language: str) -> set[int]:
    """Numbers (from 0) of the lines in bodies of functions; none where Python does not parse."""
    return _python(text) if language == "python" else _braced(text)


def _python(text: str) -> set[int]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    found: set[int] = set()
    for function in functions:
        first = function.body[min(_has_docstring(function), len(function.body) - 1)]
        begin = min([first.lineno, *(each.lineno for each in getattr(first, "decorator_list", ()))])
        found.update(range(max(begin - 1, function.lineno), function.end_lineno or begin))
    return found


def _has_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return ast.get_docstring(function, clean=False) is not None


def _braced(text: str) -> set[int]:
    """Lines at whose beginning the braces of a method are open: Java's types hold methods."""
    found: set[int] = set()
    within: list[str] = []  # what each open brace opened
    number = since = 0
    for match in PIECES.finditer(text):
        piece = match[0]
        if piece == "{":
            within.append(_opened(text[since : match.start()], within))
        elif piece == "}" and within:
            within.pop()
        if piece in ("{", "}", ";") or piece.startswith(("//", "/*")):
            since = match.end()
        for _ in range(piece.count("\n")):
            number += 1
            if "function" in within:
                found.add(number)
    return found


def _opened(before: str, within: Sequence[str]) -> str:
    """What a brace opens, by the text before it and the brace that it stands in."""
    if TYPE.search(before):
        return "type"
    if within and within[-1] in ("type", "function") and FUNCTION.search(before):
        return "function"
    return within[-1] if within[-1:] == ["function"] else "values"
