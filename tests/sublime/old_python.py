"""The plugin under another Python, without pytest: types, accepts, unloads. Exits 0 if it works.

Usage: PYTHON tests/sublime/old_python.py FOLDER BRIDGE…, with a folder to write to and the command
of a bridge that continues `ran` with `ge(10):`. Plain Python 3.8, as the plugin is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "fake"))
sys.dont_write_bytecode = True

from fake_editor import Editor  # noqa: E402


def main(folder, command):
    user = Path(folder)
    (user / "Autocoder.sublime-settings").write_text(json.dumps({"command": command}))
    editor = Editor(user).load(HERE.parents[1] / "clients" / "sublime")
    editor.open()
    editor.type("for i in ran")
    assert editor.wait(lambda: editor.screen() == "for i in ran⟨ge(10):⟩"), editor.screen()
    editor.press("alt+right")
    editor.press("tab")
    assert editor.text() == "for i in range(10):|", editor.text()
    for what in ("status", "log"):
        editor.window.run_command("autocoder_show", {"what": what})
        assert editor.panel()
    editor.unload()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
