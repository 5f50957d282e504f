"""docs/editor.md lists the keys that F1 shows, and docs/picture.py draws what a screen shows."""

import importlib.util
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pyte
import pytest

from autocoder.clients.editor.command import parser
from autocoder.clients.editor.keys import KEYS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def picture() -> ModuleType:
    found = importlib.util.spec_from_file_location("picture", DOCS / "picture.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_every_key_and_option_is_documented() -> None:
    text = (DOCS / "editor.md").read_text(encoding="utf-8").replace("\\\\", "\\")
    for title, keys in KEYS:
        assert f"| {title} | |" in text
        for key, meaning in keys:
            assert f"| {key} | {meaning} |" in text
    options = [o for action in parser()._actions for o in action.option_strings if o != "-h"]
    assert [o for o in options if o not in text and o != "--help"] == []


def test_a_picture_has_each_cells_text_and_colour(picture: ModuleType) -> None:
    screen = pyte.Screen(20, 2)
    stream = pyte.Stream(screen)
    stream.feed("a<b \x1b[38;2;128;128;128mgrey\x1b[0m\r\n\x1b[7mbar\x1b[0m")
    svg = ElementTree.fromstring(picture.svg(screen))
    texts = {t.text: t.attrib for t in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert texts["grey"]["fill"] == "#808080"
    assert texts["bar"]["fill"] == picture.BACKGROUND
    assert "a<b" in texts
