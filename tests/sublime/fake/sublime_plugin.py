"""Sublime Text's module `sublime_plugin`: the classes that a plugin's own are derived from."""

from __future__ import annotations

import re


class Command:
    def name(self):
        words = re.sub("Command$", "", type(self).__name__)
        return re.sub("(?<!^)(?=[A-Z])", "_", words).lower()

    def is_enabled(self):
        return True

    def is_visible(self):
        return True

    def description(self):
        return None


class WindowCommand(Command):
    def __init__(self, window):
        self.window = window


class TextCommand(Command):
    def __init__(self, view):
        self.view = view


class EventListener:
    pass
