"""Plays the user of the fake Sublime Text: loads packages, types, presses keys, reads the screen.

Knows Sublime's built-in keys as far as the plugin meets them; knows nothing of the plugin.
"""

from __future__ import annotations

import heapq
import importlib
import re
import sys
import time
import types
import zipfile
from pathlib import Path

import sublime
import sublime_plugin
from fake_minihtml import rendered

DEFAULTS = {
    "tab_size": 4,
    "translate_tabs_to_spaces": False,
    "auto_match_enabled": True,
    "auto_indent": True,
}
# As Sublime has them, a later one goes before an earlier one: key, command, arguments, context.
KEYS = [
    ("tab", "insert", {"characters": "\t"}, None),
    ("tab", "expand_snippet", {}, "has_snippet"),
    ("tab", "next_field", {}, "has_next_field"),
    ("tab", "commit_completion", {}, "auto_complete_visible"),
    ("alt+right", "move", {"by": "subwords", "forward": True}, None),
    ("right", "move", {"by": "characters", "forward": True}, None),
    ("left", "move", {"by": "characters", "forward": False}, None),
    ("ctrl+z", "undo", {}, None),
    ("ctrl+y", "redo", {}, None),
    ("backspace", "left_delete", {}, None),
    ("enter", "insert", {"characters": "\n"}, None),
    ("escape", "single_selection", {}, "has_selections"),
    ("escape", "clear_fields", {}, "has_next_field"),
    ("escape", "hide_panel", {}, "panel_visible"),
    ("escape", "hide_auto_complete", {}, "auto_complete_visible"),
    ("escape", "hide_popup", {}, "popup_visible"),
]


class Editor:
    """One Sublime with one window."""

    def __init__(self, user, build="4200", platform="linux"):
        """`user` is the folder Packages/User."""
        self.world = sublime._world = sublime._World()
        self.world.build, self.world.platform, self.world.user = build, platform, user
        self.world.packages["User"] = Path(user)
        self.window = self.new_window()

    # --- packages -----------------------------------------------------------------------------

    def load(self, package, name="Autocoder"):
        """Load a package: a folder, or an archive of one."""
        package = Path(package)
        self.world.packages[name] = package
        self.world.settings.clear()
        parent = types.ModuleType(name)
        parent.__path__ = [str(package)]
        sys.modules[name] = parent
        importlib.invalidate_caches()
        for plugin in top_level_modules(package):
            self._load_plugin(f"{name}.{plugin}")
        return self

    def _load_plugin(self, name):
        module = importlib.import_module(name)
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__ == name:
                self._register(value)
        if hasattr(module, "plugin_loaded"):
            module.plugin_loaded()

    def _register(self, found):
        if issubclass(found, sublime_plugin.EventListener):
            self.world.listeners.append(found())
        elif issubclass(found, sublime_plugin.Command):
            self.world.commands[found(None).name()] = found

    def unload(self, name="Autocoder"):
        """Unload a package, as disabling or upgrading it does."""
        for module in [m for m in sys.modules if m.startswith(f"{name}.")]:
            unloaded = getattr(sys.modules.get(module), "plugin_unloaded", None)
            if unloaded:
                unloaded()
                self.world.listeners.clear()
                self.world.commands.clear()
                del sys.modules[module]
        self.world.packages.pop(name)
        self.world.settings.clear()

    def close(self):
        """Quit."""
        self.world.tell("on_exit")
        for name in list(self.world.packages):
            if name in sys.modules and name != "User":
                self.unload(name)

    # --- windows and views --------------------------------------------------------------------

    def new_window(self):
        window = sublime.Window(next(self.world.numbers))
        self.world.windows.append(window)
        return window

    def open(self, text="", name=None, scope="source.python", window=None, **settings):
        """A new view of a new text with the caret at its end, or at `|` in it."""
        buffer = sublime._Buffer(text.replace("|", "", 1), str(name) if name else None)
        view = self._view(buffer, window or self.window, scope, settings)
        at = text.find("|")
        view.sel().clear()
        view.sel().add(len(text) if at < 0 else at)
        self.focus(view)
        return view

    def clone(self, view):
        """Another view of the same text."""
        clone = self._view(view._buffer, view._window, view._scope, {})
        self.focus(clone)
        return clone

    def _view(self, buffer, window, scope, settings):
        view = sublime.View(next(self.world.numbers))
        view._buffer, view._window, view._scope = buffer, window, scope
        project = (window._project or {}).get("settings", {})
        view._settings._layers = [dict(settings), project, dict(DEFAULTS)]
        buffer.views.append(view)
        window._views.append(view)
        self.world.views[view.view_id] = view
        return view

    def focus(self, view):
        """The keyboard goes to a view."""
        before, view._window._active = view._window._active, view
        if before and before != view and before.is_valid():
            self.world.tell("on_deactivated", before)
        self.world.tell("on_activated", view)

    @property
    def view(self):
        return self.window.active_view()

    # --- time ---------------------------------------------------------------------------------

    def step(self):
        """Run what is due, each once."""
        with self.world.lock:
            now, due = time.monotonic(), []
            while self.world.timeouts and self.world.timeouts[0][0] <= now:
                due.append(heapq.heappop(self.world.timeouts)[2])
        for callback in due:
            callback()

    def wait(self, what, seconds=20.0):
        """What `what()` returns as soon as that is true; the last of it after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            self.step()
            found = what()
            if found or time.monotonic() > end:
                return found
            time.sleep(0.002)

    def hold(self):
        """From now on nothing that comes from other threads is heard, as if it came late."""
        self.world.held = []

    def release(self):
        """Hear all that was held back."""
        held, self.world.held = self.world.held, None
        for callback in held:
            self.world.later(callback, 0)
        self.rest(0.02)

    def rest(self, seconds=0.1):
        """Let time pass."""
        self.wait(lambda: False, seconds)

    # --- the user -----------------------------------------------------------------------------

    def type(self, text):
        """Type each character, a moment apart as far as the plugin can tell."""
        for character in text:
            self.view.run_command("insert", {"characters": character})
            self.step()
        return self

    def paste(self, text):
        """Insert a text at once; nothing that is due happens meanwhile."""
        self.view.run_command("insert", {"characters": text})
        return self

    def press(self, key):
        """Press a key: the command of the last key binding whose context holds, as (name, args)."""
        for binding in reversed(self._bindings()):
            if binding["keys"] == [key] and all(map(self._holds, binding.get("context", []))):
                command = binding["command"], binding.get("args", {})
                self.view.run_command(*command)
                return command
        return None

    def _bindings(self):
        found = [
            {"keys": [key], "command": command, "args": arguments, "context": [{"key": context}]}
            if context
            else {"keys": [key], "command": command, "args": arguments}
            for key, command, arguments, context in KEYS
        ]
        for package in self.world.packages.values():
            text = sublime._read(package, "Default.sublime-keymap")
            found += sublime.decode_value(text) if text else []
        return found

    def _holds(self, context):
        operator = {"equal": 0, "not_equal": 1}[context.get("operator", "equal")]
        operand, key = context.get("operand", True), context["key"]
        known = self._known_context(key)
        if known is not None:
            return (known == operand) == (operator == 0)
        answers = [
            listener.on_query_context(self.view, key, operator, operand, False)
            for listener in self.world.listeners
        ]
        return any(answer is True for answer in answers)

    def _known_context(self, key):
        view = self.view
        return {
            "auto_complete_visible": view.is_auto_complete_visible(),
            "has_next_field": view._fields > 0,
            "has_snippet": bool(re.search(r"\b(def|for)$", view._buffer.text[: view.sel()[0].b])),
            "popup_visible": view.is_popup_visible(),
            "panel_visible": view._window._panel is not None,
            "has_selections": len(view.sel()) > 1,
        }.get(key)

    def move(self, *points, extend=None):
        """The caret, or carets, to points; with `extend`, a selection from there."""
        selection = self.view.sel()
        selection.clear()
        for point in points:
            selection.add(point if extend is None else sublime.Region(point, extend))
        self.world.tell("on_selection_modified", self.view)
        return self

    # --- the screen ---------------------------------------------------------------------------

    def text(self, view=None):
        """The text with a `|` at each caret."""
        view = view or self.view
        text = view._buffer.text
        for region in reversed(list(view.sel())):
            text = text[: region.b] + "|" + text[region.b :]
        return text

    def screen(self, view=None):
        """The text as it is shown, ghost text between ⟨ and ⟩."""
        view = view or self.view
        text = view._buffer.text
        marks = sorted(view._phantoms.values(), key=lambda mark: (mark[0].begin(), mark[2]))
        for region, content, layout in reversed(marks):
            ghost = "\n".join(f"⟨{line}⟩" for line in rendered(content))
            at = region.begin() if layout == sublime.LAYOUT_INLINE else view.line(region.begin()).b
            text = text[:at] + ("" if layout == sublime.LAYOUT_INLINE else "\n") + ghost + text[at:]
        return text

    def popup(self, view=None):
        """The lines of the popup, or None."""
        popup = (view or self.view)._popup
        return rendered(popup[0]) if popup else None

    def panel(self):
        """The text of the panel that is open, or ""."""
        shown = self.window._panel
        return self.window._panels[shown[len("output.") :]]._buffer.text if shown else ""

    def status(self, view=None):
        """What the status bar says of autocoder."""
        return (view or self.view).get_status("autocoder")


def top_level_modules(package):
    """The modules that Sublime loads as plugins: the Python files at the package's top."""
    names = (
        [path.name for path in package.iterdir()]
        if package.is_dir()
        else zipfile.ZipFile(package).namelist()
    )
    return sorted(name[:-3] for name in names if name.endswith(".py") and "/" not in name)
