"""Autocoder for Sublime Text 4: hooks only, core/ thinks. Python 3.8 to 3.14, standard library.

Sublime finds the commands and the listener by their classes, and calls the two functions when the
package is loaded and unloaded. core/ is forgotten then, so that an upgrade brings all of its own.
"""

from __future__ import annotations

import sys
from typing import Any

import sublime
import sublime_plugin

from .core.session import Session, why_unsupported

_session: Session | None = None


def plugin_loaded() -> None:
    global _session
    why = why_unsupported()
    if why:
        print("autocoder: " + why)
        sublime.status_message("autocoder: " + why)
    else:
        _session = Session()


def plugin_unloaded() -> None:
    global _session
    if _session:
        _session.close()
        _session = None
    inside = f"{__package__}.core"
    for name in [n for n in sys.modules if n == inside or n.startswith(inside + ".")]:
        del sys.modules[name]


class AutocoderListener(sublime_plugin.EventListener):
    """Tells the session what happens in views."""

    def on_modified(self, view: sublime.View) -> None:
        if _session:
            _session.changed(view, edited=True)

    def on_selection_modified(self, view: sublime.View) -> None:
        if _session:
            _session.changed(view, edited=False)

    def on_activated(self, view: sublime.View) -> None:
        if _session:
            _session.entered(view)

    def on_deactivated(self, view: sublime.View) -> None:
        if _session:
            _session.left(view)

    on_revert = on_reload = on_deactivated

    def on_pre_close(self, view: sublime.View) -> None:
        if _session:
            _session.closed(view)

    def on_exit(self) -> None:
        if _session:
            _session.bridge.stop()

    def on_query_context(
        self, view: sublime.View, key: str, operator: int, operand: Any, match_all: bool
    ) -> bool | None:
        value = _session.context(view, key) if _session else None
        if value is None or operator not in (sublime.OP_EQUAL, sublime.OP_NOT_EQUAL):
            return None
        return bool(value == operand) == (operator == sublime.OP_EQUAL)


class AutocoderAcceptCommand(sublime_plugin.TextCommand):
    """Insert "all" of the suggestion, its next "word", or its "line": one step for undo."""

    def run(self, edit: sublime.Edit, amount: str = "all") -> None:
        text = _session.suggester(self.view).take(amount) if _session else ""
        if text:
            # Not the command "insert", which would indent and close brackets.
            caret = self.view.sel()[0].b
            after = caret + self.view.insert(edit, caret, text)
            self.view.sel().clear()
            self.view.sel().add(after)
            self.view.show(after)
            if self.view.is_auto_complete_visible():  # it completes what stood there before
                self.view.run_command("hide_auto_complete")


class AutocoderCycleCommand(sublime_plugin.TextCommand):
    """Show the next (1) or the previous (-1) suggestion."""

    def run(self, edit: sublime.Edit, step: int = 1) -> None:
        if _session:
            _session.suggester(self.view).cycle(step)


class AutocoderDismissCommand(sublime_plugin.TextCommand):
    """Take the suggestion off the screen."""

    def run(self, edit: sublime.Edit) -> None:
        if _session:
            _session.suggester(self.view).dismiss()


class AutocoderTriggerCommand(sublime_plugin.TextCommand):
    """Ask now, for several lines."""

    def run(self, edit: sublime.Edit) -> None:
        if _session:
            _session.suggester(self.view).trigger()

    def is_enabled(self) -> bool:
        return bool(_session and _session.context(self.view, "autocoder.possible"))


class AutocoderToggleCommand(sublime_plugin.WindowCommand):
    """Switch suggestions on or off, everywhere and for good."""

    def run(self) -> None:
        if _session:
            self.window.status_message("autocoder: " + ("on" if _session.switch() else "off"))

    def is_enabled(self) -> bool:
        return _session is not None


class AutocoderToggleViewCommand(sublime_plugin.TextCommand):
    """Switch suggestions on or off in this view."""

    def run(self, edit: sublime.Edit) -> None:
        if _session:
            state = "on" if _session.switch_view(self.view) else "off"
            sublime.status_message(f"autocoder: {state} in this view")

    def is_enabled(self) -> bool:
        return _session is not None


class AutocoderRestartCommand(sublime_plugin.WindowCommand):
    """End the bridge and start it again, whatever happened before."""

    def run(self) -> None:
        if _session:
            _session.bridge.restart()
            self.window.status_message("autocoder: bridge restarted")

    def is_enabled(self) -> bool:
        return _session is not None


class AutocoderShowCommand(sublime_plugin.WindowCommand):
    """Show the "status", the daemon's "statistics" or the "log" in a panel."""

    def run(self, what: str) -> None:
        if _session:
            shows = {"statistics": _session.statistics, "log": _session.show_log}
            shows.get(what, _session.status)(self.window)

    def is_enabled(self, what: str = "") -> bool:
        return _session is not None
