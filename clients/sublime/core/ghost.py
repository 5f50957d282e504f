"""Draws text that is not there: as phantoms at the caret and below its line, or in a popup.

Knows nothing of suggestions.
"""

from __future__ import annotations

from typing import Callable

import sublime

from . import minihtml
from .settings import setting, tab_size

KEY = "autocoder"


class Ghost:
    """What is drawn in one view. The phantom set lives as long: without it they would go."""

    def __init__(self, view: sublime.View, hidden: Callable[[], None]) -> None:
        """`hidden` is called when something else than `clear` took the text off the screen."""
        self._view, self._hidden = view, hidden
        self._phantoms = sublime.PhantomSet(view, KEY)
        self._drawn: tuple[int, int, str] | None = None
        self._popup = 0  # counts popups; what an earlier one says is not heard
        self._popup_open = False

    def draw(self, text: str, caret: int) -> bool:
        """Show `text` at `caret` in place of what was shown before. Whether it could be shown."""
        drawn = (self._view.change_count(), caret, text)
        if drawn == self._drawn:
            return True
        if setting(self._view, "completion_style") == "popup":
            self._phantoms.update([])
            shown = self._show_popup(text, caret)
        else:
            self._close_popup()
            shown = self._show_phantoms(text, caret)
        self._drawn = drawn if shown else None
        return shown

    def clear(self) -> None:
        """Take it off the screen."""
        if self._drawn:
            self._drawn = None
            self._phantoms.update([])
            self._close_popup()

    def _show_phantoms(self, text: str, caret: int) -> bool:
        first, *below = self._lines(text, caret)
        color, at = setting(self._view, "color"), sublime.Region(caret)
        phantoms = []
        if first:
            html = minihtml.inline(first, color)
            phantoms.append(sublime.Phantom(at, html, sublime.LAYOUT_INLINE))
        if below:
            html = minihtml.block(below, color)
            phantoms.append(sublime.Phantom(at, html, sublime.LAYOUT_BLOCK))
        self._phantoms.update(phantoms)
        return True

    def _show_popup(self, text: str, caret: int) -> bool:
        """A popup of somebody else's is left alone: a view has one only."""
        if self._view.is_popup_visible() and not self._popup_open:
            return False
        self._popup += 1
        mine = self._popup
        self._popup_open = True
        self._view.show_popup(
            minihtml.block(self._lines(text, caret), setting(self._view, "color")),
            flags=sublime.COOPERATE_WITH_AUTO_COMPLETE | sublime.KEEP_ON_SELECTION_MODIFIED,
            location=caret,
            max_width=1024,
            max_height=512,
            on_hide=lambda: self._popup_gone(mine),
        )
        return True

    def _popup_gone(self, which: int) -> None:
        if which == self._popup and self._popup_open:
            self._popup_open = False
            self._drawn = None
            self._hidden()

    def _close_popup(self) -> None:
        if self._popup_open:
            self._popup_open = False
            self._view.hide_popup()

    def _lines(self, text: str, caret: int) -> list[str]:
        tab = tab_size(self._view)
        head = self._view.substr(sublime.Region(self._view.line(caret).begin(), caret))
        return minihtml.lines(text, minihtml.width(head, tab), tab)
