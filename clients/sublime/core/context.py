"""The text around the caret, cut to what a request may carry. Changes nothing."""

from __future__ import annotations

from typing import Any

import sublime

# Characters: several times what a model reads, and little enough to be copied at each key.
LONGEST_PREFIX, LONGEST_SUFFIX = 24_576, 8_192
STEP = 4_096  # the start moves in steps, so that typing only appends to what was sent before


def request(view: sublime.View, caret: int) -> dict[str, Any]:
    """A `complete` request's document, path, language, prefix and suffix."""
    path = view.file_name()
    end = min(view.size(), caret + LONGEST_SUFFIX)
    return {
        "type": "complete",
        "document": path or f"untitled-{view.buffer_id()}",
        "path": path,
        "language": _language(view),
        "prefix": _prefix(view, caret),
        "suffix": view.substr(sublime.Region(caret, end)),
    }


def _prefix(view: sublime.View, caret: int) -> str:
    """From a line's start, unless there is none near."""
    start = max(0, -((LONGEST_PREFIX - caret) // STEP) * STEP)
    text = view.substr(sublime.Region(start, caret))
    return text[text.find("\n", 0, STEP) + 1 :] if start else text


def _language(view: sublime.View) -> str | None:
    """`source.python` is "python"."""
    syntax = view.syntax()
    names = syntax.scope.split(".") if syntax else []
    return names[1] if len(names) > 1 else None
