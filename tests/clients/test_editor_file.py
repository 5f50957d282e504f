"""Opening and saving: what is kept, what is refused, and that no half-written file is left."""

import os
import stat
from pathlib import Path

import pytest

from autocoder.clients.editor import file as disk
from autocoder.clients.editor.file import changed_on_disk, open_file, save_file
from autocoder.daemon.errors import ConfigError


def test_a_missing_file_is_a_new_one(tmp_path: Path) -> None:
    opened = open_file(tmp_path / "new.py")
    assert (opened.text, opened.stamp) == ("", None)
    save_file(opened.path, b"x\n")
    assert opened.path.read_bytes() == b"x\n"


def test_a_new_file_gets_the_mode_that_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_file(tmp_path / "new.py", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.py").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755, 0o4755, 0o664])
def test_saving_keeps_the_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.sh"
    path.write_bytes(b"old")
    path.chmod(mode)
    save_file(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "a.py"
    target.write_bytes(b"old")
    link = tmp_path / "a.py"
    link.symlink_to(Path("real") / "a.py")
    save_file(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_a_dangling_link_gets_its_target(tmp_path: Path) -> None:
    link = tmp_path / "a.py"
    link.symlink_to("later.py")
    save_file(link, b"new")
    assert link.is_symlink() and (tmp_path / "later.py").read_bytes() == b"new"


def test_hard_links_stay_together(tmp_path: Path) -> None:
    path, other = tmp_path / "a.py", tmp_path / "b.py"
    path.write_bytes(b"a longer old text")
    os.link(path, other)
    save_file(path, b"new")
    assert other.read_bytes() == b"new" and path.samefile(other)


def test_nothing_but_the_file_is_left_in_the_folder(tmp_path: Path) -> None:
    save_file(tmp_path / "a.py", b"1")
    save_file(tmp_path / "a.py", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["a.py"]


def test_a_failure_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        save_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.py"]


def test_a_read_only_file_is_opened_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"old")
    path.chmod(0o444)
    assert open_file(path).read_only
    with pytest.raises(ConfigError, match=r"read-only.*chmod"):
        save_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in (".", "pipe"):
        with pytest.raises(ConfigError, match=r"no regular file|cannot be read"):
            open_file(tmp_path / name)
    with pytest.raises(ConfigError, match="no folder"):
        open_file(tmp_path / "nowhere" / "a.py")


def test_binary_files_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"\x7fELF\0\0\xff")
    assert open_file(path).binary
    path.write_bytes("x = 1\n".encode("utf-16"))
    assert not open_file(path).binary


def test_a_change_by_another_program_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"old")
    stamp = open_file(path).stamp
    assert not changed_on_disk(path, stamp)
    os.utime(path, (1, 1))
    assert not changed_on_disk(path, stamp), "touched, yet the same"
    path.write_bytes(b"new")
    assert changed_on_disk(path, stamp)
    assert changed_on_disk(path, None), "it did not exist when it was opened"
    path.unlink()
    assert not changed_on_disk(path, stamp)
