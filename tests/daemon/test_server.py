"""The ROUTER loop on a real socket, with a completer that a test holds by its strings."""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import pytest
import zmq

from autocoder.daemon import worker
from autocoder.daemon.connection import dealer
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.errors import ConfigError, ModelError
from autocoder.daemon.protocol import (
    MAX_BYTES,
    Cancelled,
    Complete,
    Completion,
    ModelInfo,
    Suggestion,
    Timing,
)
from autocoder.daemon.scheduler import MOST_WAITING
from autocoder.daemon.server import Server

INFO = ModelInfo("fake", "f" * 64, "/nowhere", ("java", "python"), 512, True)
PATIENCE_MS = 10_000


class HeldCompleter:
    """Answers with the prefix, reversed; a prefix that begins with "wait" waits for `go`."""

    info = INFO
    provider = "CPUExecutionProvider"
    threads = 2
    reason = "a fake"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun: list[str] = []
        self.failure: Exception | None = None
        self.probability = 0.5

    def complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        self.begun.append(request.prefix)
        if self.failure:
            raise self.failure
        while request.prefix.startswith("wait") and not self.go.wait(0.001):
            if cancelled():
                raise Cancelled
        suggestion = Suggestion(request.prefix[::-1], self.probability, (self.probability,), "line")
        return Completion((suggestion,), 3, 2, 1, Timing(prompt=1.0, decode=2.0))


class Peer:
    """A client as bare as can be: what it sends is up to the test."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", address: str) -> None:
        self.socket = dealer(context, address)

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps({"v": 1, **message}).encode())

    def receive(self) -> dict[str, Any]:
        assert self.socket.poll(PATIENCE_MS), "no reply"
        reply: dict[str, Any] = json.loads(self.socket.recv())
        return reply

    def ask(self, **message: Any) -> dict[str, Any]:
        self.send(**message)
        return self.receive()

    def complete(self, id: str, prefix: str, document: str = "") -> None:
        self.send(type="complete", id=id, prefix=prefix, document=document)

    def silent(self) -> bool:
        """Nothing more comes: a question asked now is answered next."""
        return self.ask(type="hello", id="silent?")["id"] == "silent?"


class Running:
    """A server in a thread, and peers of it."""

    def __init__(self, place: Endpoint, load: Callable[[], Any], **options: Any) -> None:
        self.server = Server(place.address, INFO, load, version="1.2.3", **options)
        self.address = place.address
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.peers: list[Peer] = []
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def peer(self) -> Peer:
        self.peers.append(Peer(self.context, self.address))
        return self.peers[-1]

    def end(self) -> None:
        if self.thread.is_alive():
            self.server.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()
        for peer in self.peers:
            peer.socket.close(0)
        self.context.destroy(0)


@pytest.fixture
def completer() -> HeldCompleter:
    return HeldCompleter()


@pytest.fixture
def running(place: Endpoint, completer: HeldCompleter) -> Iterator[Running]:
    found = Running(place, lambda: completer)
    yield found
    completer.go.set()
    found.end()


@pytest.fixture
def peer(running: Running) -> Peer:
    """A peer of a server whose model is loaded."""
    found = running.peer()
    while found.ask(type="status", id="s")["state"] != "ready":
        time.sleep(0.001)
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


# Answers


def test_hello_tells_version_process_and_model(peer: Peer) -> None:
    reply = peer.ask(type="hello", id="h", client="vim", version="0.1.0")
    assert (reply["v"], reply["type"], reply["id"]) == (1, "hello", "h")
    assert (reply["version"], reply["protocol"]) == ("1.2.3", 1)
    assert reply["provider"] == "CPUExecutionProvider"
    assert reply["model"] == {
        "name": "fake",
        "sha256": "f" * 64,
        "folder": "/nowhere",
        "languages": ["java", "python"],
        "context": 512,
        "fills_holes": True,
    }


def test_a_completion_carries_text_probabilities_and_times(peer: Peer) -> None:
    reply = peer.ask(type="complete", id="7", prefix="abc", document="/tmp/a.py")
    assert (reply["type"], reply["id"], reply["document"]) == ("completion", "7", "/tmp/a.py")
    assert reply["suggestions"] == [
        {"text": "cba", "probability": 0.5, "token_probabilities": [0.5], "stopped_by": "line"}
    ]
    assert (reply["prompt_tokens"], reply["cached_tokens"], reply["generated_tokens"]) == (3, 2, 1)
    assert (reply["ms"]["prompt"], reply["ms"]["decode"]) == (1.0, 2.0)
    assert 0 <= reply["ms"]["queued"] < reply["ms"]["total"] < 1000


def test_text_of_any_script_comes_back(peer: Peer) -> None:
    reply = peer.ask(type="complete", id="7", prefix="née 漢字 \U0001f600")
    assert reply["suggestions"][0]["text"] == "\U0001f600 字漢 eén"


def test_status_counts_and_measures(peer: Peer) -> None:
    for number in range(3):
        peer.ask(type="complete", id=str(number), prefix="x")
    peer.ask(type="feedback", id="f", target="2", event="accepted", characters=3)
    peer.ask(type="complete", id="bad", prefix=3)
    status = peer.ask(type="status", id="s")
    assert status["requests"] == {"complete": 3, "cancelled": 0, "errors": 1}
    assert status["feedback"] == {"shown": 0, "accepted": 1, "partly": 0, "dismissed": 0}
    assert status["latency_ms"]["count"] == 3
    assert 0 < status["latency_ms"]["p50"] <= status["latency_ms"]["p95"] < 1000
    assert status["memory_mb"] > 5 and status["uptime_s"] > 0
    assert (status["clients"], status["threads"], status["reason"]) == (1, 2, "a fake")
    assert (status["state"], status["problem"]) == ("ready", None)


def test_the_loop_itself_takes_less_than_a_third_of_a_millisecond(peer: Peer) -> None:
    took = []
    for number in range(300):
        started = time.perf_counter()
        peer.ask(type="complete", id=str(number), prefix="x")
        took.append(1000 * (time.perf_counter() - started))
    status = peer.ask(type="status", id="s")
    assert status["latency_ms"]["p50"] <= 0.3, status["latency_ms"]
    assert median(took) < 3.0


# What does not fit


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_json"),
        (b"\x00\xff\xfe junk", "bad_json"),
        (b"[1, 2]", "bad_json"),
        (b"[" * 50_000, "bad_json"),
        (b'{"v": 2, "type": "hello", "id": "1"}', "unsupported_version"),
        (b'{"v": 1, "type": "dance", "id": "1"}', "unknown_type"),
        (b'{"v": 1, "type": "complete", "id": "1"}', "bad_request"),
        (b'{"v": 1, "type": "complete", "prefix": "x"}', "bad_request"),
        (b'{"v": 1, "type": "complete", "id": "1", "prefix": "x", "top_p": 7}', "bad_request"),
        (b'{"prefix": "' + b"x" * MAX_BYTES + b'"}', "too_large"),
    ],
)
def test_what_does_not_fit_is_answered_and_the_daemon_lives_on(
    peer: Peer, data: bytes, code: str
) -> None:
    peer.socket.send(data)
    reply = peer.receive()
    assert (reply["v"], reply["type"], reply["code"]) == (1, "error", code)
    assert reply["text"]
    assert reply["id"] == ("1" if b'"id": "1"' in data else None)
    assert peer.ask(type="complete", id="2", prefix="ab")["suggestions"][0]["text"] == "ba"


def test_a_message_is_one_frame(peer: Peer) -> None:
    peer.socket.send_multipart([b"", b'{"v": 1, "type": "hello", "id": "1"}'])
    assert peer.receive()["code"] == "bad_json"
    assert peer.silent()


def test_junk_that_speaks_no_zeromq_harms_nobody(peer: Peer, place: Endpoint) -> None:
    import socket

    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096, b""):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(place.socket))
            raw.sendall(junk)
    assert peer.silent()


def test_a_frame_that_would_fill_the_memory_closes_the_connection(
    running: Running, peer: Peer
) -> None:
    rude = running.peer()
    monitor = rude.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    rude.socket.send(b"x" * (65 * 1024 * 1024))
    assert monitor.poll(PATIENCE_MS)
    rude.socket.disable_monitor()
    monitor.close(0)
    assert peer.silent()


def test_an_id_under_way_cannot_be_used_again(peer: Peer, completer: HeldCompleter) -> None:
    peer.complete("1", "wait", "a")
    assert peer.ask(type="complete", id="1", prefix="x", document="b")["code"] == "bad_request"
    completer.go.set()
    assert peer.receive()["type"] == "completion"
    assert peer.ask(type="complete", id="1", prefix="x")["type"] == "completion"


def test_a_fault_in_the_model_is_an_internal_error(peer: Peer, completer: HeldCompleter) -> None:
    completer.failure = ZeroDivisionError("secret text")
    reply = peer.ask(type="complete", id="1", prefix="x")
    assert (reply["code"], reply["id"]) == ("internal", "1")
    assert "secret" not in reply["text"]
    completer.failure = None
    assert peer.ask(type="complete", id="2", prefix="x")["type"] == "completion"


def test_a_probability_that_is_no_number_is_an_internal_error(
    peer: Peer, completer: HeldCompleter
) -> None:
    completer.probability = math.nan
    assert peer.ask(type="complete", id="1", prefix="x")["code"] == "internal"
    assert peer.silent()


def test_what_the_model_refuses_is_told_with_its_remedy(
    peer: Peer, completer: HeldCompleter
) -> None:
    for failure in (ModelError("too long; cut it"), ConfigError("too long; cut it")):
        completer.failure = failure
        reply = peer.ask(type="complete", id="1", prefix="x")
        assert (reply["code"], reply["text"]) == ("model", "too long; cut it")


# Superseding, cancelling, several clients


def test_a_newer_request_supersedes_the_running_one(peer: Peer, completer: HeldCompleter) -> None:
    peer.complete("1", "wait", "a.py")
    wait_until(lambda: completer.begun == ["wait"])
    started = time.monotonic()
    peer.complete("2", "xy", "a.py")
    first, second = peer.receive(), peer.receive()
    assert first == {"v": 1, "type": "cancelled", "id": "1", "document": "a.py"}
    assert (second["id"], second["suggestions"][0]["text"]) == ("2", "yx")
    assert time.monotonic() - started < 1.0


def test_of_many_keystrokes_only_the_last_is_computed(peer: Peer, completer: HeldCompleter) -> None:
    for number in range(30):
        peer.complete(str(number), f"wait {number}", "a.py")
    wait_until(lambda: "wait 29" in completer.begun)
    completer.go.set()
    replies = {reply["id"]: reply["type"] for reply in (peer.receive() for _ in range(30))}
    assert replies == {str(n): "cancelled" for n in range(29)} | {"29": "completion"}
    assert peer.silent()


def test_other_documents_are_not_superseded(peer: Peer, completer: HeldCompleter) -> None:
    peer.complete("1", "wait", "a.py")
    peer.complete("2", "wait", "b.py")
    completer.go.set()
    assert [peer.receive()["type"] for _ in range(2)] == ["completion"] * 2


def test_two_clients_do_not_disturb_each_other(
    running: Running, peer: Peer, completer: HeldCompleter
) -> None:
    other = running.peer()
    peer.complete("1", "wait a", "same.py")
    wait_until(lambda: completer.begun == ["wait a"])
    other.complete("1", "wait b", "same.py")
    assert other.ask(type="cancel", id="c", target="no such")["cancelled"] is False
    completer.go.set()
    assert peer.receive()["suggestions"][0]["text"] == "a tiaw"
    assert other.receive()["suggestions"][0]["text"] == "b tiaw"
    assert peer.silent() and other.silent()


def test_cancel_ends_the_running_request(peer: Peer, completer: HeldCompleter) -> None:
    peer.complete("1", "wait")
    wait_until(lambda: completer.begun == ["wait"])
    peer.send(type="cancel", id="c", target="1")
    replies = {reply["id"]: reply for reply in (peer.receive(), peer.receive())}
    assert replies["1"]["type"] == "cancelled"
    assert replies["c"] == {"v": 1, "type": "ok", "id": "c", "cancelled": True}


def test_cancel_ends_a_waiting_request(peer: Peer, completer: HeldCompleter) -> None:
    peer.complete("1", "wait", "a")
    peer.complete("2", "never", "b")
    peer.send(type="cancel", id="c", target="2")
    assert [peer.receive()["type"] for _ in range(2)] == ["cancelled", "ok"]
    completer.go.set()
    assert peer.receive()["id"] == "1"
    assert completer.begun == ["wait"]


def test_cancelling_what_is_over_is_no_error(peer: Peer) -> None:
    peer.ask(type="complete", id="1", prefix="x")
    reply = peer.ask(type="cancel", id="c", target="1")
    assert reply == {"v": 1, "type": "ok", "id": "c", "cancelled": False}


def test_nobody_cancels_anothers_request(
    running: Running, peer: Peer, completer: HeldCompleter
) -> None:
    peer.complete("1", "wait")
    wait_until(lambda: completer.begun == ["wait"])
    assert running.peer().ask(type="cancel", id="c", target="1")["cancelled"] is False
    completer.go.set()
    assert peer.receive()["type"] == "completion"


def test_too_many_waiting_requests_are_refused(peer: Peer, completer: HeldCompleter) -> None:
    peer.complete("running", "wait", "running")
    wait_until(lambda: completer.begun == ["wait"])
    for number in range(MOST_WAITING + 2):
        peer.complete(str(number), "x", str(number))
    assert {(r["id"], r["code"]) for r in (peer.receive(), peer.receive())} == {
        ("64", "overloaded"),
        ("65", "overloaded"),
    }
    completer.go.set()
    assert {peer.receive()["type"] for _ in range(MOST_WAITING + 1)} == {"completion"}
    assert peer.silent()


def test_a_client_that_left_costs_no_further_work(
    running: Running, peer: Peer, completer: HeldCompleter
) -> None:
    gone = running.peer()
    for number in range(20):
        gone.complete(str(number), f"wait {number}", str(number))
    wait_until(lambda: bool(completer.begun))
    gone.socket.close(0)
    time.sleep(0.1)
    completer.go.set()
    wait_until(lambda: peer.ask(type="complete", id="1", prefix="x")["type"] == "completion")
    assert len(completer.begun) < 5


def test_a_long_request_gives_way_to_another_client_and_is_answered_later(
    running: Running, peer: Peer, completer: HeldCompleter
) -> None:
    other = running.peer()
    peer.complete("1", "wait long", "a.py")
    wait_until(lambda: completer.begun == ["wait long"])
    assert other.ask(type="complete", id="1", prefix="short")["suggestions"][0]["text"] == "trohs"
    wait_until(lambda: completer.begun == ["wait long", "short", "wait long"])
    completer.go.set()
    assert peer.receive()["suggestions"][0]["text"] == "gnol tiaw"
    assert peer.ask(type="status", id="s")["requests"]["cancelled"] == 0


# Unused for long


def test_an_unused_model_is_dropped_and_loaded_at_the_next_sign_of_life(place: Endpoint) -> None:
    loads: list[HeldCompleter] = []

    def load() -> HeldCompleter:
        loads.append(HeldCompleter())
        return loads[-1]

    running = Running(place, load, unload_after_s=0.05)
    peer = running.peer()
    try:
        assert peer.ask(type="complete", id="1", prefix="ab")["suggestions"][0]["text"] == "ba"
        wait_until(lambda: peer.ask(type="status", id="s")["state"] == "unloaded")
        status = peer.ask(type="status", id="s")  # asking how it is wakes nobody
        assert (status["state"], status["provider"], status["threads"]) == (
            "unloaded",
            "CPUExecutionProvider",
            2,
        )
        assert len(loads) == 1
        assert peer.ask(type="hello", id="h")["provider"] == "CPUExecutionProvider"
        wait_until(lambda: len(loads) == 2)  # before anything is to be completed
        wait_until(lambda: peer.ask(type="status", id="s")["state"] == "unloaded")
        assert peer.ask(type="complete", id="2", prefix="cd")["suggestions"][0]["text"] == "dc"
        assert len(loads) == 3
    finally:
        running.end()


def test_a_dropped_model_is_really_gone(place: Endpoint) -> None:
    import gc
    import weakref

    made: list[weakref.ref[HeldCompleter]] = []

    def load() -> HeldCompleter:
        completer = HeldCompleter()
        made.append(weakref.ref(completer))
        return completer

    running = Running(place, load, unload_after_s=0.05)
    peer = running.peer()
    try:
        assert peer.ask(type="complete", id="1", prefix="ab")["type"] == "completion"
        wait_until(lambda: peer.ask(type="status", id="s")["state"] == "unloaded")
        gc.collect()
        assert made[0]() is None
    finally:
        running.end()


# Loading and leaving


def test_hello_is_answered_while_the_model_loads_and_complete_waits(
    place: Endpoint, completer: HeldCompleter
) -> None:
    loaded = threading.Event()

    def load() -> HeldCompleter:
        assert loaded.wait(10)
        return completer

    running = Running(place, load)
    peer = running.peer()
    peer.complete("1", "old", "a.py")
    peer.complete("2", "ab", "a.py")
    assert peer.receive()["type"] == "cancelled"
    reply = peer.ask(type="hello", id="h")
    assert (reply["provider"], reply["model"]["name"]) == (None, "fake")
    assert peer.ask(type="status", id="s")["state"] == "loading"
    loaded.set()
    assert peer.receive()["suggestions"][0]["text"] == "ba"
    assert completer.begun == ["ab"]
    running.end()


def test_a_model_that_cannot_be_loaded_is_told_and_tried_again(
    place: Endpoint, completer: HeldCompleter, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    def load() -> HeldCompleter:
        attempts.append(1)
        if len(attempts) == 1:
            raise ModelError("weights.bin is damaged; export the model again")
        return completer

    running = Running(place, load)
    peer = running.peer()
    reply = peer.ask(type="complete", id="1", prefix="x")
    assert (reply["code"], reply["id"]) == ("model", "1")
    assert reply["text"] == "weights.bin is damaged; export the model again"
    status = peer.ask(type="status", id="s")
    assert (status["state"], status["problem"]) == ("failed", reply["text"])
    assert peer.ask(type="complete", id="2", prefix="x")["code"] == "model"
    monkeypatch.setattr(worker, "RETRY_S", 0.0)
    assert peer.ask(type="complete", id="3", prefix="x")["type"] == "completion"
    status = peer.ask(type="status", id="s")
    assert (status["state"], status["problem"]) == ("ready", None)
    running.end()


def test_stop_answers_everything_under_way_and_ends(
    running: Running, peer: Peer, completer: HeldCompleter
) -> None:
    peer.complete("1", "wait", "a")
    wait_until(lambda: completer.begun == ["wait"])
    peer.complete("2", "x", "b")
    assert peer.ask(type="stop", id="bye") == {"v": 1, "type": "ok", "id": "bye"}
    assert {(r["id"], r["type"]) for r in (peer.receive(), peer.receive())} == {
        ("1", "cancelled"),
        ("2", "cancelled"),
    }
    running.thread.join(10)
    assert not running.thread.is_alive()
