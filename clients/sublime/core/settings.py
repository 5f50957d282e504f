"""What the user wants, and where. Read anew each time, so that every change works at once.

Each setting of Autocoder.sublime-settings can be overridden under the name "autocoder.NAME": in a
project's "settings", in those of a syntax, and for one view.
"""

from __future__ import annotations

from typing import Any

import sublime

FILE = "Autocoder.sublime-settings"
LONGEST_LINE = 4096  # characters; longer lines are data, not code


def everywhere(name: str) -> Any:
    """The setting for the whole editor."""
    return sublime.load_settings(FILE).get(name)


def setting(view: sublime.View, name: str) -> Any:
    """The setting for a view: its own, its project's, its syntax's, else the editor's."""
    own = view.settings().get("autocoder." + name)
    return everywhere(name) if own is None else own


def possible(view: sublime.View) -> bool:
    """May a suggestion be shown in this view, at its only caret?"""
    return _editable(view) and setting(view, "enabled") is True and caret(view) is not None


def automatic(view: sublime.View) -> bool:
    """May one be shown there without being asked for?"""
    return possible(view) and setting(view, "auto") is True and wanted(view)


def wanted(view: sublime.View) -> bool:
    """Is the text one of those in which to suggest?"""
    selector = setting(view, "selector")
    carets = view.sel()
    return not selector or view.match_selector(carets[0].b if len(carets) else 0, selector)


def caret(view: sublime.View) -> int | None:
    """Where text would be inserted, if there is one such place and its line is no data."""
    regions = view.sel()
    if len(regions) != 1 or not regions[0].empty():
        return None
    point = int(regions[0].b)
    return point if view.line(point).size() <= LONGEST_LINE else None


def tab_size(view: sublime.View) -> int:
    """Columns of a tab."""
    size = view.settings().get("tab_size")
    return size if isinstance(size, int) and size > 0 else 4


def _editable(view: sublime.View) -> bool:
    """A file's or a new text's view: no panel, no input line, nothing Vintage moves about in."""
    settings = view.settings()
    return (
        view.element() is None
        and not settings.get("is_widget")
        and not settings.get("command_mode")
        and not view.is_read_only()
        and not view.is_loading()
    )
