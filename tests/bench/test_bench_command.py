"""`autocoder bench …` as one runs it: the bundled model, a real daemon, short inputs."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from autocoder.clients.bench import private_daemon
from autocoder.clients.bench.command import main
from autocoder.daemon import lifecycle
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.errors import AutocoderError, ConfigError, ModelError

TYPING = {
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "nonempty_share",
    "context_tokens",
    "mean_chars",
    "cached_share",
    "tokens_per_key",
}
QUICK = ["--speed", "1000", "--characters", "40", "--passages", "2"]


def measured(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_typing_the_default_file(capsys: pytest.CaptureFixture[str], place: Endpoint) -> None:
    found = measured(capsys, "typing", *QUICK)
    assert set(found) >= TYPING
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]
    assert found["keys"] >= 40 and found["typed_s"] > 4
    assert 0 < found["nonempty_share"] <= 1 and found["mean_chars"] >= 1
    assert found["cached_share"] > 0.5, "a keystroke must cost its new tokens only"
    assert 0 < found["tokens_per_key"] < found["context_tokens"]
    assert lifecycle.running(place) is None, "the user's own daemon is left alone"


def test_typing_a_file_of_ones_own_asks_the_daemon_that_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: Endpoint
) -> None:
    source = tmp_path / "Shop.java"
    source.write_text("class Shop {\n    int price;\n" + "    void buy() { price += 1; }\n" * 9)
    quick = ["--speed", "1000", "--characters", "12", "--max-tokens", "4"]
    assert main(["typing", str(source), *quick, "--running"]) == 0
    text = capsys.readouterr().out
    assert "Shop.java" in text and "p95" in text and "from the cache" in text
    assert lifecycle.running(place) is not None


@pytest.mark.parametrize("command", [["typing"], ["load", "-n", "3"]])
def test_a_daemon_that_fails_ends_the_typing_at_once(
    command: list[str], tmp_path: Path, fake_daemon: Any
) -> None:
    source = tmp_path / "crash.py"
    source.write_text("crash = 1\n" * 40)
    fake_daemon.start()
    with pytest.raises(AutocoderError, match="traceback"):
        main([*command, str(source), "--running"])


def test_load_of_two_typists(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(capsys, "load", "-n", "2", "--seconds", "1.5", "--max-tokens", "4")
    assert found["typists"] == 2 and 0 <= found["typists_in_time"] <= 2
    assert found["keys"] >= 2 and found["p50_ms"] <= found["p99_ms"]


@pytest.mark.parametrize("kind", ["decode", "prefill"])
def test_passes(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(capsys, kind, "--contexts", "48", "16", "--rounds", "2", "--threads", "1")
    assert [row["context"] for row in found["rows"]] == [16, 48]
    assert found["threads"] == 1
    for row in found["rows"]:
        assert row[f"{kind}_ms"] > 0 and len(row[f"{kind}_rounds_ms"]) == 2


def test_a_context_beyond_the_model_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    from autocoder.clients.bench.passes import fitting

    assert fitting([9000, 64], 2016) == [64, 2016]
    with pytest.raises(ConfigError, match="-3"):
        fitting([-3], 2016)


def test_a_plot_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "prefill.svg"
    measured(capsys, "prefill", "--contexts", "8", "--rounds", "1", "--plot", str(picture))
    assert "<svg" in picture.read_text()


def test_a_plot_without_matplotlib_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match="pip install matplotlib"):
        main(["typing", "--plot", "typing.png"])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["typing", "nowhere.py"], "cannot read nowhere.py"),
        (["typing", "{binary}"], "not UTF-8"),
        (["typing", "{short}"], "give a file of"),
        (["typing", "{folder}"], "cannot read"),
        (["typing", "--speed", "0"], "above 0"),
        (["typing", "--max-tokens", "0"], "max_tokens"),
        (["load", "--seconds", "-1"], "above 0"),
        (["decode", "--threads", "0"], "threads"),
        (["decode", "--model", "{folder}"], "manifest.json"),
        (["decode", "--plot", "picture.doc"], "must end in"),
        (["decode", "--plot", "{folder}/no/where.png"], "no folder"),
    ],
)
def test_bad_input_is_told_with_its_value(words: list[str], problem: str, tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text("x = 1\n")
    (tmp_path / "binary.py").write_bytes(bytes(range(256)) * 4)
    places = {"short": tmp_path / "short.py", "binary": tmp_path / "binary.py", "folder": tmp_path}
    if "--plot" in words:
        pytest.importorskip("matplotlib")
    with pytest.raises(AutocoderError, match=problem):
        main([word.format(**places) for word in words])


@pytest.mark.parametrize("words", [[], ["typing", "--characters", "few"], ["load", "-n", "0"]])
def test_words_that_mean_nothing_end_with_status_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


def test_the_private_daemon_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with private_daemon.private_daemon(threads=1) as daemon:
        assert daemon.status()["threads"] == 1
        assert daemon.started_s > 0
        place = daemon.place
    assert not place.folder.exists()
    with pytest.raises(ModelError), private_daemon.private_daemon(str(tmp_path)):
        pass
