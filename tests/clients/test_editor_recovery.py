"""Recovery copies: kept for each process, found once it is gone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autocoder.clients.editor import recovery

KEEP = (
    "import sys; from pathlib import Path; from autocoder.clients.editor import recovery; "
    "recovery.keep(Path(sys.argv[1]), sys.argv[2]); input() if len(sys.argv) > 3 else None"
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_the_copy_of_a_process_that_is_gone_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    subprocess.run([sys.executable, "-c", KEEP, str(path), "unsaved é"], check=True)
    found = recovery.find(path)
    assert found is not None and found.text == "unsaved é"
    assert recovery.find(tmp_path / "b.py") is None
    recovery.discard(found.file)
    assert recovery.find(path) is None


def test_a_living_process_keeps_its_copy_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    command = [sys.executable, "-c", KEEP, str(path), "x", "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        while recovery.edited_elsewhere(path) is None:
            assert process.poll() is None
        assert recovery.edited_elsewhere(path) == process.pid
        assert recovery.find(path) is None
        process.communicate(b"\n")
    assert recovery.edited_elsewhere(path) is None


def test_any_text_survives_and_nobody_else_reads_it(tmp_path: Path) -> None:
    text = "a\r\n\0\udcff\udc80日本\u2028"
    file = recovery.keep(tmp_path / "a.py", text)
    assert os.stat(file).st_mode & 0o077 == 0
    assert os.stat(file.parent).st_mode & 0o077 == 0
    found = recovery._read(file)
    assert found is not None and found.text == text
    recovery.forget(tmp_path / "a.py")
    assert not file.exists()


def test_a_garbled_copy_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    file = recovery.keep(path, "x")
    gone = file.with_name(file.name.rpartition("-")[0] + "-999999999")
    gone.write_bytes(b"{}\nx")
    assert recovery.find(path) is None
