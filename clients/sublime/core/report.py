"""What the plugin says of itself: the status bar's word, and the texts of "Autocoder: Status" and
"Autocoder: Statistics". Knows no requests."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import sublime

from .bridge import Bridge
from .settings import setting, wanted, why_impossible, why_silent

PANEL = "autocoder"


def word(view: sublime.View, bridge: Bridge) -> str:
    """For the status bar: "" where off, else the setting "status" with a sign: none: ready;
    …: waiting for an answer; !: the bridge is down, see "Autocoder: Log"."""
    if setting(view, "enabled") is not True or not wanted(view):
        return ""
    sign = "!" if bridge.state() == "down" else "…" if bridge.waiting() else ""
    return str(setting(view, "status")) + sign if setting(view, "status") else ""


def status(view: sublime.View | None, bridge: Bridge, find: Callable[[], Sequence[str]]) -> str:
    """Why there is ghost text here, or why not."""
    rows = [("autocoder", _here(view)), ("bridge", bridge.state()), ("command", _command(find))]
    hello = bridge.hello()
    if hello:
        model = hello.get("model") or {}
        provider = hello.get("provider") or "still loading"
        rows.append(("daemon", "{}, {}".format(hello.get("version"), provider)))
        languages = " ".join(model.get("languages") or [])
        rows.append(("model", "{}, {}".format(model.get("name"), languages)))
    return table(rows)


def statistics(reply: dict[str, Any]) -> str:
    """The daemon's answer to a `status` request, a row each."""
    if reply.get("type") != "status":
        return "{}\n".format(reply.get("text") or "no answer")
    hidden = ("v", "type", "id", "model")
    return table([(name, _flat(value)) for name, value in reply.items() if name not in hidden])


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Two columns."""
    return "".join(f"{name:<12} {value}\n" for name, value in rows)


def show(window: sublime.Window, text: str) -> None:
    """In a panel below the text, which takes no keys; Escape closes it."""
    panel = window.create_output_panel(PANEL, True)
    panel.run_command("select_all")
    panel.run_command("right_delete")  # what it said before
    panel.run_command("append", {"characters": text})
    window.run_command("show_panel", {"panel": "output." + PANEL})


def _here(view: sublime.View | None) -> str:
    if view is None:
        return "nothing: no view"
    if why_impossible(view):
        return "nothing here: " + why_impossible(view)
    return "nothing here of itself: " + why_silent(view) if why_silent(view) else "on"


def _command(find: Callable[[], Sequence[str]]) -> str:
    try:
        return " ".join(find())
    except OSError as error:
        return str(error)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {one}" for name, one in value.items())
    return "-" if value is None else str(value)
