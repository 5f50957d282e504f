"""Lines of functions' bodies, as the public infilling sets take them."""

import pytest

from autocoder.daemon.errors import ConfigError
from autocoder.train.evaluate.bodies import body_lines
from autocoder.train.evaluate.documents import Document
from autocoder.train.evaluate.holes import holes, named

PYTHON = '''\
import os

LIMIT = 3

def add(a, b):
    """Adds."""
    # plainly
    total = a + b

    return total

def two(): return 2

class Shop:
    name = "x"

    async def open(self):
        @cached
        def key(): return 3
        if self.name:
            return {
                "a": 1,
            }
'''
JAVA = """\
package shop;
class Shop {
    int count = 0; // {
    String open = "{";
    static final int[][] SIZES = new int[][] {
        {1, 2},
    };

    @Test(expected = Error.class)
    int add(int a, Record record) throws IOException {
        /* } */
        if (a > 0) {
            count += a;
        }
        return count;
    }

    static class Shelf {
        private int width;

        Shelf() {
            width = 3;
        }
    }

    static {
        open();
    }

    record Point(int x, int y) implements Place {
        int far;
    }

    Runnable later = new Runnable() {
        int times;

        public void run() {
            times++;
        }
    };
}
"""


def lines_of(text: str, language: str) -> list[str]:
    lines = text.splitlines()
    return [lines[n].strip() for n in sorted(body_lines(text, language)) if lines[n].strip()]


def test_bodies_begin_behind_the_docstring_and_end_with_the_function() -> None:
    assert lines_of(PYTHON, "python") == [
        "total = a + b",
        "return total",
        "@cached",
        "def key(): return 3",
        "if self.name:",
        "return {",
        '"a": 1,',
        "}",
    ]


def test_braces_in_strings_and_comments_do_not_count() -> None:
    assert lines_of(JAVA, "java") == [
        "/* } */",
        "if (a > 0) {",
        "count += a;",
        "}",
        "return count;",
        "}",
        "width = 3;",
        "}",
        "open();",
        "}",
        "times++;",
        "}",
    ]


def test_what_does_not_parse_has_no_bodies() -> None:
    assert not body_lines("def f(:\n    pass\n", "python")
    assert not body_lines("print 'x'", "python")


def test_holes_take_short_lines_of_code_too_when_asked() -> None:
    document = Document("a.java", "java", JAVA)
    found = list(holes(document, per_file=99, kinds=named("body_line")))
    assert {row.kind for row in found} == {"body_line"}
    middles = sorted(row.middle for row in found)
    assert middles[:3] == ["count += a;", "if (a > 0) {", "open();"]
    assert middles.count("}") == 5
    assert "body_line" not in {row.kind for row in holes(document, per_file=99)}


def test_a_kind_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="'lines'; known: end_of_line, line"):
        named("line,lines")
