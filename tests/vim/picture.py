"""Draws what real Vim or Neovim shows, with the plugin, the real bridge and the bundled model.

python tests/vim/picture.py docs/vim.svg
python tests/vim/picture.py docs/neovim.svg --editor nvim
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
SOURCE = '''"""What a shop sells."""


class Item:
    """So many pieces of one thing."""



    def total(self) -> float:
        return self.price * self.quantity
'''
TYPED = "    def __init__(self, name: str, price: float, quantity: int) -> None:"


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
    parser.add_argument("--editor", choices=("vim", "nvim"), default="vim")
    options = parser.parse_args()
    bridges = load("shared_tests", HERE / "../conftest.py")
    vim = load("vim_tests", HERE / "conftest.py")
    picture = load("picture", HERE / "../../docs/picture.py")
    with tempfile.TemporaryDirectory() as folder:
        editor = vim.Editor(options.editor, Path(folder), bridges.FakeBridge(Path(folder)))
        command = [sys.executable, "-P", "-m", "autocoder"]
        look = "set number noruler laststatus=2 statusline=%f\\ %=%{autocoder#statusline()}\\ "
        editor.open(SOURCE, command=command, size=SIZE, after=look, name="item.py")
        editor.type("7GC" + TYPED).keys("C-x", "C-a")
        vim.wait_for(lambda: editor.state()["visible"])
        time.sleep(2)  # the first of them may be what came of itself
        screen = pyte.Screen(*SIZE)
        pyte.Stream(screen).feed(editor.coloured().rstrip("\n").replace("\n", "\r\n"))
        screen.cursor.x, screen.cursor.y = editor.cursor()
        editor.close()
    options.output.write_text(picture.svg(screen), encoding="utf-8")


if __name__ == "__main__":
    main()
