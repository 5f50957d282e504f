"""`autocoder daemon …` as a user types it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autocoder.daemon import lock
from autocoder.daemon.endpoint import Endpoint

if TYPE_CHECKING:
    from conftest import FakeDaemon

Answer = subprocess.CompletedProcess[str]


def run(command: list[str]) -> Answer:
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def autocoder(*words: str) -> Answer:
    return run([sys.executable, "-m", "autocoder", *words])


def test_start_status_stop(fake_daemon: "FakeDaemon", place: Endpoint) -> None:
    started = run(fake_daemon.autocoder("daemon", "start"))
    assert started.returncode == 0, started.stderr
    pid = lock.holder(place.lock)
    assert started.stdout == f"process {pid} serves fake\n"
    again = run(fake_daemon.autocoder("daemon", "start"))
    assert (again.returncode, again.stdout) == (0, started.stdout)
    status = autocoder("daemon", "status")
    assert status.returncode == 0
    assert f"{pid}, autocoder " in status.stdout and "CPUExecutionProvider" in status.stdout
    assert json.loads(autocoder("daemon", "status", "--json").stdout)["pid"] == pid
    stopped = autocoder("daemon", "stop")
    assert (stopped.returncode, stopped.stdout) == (0, "stopped\n")
    assert lock.holder(place.lock) is None


def test_status_and_stop_without_a_daemon_exit_1(place: Endpoint) -> None:
    for word in ("status", "stop"):
        answer = autocoder("daemon", word)
        assert (answer.returncode, answer.stderr) == (1, "no daemon is running\n")


def test_status_makes_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUTOCODER_RUNTIME_DIR", str(tmp_path / "run"))
    assert autocoder("daemon", "status").returncode == 1
    assert not (tmp_path / "run").exists()


def test_status_while_the_model_loads_and_when_it_cannot(fake_daemon: "FakeDaemon") -> None:
    process = fake_daemon.start("--loading", "30")
    assert "loading" in autocoder("daemon", "status").stdout
    process.kill()
    process.wait()
    fake_daemon.start("--broken", "damaged")
    end = time.monotonic() + 10
    while "failed: damaged" not in autocoder("daemon", "status").stdout:
        assert time.monotonic() < end


def test_run_refuses_a_folder_that_is_no_model(place: Endpoint, tmp_path: Path) -> None:
    answer = autocoder("daemon", "run", "--model", str(tmp_path))
    assert answer.returncode == 2
    assert answer.stderr.startswith("autocoder daemon: ") and str(tmp_path) in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not place.socket.exists() and not place.pid.exists()


def test_start_refuses_a_folder_that_is_no_model(tmp_path: Path) -> None:
    answer = autocoder("daemon", "start", "--model", str(tmp_path))
    assert answer.returncode == 2 and str(tmp_path) in answer.stderr


def test_run_refuses_bad_options() -> None:
    assert "at least 1" in autocoder("daemon", "run", "--threads", "0").stderr
    assert autocoder("daemon", "run", "--provider", "abacus").returncode == 2


def test_run_refuses_an_open_folder(place: Endpoint) -> None:
    place.folder.chmod(0o777)
    answer = autocoder("daemon", "run")
    assert answer.returncode == 2 and f"chmod 700 {place.folder}" in answer.stderr


def test_logs_prints_both_logs(fake_daemon: "FakeDaemon", place: Endpoint) -> None:
    answer = autocoder("daemon", "logs")
    assert answer.returncode == 1 and str(place.log) in answer.stderr
    run(fake_daemon.autocoder("daemon", "start"))
    place.older_log.write_text("what was before\n")
    answer = autocoder("daemon", "logs")
    assert answer.stdout.startswith("what was before\n")
    assert "serves fake" in answer.stdout


def test_logs_follows_the_log_through_a_rotation(place: Endpoint) -> None:
    place.log.write_text("one\n")
    command = [sys.executable, "-m", "autocoder", "daemon", "logs", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"one\n"
        with place.log.open("a") as log:
            log.write("two\n")
        assert process.stdout.readline() == b"two\n"
        os.replace(place.log, place.older_log)
        place.log.write_text("three\n")
        assert process.stdout.readline() == b"three\n"
        process.kill()


def test_the_log_holds_no_text_of_a_request(fake_daemon: "FakeDaemon", place: Endpoint) -> None:
    command = fake_daemon.autocoder("complete")
    for text in ("password = 'hunter2'", "crash # hunter2"):
        subprocess.run(command, input=text, text=True, capture_output=True, timeout=60)
    assert "ZeroDivisionError" in place.log.read_text()
    assert "hunter2" not in place.log.read_text()


def test_every_command_has_help() -> None:
    for words in ([], ["run"], ["start"], ["stop"], ["status"], ["logs"]):
        answer = autocoder("daemon", *words, "--help")
        assert answer.returncode == 0 and answer.stdout.startswith("usage: autocoder daemon")
