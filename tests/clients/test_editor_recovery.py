"""Recovery copies: kept for each editor, found once it is gone, thrown away on request only."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autocoder.clients.editor import recovery

KEEP = (
    "import sys; from pathlib import Path; from autocoder.clients.editor import recovery; "
    "copy = recovery.Copy(); copy.keep(Path(sys.argv[1]), sys.argv[2]); "
    "input() if len(sys.argv) > 3 else None"
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
        assert recovery.edited_elsewhere(path) == str(process.pid)
        assert recovery.find(path) is None
        process.communicate(b"\n")
    assert recovery.edited_elsewhere(path) is None


def left_behind(path: Path, text: str) -> None:
    """A copy whose editor is gone."""
    copy = recovery.Copy()
    copy.keep(path, text)
    copy.close()


def test_any_text_survives_and_nobody_else_reads_it(tmp_path: Path) -> None:
    text = "a\r\n\0\udcff\udc80日本\u2028"
    copy = recovery.Copy()
    file = copy.keep(tmp_path / "a.py", text)
    assert file is not None
    assert os.stat(file).st_mode & 0o077 == 0
    assert os.stat(file.parent).st_mode & 0o077 == 0
    found = recovery._read(file)
    assert found is not None and found.text == text
    copy.forget()
    assert not file.exists()


def test_a_garbled_copy_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    left_behind(path, "x")
    found = recovery.find(path)
    assert found is not None
    for garbled in (b"{}\nx", b"[]\nx", b"", b'{"when": 1, "base": 2}\nx'):
        found.file.write_bytes(garbled)
        assert recovery.find(path) is None


def test_a_copy_is_told_dead_though_its_process_id_lives_again(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    left_behind(path, "precious")  # by this very process, as after a restart in a container
    assert recovery.edited_elsewhere(path) is None
    found = recovery.find(path)
    assert found is not None and found.text == "precious"
    copy = recovery.Copy()
    copy.keep(path, "other text")
    assert recovery.find(path) == found
    assert recovery.edited_elsewhere(path) == str(os.getpid())


def test_a_failing_disk_leaves_the_copy_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = tmp_path / "a.py", recovery.Copy()
    file = copy.keep(path, "older")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        copy.keep(path, "newer")
    copy.close()
    assert file is not None and list(file.parent.iterdir()) == [file]
    found = recovery.find(path)
    assert found is not None and found.text == "older"


def test_what_is_thrown_away_stays_for_some_days(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    left_behind(path, "unwanted?")
    found = recovery.find(path)
    assert found is not None and recovery.throw_away(found.file)
    assert recovery.find(path) is None
    (kept,) = recovery.deleted_folder().iterdir()
    assert kept.name.endswith("-a.py") and kept.read_bytes().endswith(b"\nunwanted?")
    assert json.loads(kept.read_bytes().partition(b"\n")[0])["path"] == str(path)
    long_ago = time.time() - (recovery.DELETED_DAYS + 1) * 24 * 3600
    os.utime(kept, (long_ago, long_ago))
    copy = recovery.Copy()
    copy.keep(path, "another")
    copy.throw_away()
    (kept,) = recovery.deleted_folder().iterdir()
    assert kept.read_bytes().endswith(b"\nanother")


def test_nothing_is_kept_once_the_editor_has_closed(tmp_path: Path) -> None:
    copy = recovery.Copy()
    copy.close()
    assert copy.keep(tmp_path / "a.py", "a late thread's text") is None
    assert recovery.find(tmp_path / "a.py") is None
