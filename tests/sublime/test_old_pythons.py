"""The plugin runs under each Python of Sublime's hosts that this machine happens to have."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("old_python.py")


def interpreter(version: str) -> str | None:
    """Python `version`, on PATH or installed by pyenv."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    installed = sorted(root.glob(f"{version}.*/bin/python"))
    candidates = [*map(str, installed), shutil.which(f"python{version}")]
    return next((found for found in candidates if found and runs(found)), None)


def runs(program: str) -> bool:
    return subprocess.run([program, "-c", ""], capture_output=True).returncode == 0


@pytest.mark.parametrize("version", ["3.8", "3.11", "3.13", "3.14"])
def test_the_plugin_works_under(version, bridge, tmp_path):
    found = sys.executable if version == "3.11" else interpreter(version)
    if found is None:
        pytest.skip(f"no Python {version} here")
    bridge.says(("ran", "ge(10):"))
    run = [found, "-W", "error", str(SCRIPT), str(tmp_path), *bridge.command]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
