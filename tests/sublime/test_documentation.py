"""docs/sublime.md says what the files say: keys, settings, commands."""

import argparse
import json
import re
from pathlib import Path

import sublime

from autocoder.clients import sublime_command

PLUGIN = sublime_command.PLUGIN
PAGE = (Path(__file__).parents[2] / "docs" / "sublime.md").read_text()
SPOKEN = {"\\": "\\\\"} | {
    name: name.title() for name in ("alt", "ctrl", "right", "end", "enter", "tab", "escape")
}


def decoded(name):
    return sublime.decode_value((PLUGIN / name).read_text())


def table(heading):
    """The cells of the rows of the first table after a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.split("\n") if line.startswith("|")]
    first = rows[2 : next((i for i, r in enumerate(rows[2:], 2) if r.startswith("| ---")), None)]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in first]


def test_every_key_is_told_with_its_command():
    bound = {}
    for binding in decoded("Default.sublime-keymap"):
        key = "-".join(SPOKEN.get(part, part) for part in binding["keys"][0].split("+"))
        amount = binding.get("args", {}).get("amount")
        bound[key] = f"`{binding['command']}`" + (f" `{amount}`" if amount else "")
    told = {key: command for keys, command, _ in table("Keys") for key in keys.split(", ")}
    assert told == bound


def test_every_setting_is_told_with_its_default():
    told = {}
    for names, defaults, _ in table("Settings"):
        pairs = zip(re.findall("`([^`]+)`", names), re.findall("`([^`]+)`", defaults), strict=True)
        told |= {name: json.loads(default) for name, default in pairs}
    assert told == decoded("Autocoder.sublime-settings")


def test_every_setting_is_used_and_every_one_used_is_there():
    code = "\n".join(path.read_text() for path in (PLUGIN / "core").glob("*.py"))
    there = set(decoded("Autocoder.sublime-settings"))
    used = set(re.findall(r'(?:setting\([\w.]+, |everywhere\(|_on\(view, |number\()"(\w+)"', code))
    used = used - {"trigger_"} | {"max_lines", "trigger_lines", "trigger_tokens"}
    assert used == there
    assert '"trigger_" + what' in code and '("max_lines", "max_tokens")' in code


def test_every_command_of_the_palette_is_told():
    for entry in decoded("Default.sublime-commands"):
        if entry["caption"].startswith("Autocoder: "):
            assert entry["caption"].removeprefix("Autocoder: ") in PAGE.replace("\n", " ")


def test_every_option_of_the_command_line_is_told():
    [*options] = sublime_command._parser()._actions
    assert any(isinstance(option, argparse._StoreTrueAction) for option in options)
    for option in options:
        assert option.option_strings[-1] in PAGE or "--help" in option.option_strings


def test_the_limits_are_those_of_the_code():
    code = (PLUGIN / "core" / "context.py").read_text() + (PLUGIN / "core/settings.py").read_text()
    for number in ("24_576", "8_192", "4096"):
        assert number in code
        assert f"{int(number):,}" in PAGE


def test_the_example_of_a_key_binding_and_of_a_project_are_json():
    blocks = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    binding, project = map(json.loads, blocks)
    assert binding["context"][0]["key"] == "autocoder.visible"
    assert project["settings"] == {"autocoder.enabled": False}
