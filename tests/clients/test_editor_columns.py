"""Columns of long lines, measured in chunks as if walked through, and what is cut of them."""

import random

import pytest
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import fragment_list_to_text
from prompt_toolkit.utils import get_cwidth
from pygments.lexers.python import PythonLexer

from autocoder.clients.editor.columns import CHUNK, column_of, index_at
from autocoder.clients.editor.display import shown
from autocoder.clients.editor.lexing import PieceLexer
from autocoder.clients.editor.suggester import MAX_PREFIX, cut_prefix

ALPHABETS = ("ab ", "a\t", "a\t日é\x00\u200b", "日", "e\u0301")


def lines() -> list[str]:
    choose = random.Random(4).choices
    return [
        "".join(choose(alphabet, k=length))
        for alphabet in ALPHABETS
        for length in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7)
    ]


@pytest.mark.parametrize("line", lines())
def test_columns_are_those_of_the_whole_line_drawn(line: str) -> None:
    for index in {0, 1, len(line) // 2, len(line)}:
        assert column_of(line, index) == get_cwidth(shown(line[:index]))


@pytest.mark.parametrize("line", lines())
def test_the_character_at_a_column_is_the_first_that_begins_there_or_later(line: str) -> None:
    width = column_of(line, len(line))
    for column in {0, 1, width // 3, width // 2, width, width + 5}:
        index, begins = index_at(line, column)
        assert begins == column_of(line, index)
        assert begins >= column or index == len(line)
        assert index == 0 or column_of(line, index - 1) < column


def test_only_the_long_line_of_a_piece_stays_plain() -> None:
    long = "x = '" + "a" * 5000
    text = f"def f():\n    return 1\n{long}\n    return 2\n"
    line = PieceLexer(PythonLexer()).lex_document(Document(text))
    assert line(2) == [("", long)]
    assert any("keyword" in style for style, *_ in line(1))
    assert any("keyword" in style for style, *_ in line(3))
    assert [fragment_list_to_text(line(n)) for n in range(5)] == text.split("\n")


def test_of_a_long_line_the_daemon_gets_the_end() -> None:
    sent = cut_prefix("x" * 1_300_000 + "end")
    assert sent.endswith("xend") and len(sent) <= MAX_PREFIX
