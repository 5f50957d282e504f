"""Where a source text is prose: the spans of its comments and docstrings, as Pygments lexes them.

Knows languages by their name; knows no holes and no model. A string that begins a line in triple
quotes counts as a docstring, which is what Pygments can see without parsing.
"""

from bisect import bisect_right
from functools import lru_cache
from typing import Any

from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, String, Token
from pygments.util import ClassNotFound

Span = tuple[int, int]  # indices of the first character and of the one after the last


def comment_spans(text: str, language: str) -> list[Span]:
    """The spans of comments and docstrings in order; none for a language Pygments does not know."""
    lexer = _lexer(language)
    if lexer is None:
        return []
    tokens = lexer.get_tokens_unprocessed(text)
    return [(at, at + len(value)) for at, kind, value in tokens if _is_prose(kind) and value]


def is_inside(spans: list[Span], at: int) -> bool:
    """Whether the character at index `at` lies in one of the spans."""
    number = bisect_right(spans, (at, len(spans) and spans[-1][1])) - 1
    return number >= 0 and at < spans[number][1]


def _is_prose(kind: Any) -> bool:
    if kind in Comment:
        return kind not in Comment.Preproc
    return kind in String.Doc or kind in Token.Literal.String.Doc


@lru_cache
def _lexer(language: str) -> Any:
    try:
        return get_lexer_by_name(language, ensurenl=False, stripnl=False)
    except ClassNotFound:
        return None
