"""The keys, for people: what F1 shows, and what docs/editor.md must list. Binds nothing."""

KEYS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Suggestions",
        (
            ("Tab", "accept all of it; without one: indent"),
            ("Alt-Right, Ctrl-Right", "accept the next word; without one: next word"),
            ("Ctrl-E, Alt-Enter", "accept to the end of the line; without one: line end"),
            ("Esc", "dismiss it"),
            ("Alt-N, Alt-P", "next, previous suggestion"),
            ("Alt-\\, Ctrl-Space", "ask here and now"),
            ("F4", "switch suggestions off and on"),
        ),
    ),
    (
        "File",
        (
            ("Ctrl-S", "save"),
            ("F2", "save under another name"),
            ("Ctrl-Q", "leave"),
        ),
    ),
    (
        "Editing",
        (
            ("Ctrl-Z, Ctrl-Y", "undo, redo"),
            ("Shift-arrows, Ctrl-A", "select, select all"),
            ("Ctrl-X, Ctrl-C, Ctrl-V", "cut (or the line), copy, paste"),
            ("Tab, Shift-Tab", "indent, unindent the line or the selection"),
            ("Alt-Up, Alt-Down", "move the line"),
            ("Ctrl-/", "comment out and in"),
            ("Ctrl-W, Ctrl-Delete", "delete a word to the left, to the right"),
        ),
    ),
    (
        "Moving",
        (
            ("Ctrl-F", "find"),
            ("Ctrl-N or F3, Ctrl-P", "find the next, the previous one"),
            ("Ctrl-R", "replace"),
            ("Ctrl-G", "go to line"),
            ("Ctrl-Home, Ctrl-End", "beginning, end of the file"),
            ("Home", "first character of the line, then its beginning"),
        ),
    ),
)


def help_text() -> str:
    """The table, ready for the screen."""
    rows = []
    for title, keys in KEYS:
        rows += [title, *(f"  {key:<24} {text}" for key, text in keys)]
    return "\n".join([*rows, "Up and down scroll, any other key closes this."])
