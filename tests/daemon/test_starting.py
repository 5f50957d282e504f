"""What `daemon start` is told holds for every client, until `daemon stop`; a failed start is none.

Real daemons of the bundled model, and of a copy that goes by another name.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autocoder.daemon import lock
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.model_folder import bundled

if TYPE_CHECKING:
    from conftest import FakeDaemon

Answer = subprocess.CompletedProcess[str]


def autocoder(*words: str, **variables: str) -> Answer:
    command = [sys.executable, "-m", "autocoder", *words]
    environment = {**os.environ, **variables}
    return subprocess.run(
        command, input="x = [", capture_output=True, text=True, timeout=120, env=environment
    )


def start(*words: str, **variables: str) -> str:
    """`daemon start`: what it printed."""
    answer = autocoder("daemon", "start", *words, **variables)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def complete(*words: str, **variables: str) -> None:
    answer = autocoder("complete", *words, **variables)
    assert answer.returncode in (0, 1), answer.stderr


def served() -> dict[str, Any]:
    """The status of the daemon that runs."""
    found: dict[str, Any] = json.loads(autocoder("daemon", "status", "--json").stdout)
    return found


def name() -> str:
    found: str = served()["model"]["name"]
    return found


BUNDLED = json.loads((bundled() / "manifest.json").read_text())["name"]


def test_other_flags_replace_the_daemon_and_the_same_keep_it(place: Endpoint) -> None:
    complete()
    first = lock.holder(place.lock)
    assert start("--threads", "1", "--provider", "cpu").endswith(f", in place of process {first}\n")
    second = served()
    assert (second["threads"], second["reason"]) == (1, "the CPU was asked for")
    for words in (("--threads", "1"), ()):
        assert start(*words) == f"process {second['pid']} serves {BUNDLED}\n"
    complete()
    assert lock.holder(place.lock) == second["pid"]
    assert "--provider cpu --threads 1" in autocoder("daemon", "status").stdout


def test_a_daemon_that_died_comes_back_as_it_was_told_to_serve(place: Endpoint) -> None:
    start("--threads", "1", "--provider", "cpu")
    first = served()
    os.kill(first["pid"], signal.SIGKILL)
    complete()
    second = served()
    assert second["pid"] != first["pid"]
    assert (second["threads"], second["reason"]) == (1, "the CPU was asked for")


def test_start_chooses_the_model_of_all_clients_and_stop_ends_that(
    renamed_model: Path, place: Endpoint
) -> None:
    assert "serves renamed" in start("--model", str(renamed_model))
    pid = lock.holder(place.lock)
    complete()
    assert lock.holder(place.lock) == pid, "who names no model means the chosen one"
    complete("--model", str(bundled()))
    assert name() == BUNDLED, "who names one means that"
    complete()
    assert name() == "renamed", "for that one call"
    assert autocoder("daemon", "stop").returncode == 0
    assert not place.choice.exists()
    complete()
    assert name() == BUNDLED


def test_a_variable_chooses_as_a_flag_does(renamed_model: Path) -> None:
    start(AUTOCODER_MODEL=str(renamed_model), AUTOCODER_THREADS="1")
    assert (served()["model"]["name"], served()["threads"]) == ("renamed", 1)
    complete(AUTOCODER_MODEL=str(bundled()))
    assert name() == BUNDLED, "a variable names a model as well as --model does"
    complete()
    assert name() == "renamed"


def test_a_model_for_one_call_is_not_kept(renamed_model: Path) -> None:
    complete("--model", str(renamed_model))
    assert name() == "renamed"
    complete()
    assert name() == BUNDLED


def test_a_daemon_run_by_hand_is_the_choice_while_it_runs(
    renamed_model: Path, place: Endpoint
) -> None:
    words = [sys.executable, "-m", "autocoder", "daemon", "run", "--model", str(renamed_model)]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not place.socket.exists():
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.01)
        complete()
        assert lock.holder(place.lock) == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    assert not place.choice.exists()


def test_a_chosen_model_that_is_gone_says_who_chose_it(renamed_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(renamed_model, tmp_path / "mine", copy_function=os.link)
    start("--model", str(folder))
    shutil.rmtree(folder)
    answer = autocoder("complete")
    assert answer.returncode == 2
    assert str(folder) in answer.stderr and "`autocoder daemon stop` forgets" in answer.stderr
    assert autocoder("daemon", "stop").returncode == 0
    complete()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("own", ["", "glibc.malloc.check=0"])
def test_a_daemon_has_large_pages_unless_the_c_library_was_told_otherwise(
    place: Endpoint, own: str
) -> None:
    complete(**({"GLIBC_TUNABLES": own} if own else {}))
    told = Path(f"/proc/{lock.holder(place.lock)}/environ").read_bytes().split(b"\0")
    expected = own or "glibc.malloc.hugetlb=1"
    assert f"GLIBC_TUNABLES={expected}".encode() in told


def test_a_start_that_fails_leaves_nothing_behind(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    command = fake_daemon.autocoder("daemon", "start", "--threads", "1", options="--broken damaged")
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (answer.returncode, answer.stderr) == (2, "autocoder daemon: damaged\n")
    assert lock.holder(place.lock) is None and not place.choice.exists()


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="CUDA may start here")
def test_cuda_in_vain_leaves_the_cpu_serving_and_says_so_with_a_remedy(place: Endpoint) -> None:
    answer = autocoder("daemon", "start", "--provider", "cuda")
    assert answer.returncode == 0 and "on the CPU: CUDA was asked for, but" in answer.stderr
    assert "pip uninstall -y onnxruntime" in answer.stderr
    complete()
    shown = autocoder("daemon", "status").stdout
    assert "CPUExecutionProvider" in shown and "(CUDA was asked for, but " in shown
    timed = autocoder("bench", "decode", "--provider", "cuda")
    assert timed.returncode == 2 and "CUDA was asked for, but" in timed.stderr
    timed = autocoder("bench", "decode", AUTOCODER_PROVIDER="cuda")
    assert timed.returncode == 2 and "CUDA was asked for, but" in timed.stderr
    timed = autocoder("bench", "decode", AUTOCODER_PROVIDER="abacus")
    assert timed.returncode == 2 and "AUTOCODER_PROVIDER is 'abacus'" in timed.stderr


@pytest.mark.parametrize(
    ("words", "variables", "complaint"),
    [
        (("--threads", "0"), {}, "at least 1"),
        (("--cache-mb", "-1"), {}, "numbers from 0 up"),
        ((), {"AUTOCODER_PROVIDER": "abacus"}, "AUTOCODER_PROVIDER is 'abacus'"),
        ((), {"AUTOCODER_THREADS": "few"}, "invalid int value: 'few'"),
    ],
)
def test_a_setting_out_of_range_is_refused_and_the_daemon_stays(
    fake_daemon: "FakeDaemon",
    place: Endpoint,
    words: tuple[str, ...],
    variables: dict[str, str],
    complaint: str,
) -> None:
    process = fake_daemon.start()
    answer = autocoder("daemon", "start", *words, **variables)
    assert answer.returncode == 2 and complaint in answer.stderr
    assert lock.holder(place.lock) == process.pid and not place.choice.exists()


def test_a_choice_that_cannot_be_read_is_none(fake_daemon: "FakeDaemon", place: Endpoint) -> None:
    for text in ("{", "[]", '{"model": 3}'):
        place.choice.write_text(text)
        answer = subprocess.run(
            fake_daemon.autocoder("complete"), input="for i in ran", capture_output=True, text=True
        )
        assert answer.stdout == "ge(10):"
