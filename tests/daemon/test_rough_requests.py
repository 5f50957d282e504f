"""The real loop and the bundled model under rough requests; model folders that are no good."""

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from autocoder.daemon import lock
from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.connection import dealer
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.loading import load_completer
from autocoder.daemon.model_folder import bundled, manifest_hash
from autocoder.daemon.server import Server

CODE = "def total(values):\n    result = 0\n    for value in values:\n        result += value\n\n\n"
PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def model() -> ModelCompleter:
    return load_completer(repository=False)


class Client:
    def __init__(self, context: Any, address: str) -> None:
        self.socket = dealer(context, address)

    def send(self, id: str, **message: Any) -> None:
        whole = {"v": 1, "type": "complete", "id": id, **message}
        self.socket.send(json.dumps(whole).encode())

    def receive(self) -> dict[str, Any]:
        assert self.socket.poll(PATIENCE_MS), "no reply"
        reply: dict[str, Any] = json.loads(self.socket.recv())
        return reply

    def ask(self, id: str, **message: Any) -> dict[str, Any]:
        self.send(id, **message)
        return self.receive()


@pytest.fixture
def client(place: Endpoint, model: ModelCompleter) -> Iterator[Callable[[], Client]]:
    """Makes clients of a server in this process."""
    server = Server(place.address, model.info, lambda: model)
    thread = threading.Thread(target=server.run)
    thread.start()
    context: zmq.Context[Any] = zmq.Context()
    made: list[Client] = []

    def make() -> Client:
        made.append(Client(context, place.address))
        return made[-1]

    yield make
    server.stop()
    thread.join(30)
    for each in made:
        each.socket.close(0)
    context.destroy(0)
    assert not thread.is_alive()


def junk(count: int) -> str:
    chance = random.Random(count)
    return "".join(chr(chance.choice((0, 7, 27, 0x80, 0xFFFD, 0x1F600, 65))) for _ in range(count))


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        (CODE * 13_000, ""),
        (CODE, CODE * 13_000),
        ("", ""),
        ("x" * 1_000_000, "y" * 1_000_000),
        ("\n" * 500_000, "\t" * 500_000),
        (" " * 500_000 + "return", "\r\n" * 100_000),
        (junk(200_000), junk(1_000)),
        ("0123456789abcdef" * 20_000, "=" * 300_000),
    ],
    ids=["1 MB before", "1 MB after", "empty", "one word", "blank", "indented", "junk", "digits"],
)
def test_any_context_is_answered_and_the_next_request_too(
    client: Callable[[], Client], prefix: str, suffix: str
) -> None:
    peer = client()
    for lines in (1, 0):
        reply = peer.ask(f"{lines}", prefix=prefix, suffix=suffix, max_tokens=16, max_lines=lines)
        assert reply["type"] == "completion", reply
        assert reply["prompt_tokens"] <= 2048
        assert all("\x00" not in suggestion["text"] for suggestion in reply["suggestions"])
    usual = peer.ask("usual", prefix="for i in ran", suffix="\n", language="python")
    assert usual["suggestions"][0]["text"].startswith("ge(")


def test_the_longest_answer_behind_the_longest_context(client: Callable[[], Client]) -> None:
    reply = client().ask("1", prefix=CODE * 500, suffix=CODE * 500, max_tokens=512, max_lines=0)
    assert reply["type"] == "completion"


# Minutes of work: sixteen texts of 512 tokens behind a full context.
ENDLESS = {
    "prefix": CODE * 90,
    "max_tokens": 512,
    "max_lines": 0,
    "candidates": 8,
    "temperature": 5.0,
    "document": "endless",
}


def test_nobody_waits_for_anothers_long_request(client: Callable[[], Client]) -> None:
    greedy, typist = client(), client()
    greedy.send("long", **ENDLESS)
    for number, typed in enumerate(("import os\n\nos.pa", "import os\n\nos.pat")):
        reply = typist.ask(f"{number}", prefix=typed, language="python")
        assert reply["type"] == "completion"
        assert not greedy.socket.poll(0), "the long request was over before the short one"
    assert greedy.ask("end", type="cancel", target="long")["type"] in ("cancelled", "ok")


def test_a_superseded_request_ends_and_the_newer_one_is_answered(
    client: Callable[[], Client],
) -> None:
    peer = client()
    for number in range(3):
        peer.send(f"{number}", **ENDLESS)
        time.sleep(0.05)
    peer.send("last", prefix="x = 1\ny = x +", document="endless")
    replies = {reply["id"]: reply["type"] for reply in (peer.receive() for _ in range(4))}
    assert replies == {"0": "cancelled", "1": "cancelled", "2": "cancelled", "last": "completion"}


# Models that cannot be served


def damage_size(folder: Path, record: dict[str, Any]) -> None:
    weights = folder / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:1_000_000])


def damage_contents(folder: Path, record: dict[str, Any]) -> None:
    with (folder / "tokenizer.json").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\0\0")


def damage_version(folder: Path, record: dict[str, Any]) -> None:
    record["version"] = 99


def damage_files(folder: Path, record: dict[str, Any]) -> None:
    (folder / "cpu.onnx").unlink()


def damage_manifest(folder: Path, record: dict[str, Any]) -> None:
    del record["prompt"]


@pytest.mark.parametrize(
    ("damage", "text", "remedy"),
    [
        (damage_size, "weights.bin has 1000000 bytes", "export the model again"),
        (damage_contents, "tokenizer.json is not the file that was exported", "export the model"),
        (damage_version, "manifest version 99", "upgrade autocoder"),
        (damage_files, "lacks the file", "install autocoder again"),
        (damage_manifest, "lacks or garbles", "export the model again"),
    ],
    ids=["truncated", "wrong hash", "future version", "missing file", "no prompt"],
)
def test_a_model_that_cannot_be_served_is_refused_with_the_remedy(
    damage: Callable[[Path, dict[str, Any]], None],
    text: str,
    remedy: str,
    tmp_path: Path,
    place: Endpoint,
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundled(), folder)
    record = json.loads((folder / "manifest.json").read_text())
    assert manifest_hash(record)
    damage(folder, record)
    (folder / "manifest.json").write_text(json.dumps(record))
    started = subprocess.run(
        [sys.executable, "-m", "autocoder", "daemon", "start", "--model", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert started.returncode != 0
    assert text in started.stderr and remedy in started.stderr, started.stderr
    assert "Traceback" not in started.stderr
    if lock.holder(place.lock) is not None:  # it runs, says what is wrong, and waits for the remedy
        status = [sys.executable, "-m", "autocoder", "daemon", "status"]
        said = subprocess.run(status, capture_output=True, text=True, timeout=60)
        assert said.returncode == 1 and text in said.stdout
