"""What the user wants, and where. Read anew each time, so that every change works at once.

Each setting of Autocoder.sublime-settings can be overridden under the name "autocoder.NAME": in a
project's "settings", in those of a syntax, and for one view.
"""

from __future__ import annotations

from typing import Any

import sublime

FILE = "Autocoder.sublime-settings"
LONGEST_LINE = 4096  # characters; longer lines are data, not code
# What a number is where the user wrote none.
NUMBERS = {
    "delay": 15,
    "max_lines": 1,
    "max_tokens": 48,
    "trigger_lines": 8,
    "trigger_tokens": 128,
    "timeout": 20000,
}


def everywhere(name: str) -> Any:
    """The setting for the whole editor."""
    return sublime.load_settings(FILE).get(name)


def setting(view: sublime.View, name: str) -> Any:
    """The setting for a view: its own, its project's, its syntax's, else the editor's."""
    own = view.settings().get("autocoder." + name)
    return everywhere(name) if own is None else own


def number(name: str, view: sublime.View | None = None) -> int:
    """A setting that is a number of at least 0, for a view or for the whole editor."""
    value = everywhere(name) if view is None else setting(view, name)
    try:
        return max(0, int(value))
    except (TypeError, ValueError):
        return NUMBERS[name]


def possible(view: sublime.View) -> bool:
    """May a suggestion be shown in this view, at its only caret?"""
    return not why_impossible(view)


def automatic(view: sublime.View) -> bool:
    """May one be shown there without being asked for?"""
    return not why_silent(view)


def why_impossible(view: sublime.View) -> str:
    """Why no suggestion may be shown in this view, or ""."""
    return (
        _why_not_on(view, "enabled", "switched off") or _why_uneditable(view) or _why_no_caret(view)
    )


def why_silent(view: sublime.View) -> str:
    """Why none is shown there without being asked for, or ""."""
    return (
        why_impossible(view)
        or _why_not_on(view, "auto", "only by the trigger key")
        or ("" if wanted(view) else f'not where "selector" says: {setting(view, "selector")}')
    )


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


def _why_not_on(view: sublime.View, name: str, meaning: str) -> str:
    """Why a setting that is true or false is not true, or ""."""
    value = setting(view, name)
    own = "autocoder." if view.settings().get("autocoder." + name) is not None else ""
    told = "" if value is False else f" is {value!r}"
    return "" if value is True else f'{meaning} ("{own}{name}"{told})'


def _why_no_caret(view: sublime.View) -> str:
    """Why there is no one place to suggest at, or ""."""
    carets = view.sel()
    if len(carets) != 1:
        return f"{len(carets)} carets"
    if not carets[0].empty():
        return "a selection"
    return "" if caret(view) is not None else f"a line of more than {LONGEST_LINE:,} characters"


def _why_uneditable(view: sublime.View) -> str:
    """Why this is no file's and no new text's view: a panel, an input line, …, or ""."""
    settings = view.settings()
    if view.element() is not None or settings.get("is_widget"):
        return "a panel or an input line"
    if settings.get("command_mode"):  # where Vintage moves about
        return "a command mode"
    if view.is_loading():
        return "the file is loading"
    return "read-only" if view.is_read_only() else ""
