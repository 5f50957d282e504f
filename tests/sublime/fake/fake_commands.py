"""Runs commands in the fake Sublime Text: the built-in ones that the plugin meets, and plugins'.

A command `x` of a text is `do_x` here. Tells the listeners what a command changed, as Sublime does.
"""

from __future__ import annotations

import re

import sublime
import sublime_plugin

PAIRS = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}


def run_text_command(view, name, arguments):
    """Run a command, a plugin's or a built-in one, and tell of what it changed."""
    world, buffer = sublime._world, view._buffer
    world.ran.append((name, arguments))
    before = buffer.text, buffer.changes, [list(v.sel()) for v in buffer.views]
    if name in world.commands:
        run_plugin_command(world.commands[name], view, arguments)
    else:
        globals()["do_" + name](view, **arguments)
    if buffer.changes != before[1] and name not in ("undo", "redo"):
        buffer.done.append((name, arguments, before[0], buffer.text))
        buffer.undone.clear()
    moved = [v for v, was in zip(buffer.views, before[2]) if list(v.sel()) != was]
    events = [("on_modified", v) for v in buffer.views] if buffer.changes != before[1] else []
    selections = [("on_selection_modified", v) for v in moved]
    for event, shown in selections + events if world.selection_first else events + selections:
        world.tell(event, shown)


def run_plugin_command(found, view, arguments):
    if issubclass(found, sublime_plugin.TextCommand):
        command = found(view)
        if command.is_enabled():
            view._buffer.edit = sublime.Edit(1)
            try:
                command.run(view._buffer.edit, **arguments)
            finally:
                view._buffer.edit = None
    else:
        run_window_command(view._window, found(None).name(), arguments)


def run_window_command(window, name, arguments):
    world = sublime._world
    found = world.commands.get(name)
    if name == "show_panel":
        window._panel = arguments["panel"]
    elif found and issubclass(found, sublime_plugin.WindowCommand):
        command = found(window)
        if command.is_enabled():
            command.run(**arguments)
    elif window._active:
        window._active.run_command(name, arguments)


def do_insert(view, characters):
    """With automatic closing brackets and indentation, from the last caret to the first."""
    for region in reversed(list(view.sel())):
        typed, closing = view_typed(view, region, characters)
        view._buffer.replace(region.begin(), region.end(), typed + closing)
        if closing:
            step_back(view, region.begin() + len(typed) + len(closing), len(closing))


def view_typed(view, region, characters):
    settings = view.settings()
    line = view._buffer.text[view.line(region.begin()).begin() : region.begin()]
    if characters == "\n" and settings.get("auto_indent"):
        deeper = "    " if line.rstrip().endswith(":") else ""
        return "\n" + re.match(r"\s*", line)[0] + deeper, ""
    return characters, PAIRS.get(characters, "") if settings.get("auto_match_enabled") else ""


def step_back(view, point, far):
    view._selection._regions = [
        sublime.Region(point - far) if region.b == point else region for region in view.sel()
    ]


def do_left_delete(view):
    for region in reversed(list(view.sel())):
        begin = region.begin() - 1 if region.empty() else region.begin()
        view._buffer.replace(max(0, begin), region.end(), "")


def do_select_all(view):
    view._selection._regions = [sublime.Region(0, view.size())]


def do_right_delete(view):
    for region in reversed(list(view.sel())):
        end = region.end() + 1 if region.empty() else region.end()
        view._buffer.replace(region.begin(), end, "")


def do_move(view, by, forward):
    step = 1 if forward else -1
    points = [max(0, min(view.size(), region.b + step)) for region in view.sel()]
    view.sel().clear()
    for point in points:
        view.sel().add(point)


def do_undo(view):
    restore(view, view._buffer.done, view._buffer.undone, 2)


def do_redo(view):
    restore(view, view._buffer.undone, view._buffer.done, 3)


def restore(view, taken_from, put_to, which):
    """Put the text of an entry back, changing no more of it than differs."""
    if not taken_from:
        return
    entry = taken_from.pop()
    put_to.append(entry)
    old, new = view._buffer.text, entry[which]
    head = alike(old, new)
    tail = alike(old[head:][::-1], new[head:][::-1])
    view._buffer.replace(head, len(old) - tail, new[head : len(new) - tail])


def alike(one, other):
    """How many characters two texts have in common at their beginning."""
    shorter = min(len(one), len(other))
    return next((i for i in range(shorter) if one[i] != other[i]), shorter)


def do_append(view, characters):
    view._buffer.replace(view.size(), view.size(), characters)


def do_commit_completion(view):
    chosen, view._auto_complete = view._auto_complete, None
    view._buffer.replace(view.sel()[0].b, view.sel()[0].b, chosen)


def do_next_field(view):
    view._fields -= 1


def do_clear_fields(view):
    view._fields = 0


def do_expand_snippet(view):
    view._buffer.replace(view.sel()[0].b, view.sel()[0].b, " SNIPPET")


def do_hide_auto_complete(view):
    view._auto_complete = None


def do_hide_popup(view):
    view.hide_popup()


def do_hide_panel(view):
    view._window._panel = None


def do_single_selection(view):
    first = view.sel()[0]
    view.sel().clear()
    view.sel().add(first)
