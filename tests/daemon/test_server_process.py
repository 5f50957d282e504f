"""Daemons as processes: started, greeted, replaced, killed; one per user, whatever happens."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autocoder.daemon import lifecycle, lock
from autocoder.daemon.connection import connected
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.errors import ConfigError, DaemonError
from autocoder.daemon.identity import model_info
from autocoder.daemon.lifecycle import Wanted, ensure
from autocoder.daemon.protocol import Complete, Greeting, Status

if TYPE_CHECKING:
    from conftest import FakeDaemon

WANTED = Wanted("test")


def suggestion(place: Endpoint, prefix: str = "for i in ran") -> str:
    with connected(place.address) as connection:
        text: str = connection.ask(Complete(prefix), 10)["suggestions"][0]["text"]
        return text


def alive(pid: int) -> bool:
    """Is there such a process (and not only its corpse)?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(") ")[1][0] != "Z"


def wait_until_dead(pid: int) -> None:
    end = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_socket_is_opened_before_arrays_are_imported() -> None:
    """So a client is greeted while the model's thread is still importing."""
    program = (
        "import sys, autocoder.daemon.command, autocoder.daemon.server\n"
        "print(*{'numpy', 'onnxruntime', 'tokenizers'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert not found.stdout.strip()


def test_a_missing_daemon_is_started_and_then_found(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    greeting = ensure(WANTED)
    assert greeting.pid != os.getpid() and greeting.model.name == "fake"
    assert ensure(WANTED).pid == greeting.pid == lock.holder(place.lock)
    assert suggestion(place) == "ge(10):"
    assert int(place.pid.read_text()) == greeting.pid


def test_it_is_detached_from_the_terminal_and_the_folder_of_its_client(
    fake_daemon: "FakeDaemon",
) -> None:
    pid = ensure(WANTED).pid
    assert os.getsid(pid) == pid != os.getsid(0)
    if sys.platform == "linux":
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"


def test_a_module_where_the_user_works_is_not_imported() -> None:
    assert lifecycle.run_command(WANTED)[:3] == [sys.executable, "-P", "-m"]


def test_nobody_else_can_reach_the_socket(fake_daemon: "FakeDaemon", place: Endpoint) -> None:
    ensure(WANTED)
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    for path in place.folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_folder_open_to_others_is_not_used(fake_daemon: "FakeDaemon", place: Endpoint) -> None:
    place.folder.chmod(0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        ensure(WANTED)
    assert not place.socket.exists()


def test_clients_at_the_same_instant_end_with_one_daemon(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    greetings: list[Greeting] = []
    threads = [threading.Thread(target=lambda: greetings.append(ensure(WANTED))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(greetings) == 6
    assert {greeting.pid for greeting in greetings} == {lock.holder(place.lock)}


def test_a_second_daemon_leaves_with_status_3(fake_daemon: "FakeDaemon", place: Endpoint) -> None:
    first = fake_daemon.start()
    second = subprocess.run(fake_daemon.command(), capture_output=True, text=True, timeout=30)
    assert second.returncode == 3
    assert str(place.folder) in second.stderr
    assert lock.holder(place.lock) == first.pid
    assert suggestion(place) == "ge(10):"


def test_what_a_killed_daemon_left_behind_is_no_obstacle(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    first = ensure(WANTED).pid
    os.kill(first, signal.SIGKILL)
    wait_until_dead(first)
    assert place.socket.exists() and place.pid.exists()
    second = ensure(WANTED).pid
    assert second != first
    assert suggestion(place) == "ge(10):"


def test_a_stale_socket_of_another_kind_is_no_obstacle(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(place.socket))
    place.pid.write_text("1\n")
    assert ensure(WANTED).pid == lock.holder(place.lock)
    assert suggestion(place) == "ge(10):"


def test_a_daemon_of_another_version_is_replaced(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    old = fake_daemon.start("--version", "0.0.1")
    greeting = ensure(WANTED)
    assert greeting.pid != old.pid and greeting.version == WANTED.version
    assert old.wait(10) == 0


def test_a_daemon_of_another_model_than_the_wanted_one_is_replaced(
    fake_daemon: "FakeDaemon",
) -> None:
    old = fake_daemon.start("--sha256", "a" * 64)
    bundled = model_info(None).sha256
    greeting = ensure(Wanted("test", sha256=bundled))
    assert greeting.pid != old.pid and greeting.model.sha256 == bundled
    assert old.wait(10) == 0


def test_a_daemon_that_comes_back_wrong_each_time_is_an_error(fake_daemon: "FakeDaemon") -> None:
    with pytest.raises(DaemonError, match="another daemon"):
        ensure(Wanted("test", sha256="b" * 64))


def test_a_hung_daemon_is_killed_and_replaced(fake_daemon: "FakeDaemon", place: Endpoint) -> None:
    hung = ensure(WANTED).pid
    os.kill(hung, signal.SIGSTOP)
    greeting = ensure(WANTED, hello_s=0.3)
    assert greeting.pid != hung
    wait_until_dead(hung)
    assert suggestion(place) == "ge(10):"


def test_only_the_holder_of_the_lock_is_ever_killed(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        place.pid.write_text(f"{bystander.pid}\n")
        ensure(WANTED)
        lifecycle.kill(place, bystander.pid)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_daemon_that_cannot_start_says_why(place: Endpoint) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no model at /nowhere; export one')"]
    with pytest.raises(DaemonError, match="no model at /nowhere; export one"):
        ensure(WANTED, command=command)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_even_in_the_middle_of_work(
    fake_daemon: "FakeDaemon", place: Endpoint, number: signal.Signals
) -> None:
    process = fake_daemon.start("--slow", "5")
    with connected(place.address) as connection:
        id = connection.send(Complete("for i in ran"))
        assert connection.ask(Status(), 10)["type"] == "status"
        process.send_signal(number)
        reply = connection.asked(id, 10)
        assert reply is not None and reply["type"] == "cancelled"
    assert process.wait(10) == 0
    assert {path.name for path in place.folder.iterdir()} <= {"daemon.lock", "daemon.log"}


def test_stop_ends_it_and_is_no_error_twice(fake_daemon: "FakeDaemon", place: Endpoint) -> None:
    process = fake_daemon.start()
    assert lifecycle.stop(place) is True
    assert process.wait(10) == 0
    assert lifecycle.stop(place) is False


def test_a_model_that_takes_long_to_load_does_not_delay_the_greeting(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    fake_daemon.start("--loading", "1.5")
    started = time.monotonic()
    assert ensure(WANTED).provider is None
    assert time.monotonic() - started < 1.0
    assert suggestion(place) == "ge(10):"


def test_a_daemon_is_stopped_even_while_its_model_loads(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    process = fake_daemon.start("--loading", "60")
    ensure(WANTED)
    assert lifecycle.stop(place)
    assert process.wait(10) == 0


def test_a_daemon_whose_folder_was_removed_ends_and_harms_nothing_new(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    old = fake_daemon.start("--look", "1")
    shutil.rmtree(place.folder)
    pid = ensure(WANTED).pid
    assert old.wait(10) == 0
    assert ensure(WANTED).pid == pid == lock.holder(place.lock)
    assert suggestion(place) == "ge(10):"


def test_a_large_log_is_moved_aside_before_a_daemon_starts(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    place.log.write_bytes(b"x" * 1_000_000)
    ensure(WANTED)
    assert place.older_log.stat().st_size == 1_000_000
    assert b"serves fake" in place.log.read_bytes()


def test_a_log_that_grows_large_is_moved_aside_while_the_daemon_runs(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    ensure(WANTED)
    with place.log.open("ab") as log:
        log.write(b"x" * 1_000_000)
    for _ in range(2):
        with connected(place.address) as connection:
            assert connection.ask(Complete("crash"), 10)["code"] == "internal"
    assert place.older_log.stat().st_size > 1_000_000
    assert 0 < place.log.stat().st_size < 10_000
    assert b"ZeroDivisionError" in place.log.read_bytes()


def test_a_long_runtime_folder_works_too(
    fake_daemon: "FakeDaemon", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autocoder.daemon.endpoint import endpoint

    monkeypatch.setenv("AUTOCODER_RUNTIME_DIR", str(tmp_path / ("x" * 120)))
    place = endpoint()
    try:
        assert ensure(WANTED).pid == lock.holder(place.lock)
        assert suggestion(place) == "ge(10):"
    finally:
        lifecycle.stop(place)
        for path in place.folder.iterdir():
            path.unlink()
        place.folder.rmdir()
