"""The socket's folder, and the lock in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autocoder.daemon import lock
from autocoder.daemon.endpoint import Endpoint, endpoint, folder_problem, prepared
from autocoder.daemon.errors import ConfigError


def test_the_users_own_setting_comes_first(tmp_path: Path) -> None:
    environment = {"AUTOCODER_RUNTIME_DIR": "/tmp/mine", "XDG_RUNTIME_DIR": str(tmp_path)}
    assert endpoint(environment).address == "ipc:///tmp/mine/daemon.sock"


def test_then_the_sessions_folder(tmp_path: Path) -> None:
    assert endpoint({"XDG_RUNTIME_DIR": str(tmp_path)}).folder == tmp_path / "autocoder"


@pytest.mark.parametrize("session", ["", "relative", "/nowhere/at/all"])
def test_then_a_folder_of_the_user_in_tmp(session: str) -> None:
    assert endpoint({"XDG_RUNTIME_DIR": session}).folder == Path(f"/tmp/autocoder-{os.getuid()}")


def test_a_session_folder_of_another_user_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert endpoint({"XDG_RUNTIME_DIR": "/tmp"}).folder == Path("/tmp/autocoder-12345")


@pytest.mark.parametrize("name", ["x" * 200, "é" * 60])
def test_a_long_path_is_replaced_by_a_short_one_of_its_own(name: str) -> None:
    place = endpoint({"AUTOCODER_RUNTIME_DIR": f"/tmp/{name}"})
    other = endpoint({"AUTOCODER_RUNTIME_DIR": f"/tmp/{name}2"})
    assert str(place.folder).startswith(f"/tmp/autocoder-{os.getuid()}-")
    assert len(os.fsencode(place.socket)) <= 100
    assert place != other
    assert place == endpoint({"AUTOCODER_RUNTIME_DIR": f"/tmp/{name}"})


def test_a_hundred_bytes_are_not_too_long() -> None:
    folder = "/tmp/" + "x" * (100 - len("/tmp//daemon.sock"))
    assert endpoint({"AUTOCODER_RUNTIME_DIR": folder}).folder == Path(folder)
    assert endpoint({"AUTOCODER_RUNTIME_DIR": folder + "x"}).folder != Path(folder + "x")


def test_the_folder_is_made_private(tmp_path: Path) -> None:
    place = prepared(Endpoint(tmp_path / "deep" / "run"))
    assert place.folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_open_to_others_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o750)
    with pytest.raises(ConfigError, match=f"mode 750.*chmod 700 {folder}"):
        prepared(Endpoint(folder))


def test_a_link_or_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(ConfigError, match="AUTOCODER_RUNTIME_DIR"):
            prepared(Endpoint(tmp_path / name))


def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    place = prepared(Endpoint(tmp_path / "run"))
    stat = list(place.folder.stat())
    stat[4] = os.getuid() + 1
    assert "belongs to user" in (folder_problem(place, os.stat_result(stat)) or "")


ASK = "import sys; from pathlib import Path; from autocoder.daemon import lock; "


def elsewhere(expression: str, path: Path) -> str:
    """What an expression gives in another process, with the lock's path as `p`."""
    code = f"{ASK} p = Path({str(path)!r}); print({expression})"
    return subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).strip()


def test_one_process_holds_the_lock_and_everybody_sees_which(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    assert lock.holder(path) is None
    held = lock.acquire(path)
    assert held is not None
    assert elsewhere("lock.acquire(p)", path) == "None"
    assert elsewhere("lock.holder(p)", path) == str(os.getpid())
    held.close()
    assert elsewhere("lock.holder(p)", path) == "None"
    assert elsewhere("lock.acquire(p) is not None", path) == "True"


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    code = f"{ASK} f = lock.acquire(Path({str(path)!r})); print('held', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert lock.holder(path) == process.pid
        process.kill()
        process.wait()
    assert lock.holder(path) is None
    held = lock.acquire(path)
    assert held is not None
    held.close()
