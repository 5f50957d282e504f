"""Which lines of a text stand inside a function's body, as the public infilling sets have it.

Those sets (HumanEval's single lines, Fried et al., "InCoder", 2023; SantaCoder's for Java) take
every line of a body in turn, the closing braces too: a third of Java's lines is `}` alone. Knows
Python by its syntax tree and other languages by their braces; knows no holes.
"""

import ast
import re

# Strings and comments are passed over; braces count.
BRACES = re.compile(
    r'""".*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/|[{}\n]', re.S
)
METHOD_DEPTH = 2  # braces around a statement: the class's and the method's


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
        found.update(range(first.lineno - 1, function.end_lineno or first.lineno))
    return found


def _has_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return ast.get_docstring(function, clean=False) is not None


def _braced(text: str) -> set[int]:
    """Lines at whose beginning two or more braces are open."""
    found: set[int] = set()
    number = depth = 0
    for match in BRACES.finditer(text):
        piece = match[0]
        depth += (piece == "{") - (piece == "}")
        for _ in range(piece.count("\n")):
            number += 1
            if depth >= METHOD_DEPTH:
                found.add(number)
    return found
