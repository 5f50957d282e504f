"""`autocoder doctor`: each problem is named, with its remedy."""

import json
import signal
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autocoder.clients import doctor
from autocoder.daemon import lifecycle, lock
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.errors import ModelError

if TYPE_CHECKING:
    from conftest import FakeDaemon


@pytest.fixture
def healthy_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model folder that is in order, whatever this checkout has."""
    finding = doctor.Finding("model", "fake", values={"name": "fake"})
    monkeypatch.setattr(doctor, "model_folder", lambda model: finding)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else runs on this machine makes no daemon slow."""
    monkeypatch.setattr(doctor, "SLOW_COLD_MS", 60_000.0)
    monkeypatch.setattr(doctor, "SLOW_WARM_MS", 10_000.0)


@pytest.fixture
def one_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The ONNX Runtime packages that are installed; a test may change them."""
    installed = {"onnxruntime": "1.32.0"}

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    yield installed


def report(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Exit status, and the findings by name."""
    status = doctor.main(["--json", *words])
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is (status == 0)
    return status, {finding["name"]: finding for finding in found["findings"]}


@pytest.mark.usefixtures("healthy_model", "one_runtime", "fake_daemon")
def test_where_all_is_well(capsys: pytest.CaptureFixture[str], place: Endpoint) -> None:
    status, found = report(capsys)
    assert status == 0
    assert found["python"]["values"]["executable"] == sys.executable
    assert found["runtime"]["values"] == {"onnxruntime": "1.32.0"}
    assert found["folder"]["values"]["mode"] == "0700"
    assert found["folder"]["values"]["folder"] == str(place.folder)
    assert found["daemon"]["values"]["state"] == "ready"
    assert found["provider"]["text"] == "CPUExecutionProvider, 1 threads (a fake)"
    assert found["latency"]["values"]["cold"] is True
    assert 0 < found["latency"]["values"]["next_ms"] <= found["latency"]["values"]["first_ms"]
    _, again = report(capsys)
    assert again["latency"]["values"]["cold"] is False
    assert again["daemon"]["values"]["pid"] == found["daemon"]["values"]["pid"]


@pytest.mark.usefixtures("healthy_model", "one_runtime", "fake_daemon")
def test_for_people_there_is_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:2] for line in lines[:-1]] == ["ok"] * 8
    assert "serves fake (" in lines[5] and "/nowhere" in lines[5] and "replaces" not in lines[5]
    assert lines[-1] == "problems: 0"


@pytest.mark.usefixtures("healthy_model")
def test_two_runtimes_at_once(
    capsys: pytest.CaptureFixture[str], one_runtime: dict[str, str]
) -> None:
    one_runtime["onnxruntime-gpu"] = "1.31.1"
    status, found = report(capsys)
    assert status == 1
    assert found["runtime"]["text"] == "onnxruntime 1.32.0, onnxruntime-gpu 1.31.1"
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in found["runtime"]["remedy"]
    assert "daemon" not in found


@pytest.mark.usefixtures("healthy_model")
def test_no_runtime(capsys: pytest.CaptureFixture[str], one_runtime: dict[str, str]) -> None:
    one_runtime.clear()
    status, found = report(capsys)
    assert status == 1
    assert "pip install 'autocoder[cpu]'" in found["runtime"]["remedy"]


@pytest.mark.usefixtures("one_runtime")
def test_no_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, found = report(capsys, "--model", str(tmp_path / "nothing"))
    assert status == 1
    assert str(tmp_path / "nothing") in found["model"]["text"]
    assert "autocoder export" in found["model"]["remedy"]


@pytest.mark.usefixtures("healthy_model", "one_runtime")
def test_a_folder_open_to_others(capsys: pytest.CaptureFixture[str], place: Endpoint) -> None:
    place.folder.chmod(0o755)
    status, found = report(capsys)
    assert status == 1
    assert f"chmod 700 {place.folder}" in found["folder"]["remedy"]


@pytest.mark.usefixtures("healthy_model", "one_runtime")
def test_a_model_that_the_daemon_cannot_load(
    capsys: pytest.CaptureFixture[str], fake_daemon: "FakeDaemon"
) -> None:
    fake_daemon.start("--broken", "weights.bin is damaged; export again")
    status, found = report(capsys)
    assert status == 1
    assert (
        found["daemon"]["problem"] and "failed: weights.bin is damaged" in found["daemon"]["text"]
    )
    assert found["daemon"]["remedy"] == "export again"
    assert "provider" not in found and "latency" not in found


@pytest.mark.usefixtures("healthy_model", "one_runtime")
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--sha256", "a" * 64), "who names no other model means autocoder"),
        (("--version", "0.0.1"), "it is version 0.0.1"),
    ],
)
def test_another_daemon_is_named_tried_and_left_alone(
    capsys: pytest.CaptureFixture[str],
    fake_daemon: "FakeDaemon",
    place: Endpoint,
    options: tuple[str, ...],
    why: str,
) -> None:
    process = fake_daemon.start(*options)
    status, found = report(capsys)
    assert status == 0
    assert "serves fake (" in found["daemon"]["text"] and why in found["daemon"]["text"]
    assert found["latency"]["values"]["cold"] is False
    assert lock.holder(place.lock) == process.pid == found["daemon"]["values"]["pid"]


@pytest.mark.usefixtures("one_runtime")
def test_a_model_that_is_asked_for_is_not_forced_upon_the_daemon(
    capsys: pytest.CaptureFixture[str],
    fake_daemon: "FakeDaemon",
    place: Endpoint,
    renamed_model: Path,
) -> None:
    process = fake_daemon.start()
    _, found = report(capsys, "--model", str(renamed_model))
    assert found["model"]["values"]["name"] == "renamed"
    assert f"who says --model {renamed_model} means renamed" in found["daemon"]["text"]
    assert lock.holder(place.lock) == process.pid


@pytest.mark.usefixtures("healthy_model", "one_runtime")
def test_a_daemon_that_hangs(
    capsys: pytest.CaptureFixture[str],
    fake_daemon: "FakeDaemon",
    place: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = fake_daemon.start()
    monkeypatch.setattr(doctor, "ANSWER_S", 0.3)
    process.send_signal(signal.SIGSTOP)
    status, found = report(capsys)
    assert status == 1 and "latency" not in found
    assert "autocoder daemon stop" in found["daemon"]["remedy"]
    assert lock.holder(place.lock) == process.pid


@pytest.mark.usefixtures("healthy_model", "one_runtime")
def test_a_daemon_that_cannot_be_started(
    capsys: pytest.CaptureFixture[str], place: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [sys.executable, "-c", "raise SystemExit('no luck')"]
    monkeypatch.setattr(lifecycle, "run_command", lambda wanted: failing)
    status, found = report(capsys)
    assert status == 1 and "no luck" in found["daemon"]["text"]


@pytest.mark.usefixtures("healthy_model", "one_runtime")
def test_a_slow_daemon(
    capsys: pytest.CaptureFixture[str],
    fake_daemon: "FakeDaemon",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "SLOW_WARM_MS", 150.0)
    fake_daemon.start("--slow", "0.3")
    status, found = report(capsys)
    assert status == 1
    assert "slow" in found["latency"]["remedy"]
    assert found["latency"]["values"]["next_ms"] >= 300


@pytest.mark.usefixtures("healthy_model", "one_runtime")
def test_a_problem_is_marked_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(model: str | None) -> doctor.Finding:
        raise ModelError("weights.bin is damaged; export again")

    monkeypatch.setattr(doctor, "model_folder", damaged)
    assert doctor.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "!! model      weights.bin is damaged" in lines
    assert "              -> export again" in lines
    assert lines[-1] == "problems: 1; the daemon was not tried"
