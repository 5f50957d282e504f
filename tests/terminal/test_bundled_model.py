"""Ghost text of the bundled model on the screen: the real editor, the real daemon, real weights."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tour_gets_ghost_text_from_the_bundled_model(edit, work: Path) -> None:
    shutil.copy(ROOT / "docs" / "tour.py", work / "tour.py")
    terminal = edit(None, name="tour.py")
    terminal.press("ctrl-end")
    terminal.type("for i in ran", pause=0.06)
    ghost = terminal.wait(terminal.ghost)
    assert ghost[0].startswith("ge(")
    terminal.press("tab", "ctrl-s")
    terminal.wait_for("Saved")
    assert "for i in range(" in (work / "tour.py").read_text()
    assert terminal.shows(" ms")


def test_the_repl_continues_with_the_bundled_model(work: Path) -> None:
    command = [sys.executable, "-m", "autocoder", "repl", "--language", "python"]
    text = "import os\n\nfor i in ran"
    answer = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0 and answer.stdout.startswith("ge("), answer.stderr
