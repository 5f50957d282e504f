"""Sublime Text's module `sublime`, as far as the plugin and its tests need it, without Sublime.

Every public name has the parameters of the published stubs (test_fake_api.py holds it to them).
Names with an underscore are the fake's own; `fake_editor.py` uses them to play the user. Buffers,
views and windows live in `_world`; views may be touched from the main thread only, which is
stricter than Sublime.
"""

from __future__ import annotations

import heapq
import itertools
import json
import re
import threading
import time
from pathlib import Path

HTML = 1
OP_EQUAL, OP_NOT_EQUAL, OP_REGEX_MATCH = 0, 1, 2
OP_NOT_REGEX_MATCH, OP_REGEX_CONTAINS, OP_NOT_REGEX_CONTAINS = 3, 4, 5
LAYOUT_INLINE, LAYOUT_BELOW, LAYOUT_BLOCK = 0, 1, 2
COOPERATE_WITH_AUTO_COMPLETE, KEEP_ON_SELECTION_MODIFIED = 2, 16


class _World:
    """All there is in one run of the fake editor."""

    def __init__(self):
        self.build, self.platform = "4200", "linux"
        self.thread = threading.current_thread()
        self.lock = threading.Lock()
        self.timeouts = []
        self.held = None  # callbacks of other threads, while they are held back
        self.numbers = itertools.count(1)
        self.windows, self.views = [], {}
        self.packages = {}  # name → folder or archive, as _read takes it
        self.settings, self.listeners, self.commands = {}, [], {}
        self.messages, self.saved, self.ran = [], [], []
        self.user = None  # the folder Packages/User
        self.selection_first = False  # the order of an edit's two events

    def later(self, callback, delay_ms):
        with self.lock:
            if self.held is not None and threading.current_thread() is not self.thread:
                self.held.append(callback)
                return
            due = time.monotonic() + delay_ms / 1000
            heapq.heappush(self.timeouts, (due, next(self.numbers), callback))

    def tell(self, event, *arguments):
        for listener in self.listeners:
            hook = getattr(listener, event, None)
            if hook:
                hook(*arguments)

    def check_thread(self):
        assert threading.current_thread() is self.thread, "a view was touched from another thread"


_world = _World()


# --- the application ------------------------------------------------------------------------------


def version():
    return _world.build


def platform():
    return _world.platform


def set_timeout(callback, delay=0):
    _world.later(callback, delay)


def status_message(msg):
    _world.messages.append(msg)


def active_window():
    return _world.windows[0]


def windows():
    return list(_world.windows)


def decode_value(data):
    """JSON with comments and trailing commas."""
    tokens = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*[\s\S]*?\*/|,(?=\s*[\]}])')
    return json.loads(tokens.sub(lambda found: found[0] if found[0][0] == '"' else "", data))


def load_settings(base_name):
    if base_name not in _world.settings:
        merged = {}
        for name in sorted(_world.packages, key=lambda n: (n != "Default", n == "User", n)):
            text = _read(_world.packages[name], base_name)
            merged.update(decode_value(text) if text else {})
        _world.settings[base_name] = Settings(next(_world.numbers))
        _world.settings[base_name]._layers = [{}, merged]
    return _world.settings[base_name]


def save_settings(base_name):
    own = load_settings(base_name)._layers[0]
    path = Path(_world.user) / base_name
    before = decode_value(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**before, **own}))
    _world.saved.append(base_name)


def _read(package, name):
    """The text of a file of a package, a folder or a zip, or None."""
    try:
        if package.is_dir():
            return (package / name).read_text(encoding="utf-8")
        import zipfile

        with zipfile.ZipFile(package) as archive:
            return archive.read(name).decode("utf-8")
    except (FileNotFoundError, KeyError):
        return None


class Settings:
    """Layers of dictionaries: the first one that has a key tells its value."""

    def __init__(self, id):
        self.settings_id = id
        self._layers = [{}]
        self._callbacks = {}

    def get(self, key, default=None):
        return next((layer[key] for layer in self._layers if key in layer), default)

    def has(self, key):
        return any(key in layer for layer in self._layers)

    def set(self, key, value):
        self._layers[0][key] = value
        self._changed()

    def erase(self, key):
        self._layers[0].pop(key, None)
        self._changed()

    def add_on_change(self, tag, callback):
        self._callbacks[tag] = callback

    def clear_on_change(self, tag):
        self._callbacks.pop(tag, None)

    def _changed(self):
        for callback in list(self._callbacks.values()):
            callback()


# --- places and marks in a text -------------------------------------------------------------------


class Region:
    def __init__(self, a, b=None, xpos=-1):
        self.a, self.b, self.xpos = a, a if b is None else b, xpos

    def __eq__(self, rhs):
        return isinstance(rhs, Region) and (self.a, self.b) == (rhs.a, rhs.b)

    def __len__(self):
        return self.size()

    def __repr__(self):
        return f"Region({self.a}, {self.b})"

    def begin(self):
        return min(self.a, self.b)

    def end(self):
        return max(self.a, self.b)

    def size(self):
        return abs(self.a - self.b)

    def empty(self):
        return self.a == self.b


class Selection:
    def __init__(self, id):
        self.view_id = id
        self._regions = [Region(0)]

    def __len__(self):
        return len(self._regions)

    def __iter__(self):
        return iter(list(self._regions))

    def __getitem__(self, index):
        region = self._regions[index]
        return Region(region.a, region.b)

    def clear(self):
        self._regions.clear()

    def add(self, x):
        region = Region(x) if isinstance(x, int) else Region(x.a, x.b)
        if region not in self._regions:
            self._regions.append(region)
            self._regions.sort(key=Region.begin)


class Phantom:
    def __init__(self, region, content, layout, on_navigate=None):
        self.region, self.content, self.layout = region, content, layout
        self.on_navigate, self.id = on_navigate, None

    def __eq__(self, rhs):
        return self.to_tuple() == rhs.to_tuple()

    def to_tuple(self):
        return (self.region.a, self.region.b), self.content, self.layout, self.on_navigate


class PhantomSet:
    """Gone from the view as soon as nobody holds the set any more."""

    def __init__(self, view, key=""):
        self.view, self.key, self.phantoms = view, key, []

    def __del__(self):
        for phantom in self.phantoms:
            self.view._phantoms.pop(phantom.id, None)

    def update(self, phantoms):
        for old, region in zip(
            self.phantoms, self.view.query_phantoms([p.id for p in self.phantoms])
        ):
            old.region = region
        new = list(phantoms)
        for phantom in new:
            same = next((old for old in self.phantoms if old == phantom), None)
            phantom.id = (
                same.id
                if same
                else self.view.add_phantom(
                    self.key, phantom.region, phantom.content, phantom.layout, phantom.on_navigate
                )
            )
        for old in self.phantoms:
            if old.id not in {phantom.id for phantom in new}:
                self.view.erase_phantom_by_id(old.id)
        self.phantoms = new


class Syntax:
    def __init__(self, path, name, hidden, scope):
        self.path, self.name, self.hidden, self.scope = path, name, hidden, scope


class Edit:
    def __init__(self, token):
        self.edit_token = token


# --- texts and where they are shown ---------------------------------------------------------------


class _Buffer:
    """A text, its history and the views that show it."""

    def __init__(self, text, file_name):
        self.id, self.text, self.file_name = next(_world.numbers), text, file_name
        self.changes, self.views = 0, []
        self.done, self.undone = [], []  # (command, arguments, text before, text after)
        self.edit = None

    def replace(self, begin, end, text):
        self.text = self.text[:begin] + text + self.text[end:]
        self.changes += 1
        for view in self.views:
            view._shift(begin, end, len(text))


class View:
    def __init__(self, id):
        self.view_id = id
        self._buffer = None
        self._window = None
        self._selection = Selection(id)
        self._settings = Settings(id)
        self._phantoms, self._statuses, self._popup = {}, {}, None
        self._element, self._read_only, self._loading = None, False, False
        self._scope, self._auto_complete, self._fields = "text.plain", None, 0
        self._shown_at = None

    def __eq__(self, other):
        return isinstance(other, View) and other.view_id == self.view_id

    def __hash__(self):
        return self.view_id

    def _shift(self, begin, end, size):
        """Keep regions where they were in the text; what is at an insertion goes behind it."""

        def moved(point):
            return point if point < begin else max(point, end) - (end - begin) + size

        self._selection._regions = [Region(moved(r.a), moved(r.b)) for r in self._selection]
        for key, (region, *rest) in self._phantoms.items():
            self._phantoms[key] = (Region(moved(region.a), moved(region.b)), *rest)

    # What it is

    def id(self):
        return self.view_id

    def buffer_id(self):
        return self._buffer.id

    def is_valid(self):
        return self.view_id in _world.views

    def is_primary(self):
        return self._buffer.views[0] == self

    def clones(self):
        return [view for view in self._buffer.views if view != self]

    def window(self):
        return self._window if self.is_valid() else None

    def element(self):
        return self._element

    def file_name(self):
        return self._buffer.file_name

    def is_loading(self):
        return self._loading

    def is_read_only(self):
        return self._read_only

    def set_read_only(self, read_only):
        self._read_only = read_only

    def settings(self):
        return self._settings

    def syntax(self):
        name = self._scope.split(".")[-1].title()
        return Syntax(f"Packages/{name}.sublime-syntax", name, False, self._scope)

    def match_selector(self, pt, selector):
        _world.check_thread()
        wanted = [part.strip() for part in selector.split(",")]
        return any(f"{self._scope}.".startswith(f"{part}.") for part in wanted)

    def close(self, on_close=lambda closed: None):
        _world.tell("on_pre_close", self)
        self._buffer.views.remove(self)
        self._window._views.remove(self)
        del _world.views[self.view_id]
        self._selection.clear()
        _world.tell("on_close", self)
        on_close(True)
        return True

    # The text

    def size(self):
        _world.check_thread()
        return len(self._buffer.text)

    def substr(self, x):
        _world.check_thread()
        if isinstance(x, int):
            return self._buffer.text[x : x + 1] or "\0"
        _world.copied = getattr(_world, "copied", 0) + x.size()
        return self._buffer.text[max(0, x.begin()) : x.end()]

    def line(self, x):
        point = x if isinstance(x, int) else x.begin()
        end = self._buffer.text.find("\n", point)
        begin = self._buffer.text.rfind("\n", 0, point) + 1
        return Region(begin, len(self._buffer.text) if end < 0 else end)

    def change_count(self):
        _world.check_thread()
        return self._buffer.changes

    def sel(self):
        _world.check_thread()
        return self._selection

    def show(self, location, show_surrounds=True, keep_to_left=False, animate=True):
        self._shown_at = location

    def insert(self, edit, pt, text):
        """Translates tabs where the buffer is indented by spaces, as Sublime's does."""
        assert edit is self._buffer.edit, "outside of a command"
        if self._settings.get("translate_tabs_to_spaces"):
            text = text.replace("\t", " " * self._settings.get("tab_size", 4))
        self._buffer.replace(pt, pt, text)
        return len(text)

    def erase(self, edit, region):
        self.replace(edit, region, "")

    def replace(self, edit, region, text):
        assert edit is self._buffer.edit, "outside of a command"
        self._buffer.replace(region.begin(), region.end(), text)

    def run_command(self, cmd, args=None):
        from fake_commands import run_text_command

        run_text_command(self, cmd, args or {})

    def command_history(self, index, modifying_only=False):
        done, undone = self._buffer.done, self._buffer.undone
        history = list(reversed(done)) if index <= 0 else list(reversed(undone))
        at = -index if index <= 0 else index - 1
        return (history[at][0], history[at][1], 1) if at < len(history) else (None, None, 0)

    # What is shown beside the text

    def add_phantom(self, key, region, content, layout, on_navigate=None):
        _world.check_thread()
        number = next(_world.numbers)
        self._phantoms[number] = (Region(region.a, region.b), content, layout)
        return number

    def erase_phantom_by_id(self, pid):
        self._phantoms.pop(pid, None)

    def query_phantoms(self, pids):
        return [self._phantoms.get(pid, (Region(-1),))[0] for pid in pids]

    def set_status(self, key, value):
        _world.check_thread()
        self._statuses[key] = value

    def get_status(self, key):
        return self._statuses.get(key, "")

    def erase_status(self, key):
        self._statuses.pop(key, None)

    def show_popup(
        self,
        content,
        flags=0,
        location=-1,
        max_width=320,
        max_height=240,
        on_navigate=None,
        on_hide=None,
    ):
        self._hide_popup_soon()
        self._popup = (content, location, flags, on_hide)

    def update_popup(self, content):
        self._popup = (content, *self._popup[1:])

    def hide_popup(self):
        self._hide_popup_soon()

    def _hide_popup_soon(self):
        """What a popup's owner is told comes a moment later."""
        gone, self._popup = self._popup, None
        if gone and gone[3]:
            _world.later(gone[3], 0)

    def is_popup_visible(self):
        return self._popup is not None

    def is_auto_complete_visible(self):
        return self._auto_complete is not None


class Window:
    def __init__(self, id):
        self.window_id = id
        self._views, self._active, self._panels = [], None, {}
        self._panel, self._project = None, None

    def id(self):
        return self.window_id

    def views(self, *, include_transient=False):
        return list(self._views)

    def active_view(self):
        return self._active

    def project_data(self):
        return self._project

    def active_panel(self):
        return self._panel

    def create_output_panel(self, name, unlisted=False):
        if name in self._panels:
            return self._panels[name]
        view = View(next(_world.numbers))
        view._buffer, view._window, view._element = _Buffer("", None), self, "output:output"
        view._buffer.views.append(view)
        _world.views[view.view_id] = view
        self._panels[name] = view
        return view

    def find_output_panel(self, name):
        return self._panels.get(name)

    def status_message(self, msg):
        _world.messages.append(msg)

    def run_command(self, cmd, args=None):
        from fake_commands import run_window_command

        run_window_command(self, cmd, args or {})
