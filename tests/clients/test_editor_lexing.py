"""Syntax colours: piece by piece, yet as if the whole file had been lexed."""

import inspect
import time
from pathlib import PurePath

import prompt_toolkit.layout.containers as long_module
import pytest
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import fragment_list_to_text
from pygments.lexers.jvm import JavaLexer
from pygments.lexers.python import PythonLexer

from autocoder.clients.editor.lexing import PieceLexer, lexer_for

JAVA = "".join(
    f"""
    /**
     * Method {n}.
     *
     @ odd documentation {n}
     */
    public int f{n}(int x) {{
        // a comment with "
        return x * {n};
    }}
"""
    for n in range(60)
)


def whole(lexer: PythonLexer | JavaLexer, text: str) -> list[list[tuple[str, str]]]:
    return PieceLexer(lexer)._lexed(text)


def joined(line: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbouring fragments of one style as one."""
    parts: list[tuple[str, str]] = []
    for style, text, *_ in line:
        if parts and parts[-1][0] == style:
            parts[-1] = (style, parts[-1][1] + text)
        elif text:
            parts.append((style, text))
    return parts


@pytest.mark.parametrize(
    ("lexer", "text"),
    [(PythonLexer(), inspect.getsource(long_module)), (JavaLexer(), f"class A {{{JAVA}}}\n")],
    ids=["python", "java"],
)
def test_pieces_give_what_lexing_the_whole_gives(lexer, text: str) -> None:
    line = PieceLexer(lexer).lex_document(Document(text))
    expected = whole(lexer, text)
    order = [*range(len(expected) - 1, -1, -7), *range(len(expected))]
    wrong = [n for n in order if joined(line(n)) != joined(expected[n])]
    assert not wrong


def test_the_text_is_kept_character_by_character() -> None:
    text = 'x = \'unfinished\n\tdef \x00 f(:\r\n\n  é日本 = """\n\nclass A:\n'
    line = PieceLexer(PythonLexer()).lex_document(Document(text))
    lines = text.split("\n")
    assert [fragment_list_to_text(line(n)) for n in range(len(lines))] == lines


def test_a_keystroke_at_the_end_of_a_long_file_is_lexed_in_time() -> None:
    text = inspect.getsource(long_module) * 4
    lexer = PieceLexer(PythonLexer())
    count = text.count("\n")
    took = []
    for typed in ("", "d", "de", "def", "def f", "def f("):
        began = time.perf_counter()
        line = lexer.lex_document(Document(text + typed))
        for number in range(count - 40, count + 1):
            line(number)
        took.append(time.perf_counter() - began)
    assert min(took[1:]) < 0.03


def test_a_lexer_is_found_by_name() -> None:
    assert lexer_for(PurePath("A.java"), "") is not None
    assert lexer_for(PurePath("notes"), "") is None
