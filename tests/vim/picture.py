"""Draws docs/vim.svg: what real Vim shows, with the plugin, the real bridge and the daemon.

    python tests/vim/picture.py docs/vim.svg [--scripted]

With --scripted the suggestion comes from a fixed answer instead of the bundled model.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyte

HERE = Path(__file__).parent
SIZE = (76, 18)
SOURCE = '''"""Sorting, one way."""


def merge(left: list[int], right: list[int]) -> list[int]:
    """Two sorted lists as one."""
    merged = []
    while left and right:

    return merged + left + right
'''
TYPED = "if left[0] <= right[0]:"
ANSWER = """
            merged.append(left.pop(0))
        else:
            merged.append(right.pop(0))"""


def load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--scripted", action="store_true")
    options = parser.parse_args()
    vim, picture = (
        load("vim_tests", HERE / "conftest.py"),
        load("picture", HERE / "../../docs/picture.py"),
    )
    with tempfile.TemporaryDirectory() as folder:
        bridge = vim.Bridge(Path(folder))
        bridge.says((TYPED, ANSWER))
        editor = vim.Editor("vim", Path(folder), bridge)
        command = None if options.scripted else [sys.executable, "-P", "-m", "autocoder"]
        look = "set number laststatus=2 statusline=%f\\ %=%{autocoder#statusline()}\\ "
        editor.open(SOURCE, command=command, size=SIZE, after=look, name="merge.py")
        editor.type("8GS        " + TYPED).keys("C-x", "C-a")
        vim.wait_for(lambda: editor.state()["visible"])
        time.sleep(0.5)
        screen = pyte.Screen(*SIZE)
        pyte.Stream(screen).feed(editor.coloured().rstrip("\n").replace("\n", "\r\n"))
        screen.cursor.x, screen.cursor.y = editor.cursor()
        editor.close()
    options.output.write_text(picture.svg(screen), encoding="utf-8")


if __name__ == "__main__":
    main()
