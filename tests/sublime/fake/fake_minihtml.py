"""What a piece of minihtml shows: the lines of it. Refuses tags that the plugin should not need."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Minihtml(HTMLParser):
    """The lines that minihtml shows: white space collapses, each `div` is a line of its own."""

    TAGS = ("body", "style", "div", "span")

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.lines, self.style, self.open = [""], False, []

    def handle_starttag(self, tag, attrs):
        assert tag in self.TAGS and {name for name, _ in attrs} <= {"id", "class"}, (tag, attrs)
        self.open.append(tag)
        if tag == "div" and self.lines[-1]:
            self.lines.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "div" and self.lines[-1]:
            self.lines.append("")

    def handle_data(self, data):
        if "style" not in self.open:
            self.lines[-1] += re.sub(r"[ \t\n\r]+", " ", data)


def rendered(content):
    """The lines of a piece of minihtml; a no-break space is shown as a space."""
    parser = Minihtml()
    parser.feed(content)
    parser.close()
    assert not parser.open
    lines = parser.lines if parser.lines[-1] else parser.lines[:-1]
    return [line.replace("\xa0", " ") for line in lines]
