"""A first tour of autocoder. You are in its editor, and this file is yours to spoil.

Grey text at the cursor is a suggestion. Tab takes all of it, Esc sends it away, and
whoever simply types on is never in its way. F1 lists every key, Ctrl-Q leaves.

Go to the end of the file (Ctrl-End) and type, for a start:    for i in ran
"""


class Stack:
    """Last in, first out."""

    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        return self.items.pop()


def squares(count):
    """The first `count` square numbers."""
    result = []
    