"""Python functions and classes that need only builtins and the standard library, with imports.

By the syntax tree: a name that is read must be bound somewhere in the same piece, be a builtin, or
be imported by the file from the standard library; then that import comes along. Where a name is
bound is not asked: a local of one method that another one reads passes. Knows syntax; knows no
corpus.
"""

import ast
import builtins
import sys
import warnings
from collections.abc import Iterator

Piece = ast.FunctionDef | ast.ClassDef
LINES = range(3, 61)
BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__"}


def cuts(text: str) -> Iterator[str]:
    """Every function and class of a file's top level that can stand alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    imports, lines = _standard_imports(tree), text.split("\n")
    for node in tree.body:
        if isinstance(node, Piece) and not node.name.lower().startswith("test"):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1
            source = lines[first : node.end_lineno]
            needed = _needed(node) - BUILTINS
            if len(source) in LINES and needed <= imports.keys() and _does_something(node):
                yield _with_imports(source, sorted({imports[name] for name in needed}), node)


def _with_imports(source: list[str], imports: list[str], node: Piece) -> str:
    head = "\n".join(imports) + "\n\n\n" if imports else ""
    return head + "\n".join(source).rstrip() + "\n"


def _standard_imports(tree: ast.Module) -> dict[str, str]:
    """The import statement of each name that comes from the standard library."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_standard(alias.name):
                    name = alias.asname or alias.name.partition(".")[0]
                    found[name] = f"import {_spelt(alias)}"
        elif isinstance(node, ast.ImportFrom) and not node.level and _is_standard(node.module):
            for alias in node.names:
                found[alias.asname or alias.name] = f"from {node.module} import {_spelt(alias)}"
    return found


def _is_standard(module: str | None) -> bool:
    top = (module or "").partition(".")[0]
    return top in sys.stdlib_module_names and top != "__future__"


def _spelt(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def _needed(piece: Piece) -> set[str]:
    """Names that the piece reads and nowhere binds."""
    read, bound = set[str](), {piece.name}
    for node in ast.walk(piece):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, Piece | ast.AsyncFunctionDef | ast.ExceptHandler):
            bound.add(node.name or "")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Global):
            read.update(node.names)
    return read - bound


def _does_something(piece: Piece) -> bool:
    """Whether more is in it than a docstring, `pass`, `...` or one raised error."""
    idle = (ast.Pass, ast.Raise)
    return any(
        not isinstance(each, idle)
        and not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        for each in piece.body
    )
