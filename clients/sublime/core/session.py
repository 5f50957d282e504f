"""Everything between the package's loading and unloading: one bridge, and a suggester per view.

Knows which view is being typed in; leaves what happens there to its suggester.
"""

from __future__ import annotations

import sublime

from . import report, settings
from .bridge import Bridge
from .executable import bridge_command
from .log import Log
from .suggester import Suggester

STATUS = "autocoder"
TAG = "autocoder"


def why_unsupported() -> str:
    """Why the plugin cannot work here, or ""."""
    if sublime.platform() == "windows":
        return "the plugin runs on Linux and macOS, not on Windows: its daemon does not"
    return ""


class Session:
    """The plugin at work."""

    def __init__(self) -> None:
        self.log = Log(self._say)
        self.bridge = Bridge(
            self._find,
            lambda work: sublime.set_timeout(work, 0),
            self.log,
            lambda: settings.number("timeout") / 1000,
            self._refresh,
        )
        self._suggesters: dict[int, Suggester] = {}
        self._command = settings.everywhere("command")
        sublime.load_settings(settings.FILE).add_on_change(TAG, self._settings_changed)

    def close(self) -> None:
        """The package is unloaded: nothing of it stays."""
        sublime.load_settings(settings.FILE).clear_on_change(TAG)
        for suggester in self._suggesters.values():
            suggester.leave()
        self._suggesters.clear()
        self.bridge.stop()
        for window in sublime.windows():
            for view in window.views():
                view.erase_status(STATUS)

    # --- what happens in views ----------------------------------------------------------------

    def changed(self, view: sublime.View, edited: bool) -> None:
        """The text or the caret changed. Of a buffer's views, only the one typed in matters."""
        if _focused(view):
            self.suggester(view).follow(edited)
        else:
            self.left(view)

    def entered(self, view: sublime.View) -> None:
        """The view has the keyboard now."""
        self._tell_status(view)

    def left(self, view: sublime.View) -> None:
        """The view has lost the keyboard, or its text was exchanged."""
        if view.id() in self._suggesters:
            self._suggesters[view.id()].leave()

    def closed(self, view: sublime.View) -> None:
        """The view is gone."""
        self.left(view)
        self._suggesters.pop(view.id(), None)

    def suggester(self, view: sublime.View) -> Suggester:
        """The view's own, made when first needed."""
        if view.id() not in self._suggesters:
            self._suggesters[view.id()] = Suggester(view, self.bridge, self._refresh)
        return self._suggesters[view.id()]

    def context(self, view: sublime.View, key: str) -> bool | None:
        """What the plugin's keys in key bindings' contexts are; None for everybody else's."""
        if key == "autocoder.visible":
            return view.id() in self._suggesters and self._suggesters[view.id()].is_visible()
        return settings.possible(view) if key == "autocoder.possible" else None

    # --- what the user says -------------------------------------------------------------------

    def switch(self) -> bool:
        """On or off everywhere, from now on. What it is afterwards."""
        enabled = settings.everywhere("enabled") is not True
        sublime.load_settings(settings.FILE).set("enabled", enabled)
        sublime.save_settings(settings.FILE)
        self._settings_changed()
        return enabled

    def switch_view(self, view: sublime.View) -> bool:
        """On or off in one view. Switched on, it suggests there whatever the text's syntax is."""
        enabled = not (settings.setting(view, "enabled") is True and settings.wanted(view))
        view.settings().set("autocoder.enabled", enabled)
        if enabled and not settings.wanted(view):
            view.settings().set("autocoder.selector", "")
        self.left(view)
        self._tell_status(view)
        return enabled

    def status(self, window: sublime.Window) -> None:
        """Show why there is ghost text in the active view, or why not."""
        report.show(window, report.status(window.active_view(), self.bridge, self._find))

    def statistics(self, window: sublime.Window) -> None:
        """Ask the daemon for its counts and show them."""
        sent = self.bridge.send(
            {"type": "status"}, lambda reply: report.show(window, report.statistics(reply))
        )
        if not sent:
            report.show(window, 'the bridge is down, see "Autocoder: Log"\n')

    def show_log(self, window: sublime.Window) -> None:
        """Show the last lines of the log."""
        report.show(window, "\n".join(self.log.lines()) + "\n")

    # --- inside -------------------------------------------------------------------------------

    def _find(self) -> list[str]:
        return bridge_command(settings.everywhere("command"))

    def _settings_changed(self) -> None:
        command = settings.everywhere("command")
        if command != self._command:
            self._command = command
            self.bridge.stop()
        if settings.everywhere("enabled") is not True:
            for suggester in self._suggesters.values():
                suggester.leave()
        self._refresh()

    def _refresh(self) -> None:
        for window in sublime.windows():
            view = window.active_view()
            if view:
                self._tell_status(view)

    def _tell_status(self, view: sublime.View) -> None:
        word = report.word(view, self.bridge)
        if word != view.get_status(STATUS):
            view.set_status(STATUS, word)

    def _say(self, text: str) -> None:
        print("autocoder: " + text)
        report.show(sublime.active_window(), "autocoder: " + text + "\n")


def _focused(view: sublime.View) -> bool:
    window = view.window()
    return window is not None and window.active_view() == view
