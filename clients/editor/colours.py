"""Colours that can be read on dark and on light terminals alike.

Middle tones throughout: each has a contrast of about 4 or more against black and against white.
With NO_COLOR set, prompt-toolkit drops the colours and the ghost is told by being dim and italic.
"""

import os

from prompt_toolkit.styles import Style

GREY = "#808080"

_TEXT = {
    "ghost": f"{GREY} dim italic" if os.environ.get("NO_COLOR") else GREY,
    "line-number": "#808080",
    "line-number.current": "bold",
    "odd": "#d05050",
    "selected": "reverse",
    "search": "bg:#d0b040 #000000",
    "search.current": "bg:#e07030 #000000 bold",
    "incsearch": "bg:#d0b040 #000000",
    "incsearch.current": "bg:#e07030 #000000 bold",
    "status": "reverse",
    "status.dirty": "bold",
    "status.trouble": "bold",
    "message": "",
    "message.error": "#d05050 bold",
    "message.key": "bold",
    "question": "bold",
    "help": "reverse",
    "search-toolbar.prompt": "bold",
}

_CODE = {
    "pygments.keyword": "#a860d0",
    "pygments.keyword.constant": "#c07020",
    "pygments.operator.word": "#a860d0",
    "pygments.literal.string": "#4c9a3f",
    "pygments.literal.string.doc": "#4c9a3f italic",
    "pygments.literal.string.escape": "#c07020",
    "pygments.literal.string.interpol": "#c07020",
    "pygments.literal.number": "#c07020",
    "pygments.comment": "#5f8f8f italic",
    "pygments.name.function": "#3f86d8",
    "pygments.name.class": "#b08520",
    "pygments.name.decorator": "#b08520",
    "pygments.name.builtin": "#2f98a8",
    "pygments.name.builtin.pseudo": "#c0607a",
    "pygments.name.exception": "#d05050",
    "pygments.name.namespace": "",
    "pygments.name.tag": "#3f86d8",
    "pygments.name.attribute": "#b08520",
    "pygments.generic.heading": "bold",
    "pygments.generic.deleted": "#d05050",
    "pygments.generic.inserted": "#4c9a3f",
}


def editor_style() -> Style:
    """The style of everything on the screen."""
    return Style(list({**_CODE, **_TEXT}.items()))
