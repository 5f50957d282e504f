"""Many requests under way together, through the real server on a real socket; the model is a fake
that advances each by one step."""

import gc
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import zmq

from autocoder.daemon.connection import dealer
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.errors import CudaFailed, ModelError
from autocoder.daemon.protocol import Complete, Completion, ModelInfo, Suggestion
from autocoder.daemon.server import Server

INFO = ModelInfo("fake", "f" * 64, "/nowhere", ("python",), 512, True)


@dataclass(eq=False)
class Steps:
    """A request's text, said a letter at a step; one that begins with "wait" says nothing."""

    request: Complete
    said: str = ""
    ended: bool = False


@dataclass
class Fake:
    """Says the prefix, reversed. `go` lets the steps run; `failure` is raised by the next one."""

    info = INFO
    threads = 1
    places: int = 4
    provider: str = "CUDAExecutionProvider"
    reason: str = ""
    go: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None
    together: list[list[str]] = field(default_factory=list)
    begun: list[Steps] = field(default_factory=list)
    rested: int = 0
    on_cpu: Callable[[str], Any] | None = None

    def prepare(self, request: Complete) -> Complete:
        if request.prefix == "long":
            raise ModelError("too long")
        return request

    def begin(self, request: Complete) -> Steps:
        self.begun.append(Steps(request))
        return self.begun[-1]

    def advance(self, under_way: Sequence[Steps]) -> None:
        self.go.wait(10)
        time.sleep(0.002)
        if self.failure:
            raise self.failure
        self.together.append([each.request.prefix for each in under_way])
        for each in under_way:
            if not each.request.prefix.startswith("wait"):
                each.said = each.request.prefix[::-1][: len(each.said) + 1]

    def rest(self) -> bool:
        self.rested += 1
        return self.rested < 3

    def over(self, begun: Steps) -> bool:
        return len(begun.said) == len(begun.request.prefix)

    def completion(self, begun: Steps) -> Completion:
        return Completion((Suggestion(begun.said, 0.5, (0.5,), "line"),), 1, 0, 1)

    def end(self, begun: Steps) -> None:
        assert not begun.ended
        begun.ended = True

    def complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        raise AssertionError("answered alone, not together with the others")


class Alone:
    """What serves when the device has failed."""

    info = INFO
    provider = "CPUExecutionProvider"
    threads = 2

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        return Completion((Suggestion("cpu " + request.prefix, 0.5, (0.5,), "line"),), 1, 0, 1)


class Running:
    """A server in a thread, and clients of it."""

    def __init__(self, place: Endpoint, load: Callable[[], Any], **options: Any) -> None:
        self.server = Server(place.address, INFO, load, **options)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.address = place.address
        self.sockets = {name: dealer(self.context, place.address) for name in "abcdef"}
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while self.ask("f", type="status", id="s")["state"] != "ready":
            time.sleep(0.001)

    def send(self, client: str, **message: Any) -> None:
        self.sockets[client].send(json.dumps({"v": 1, **message}).encode())

    def ask(self, client: str, **message: Any) -> dict[str, Any]:
        self.send(client, **message)
        return self.receive(client)

    def receive(self, client: str) -> dict[str, Any]:
        assert self.sockets[client].poll(10_000), "no reply"
        reply: dict[str, Any] = json.loads(self.sockets[client].recv())
        return reply

    def complete(self, client: str, prefix: str, id: str = "1") -> None:
        self.send(client, type="complete", id=id, prefix=prefix, document="d")

    def text(self, client: str) -> str:
        reply = self.receive(client)
        assert reply["type"] == "completion", reply
        return str(reply["suggestions"][0]["text"])

    def end(self) -> None:
        self.server.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()
        for socket in self.sockets.values():
            socket.close(0)
        self.context.destroy(0)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def running(place: Endpoint, fake: Fake) -> Iterator[Running]:
    found = Running(place, lambda: fake)
    yield found
    fake.go.set()
    found.end()


def begun(running: Running, fake: Fake, count: int) -> None:
    """Wait until so many have begun while the steps stand still."""
    end = time.monotonic() + 10
    while len(fake.begun) < count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_clients_are_served_together(running: Running, fake: Fake) -> None:
    for client in "abc":
        running.complete(client, client * 30)
        assert running.ask(client, type="status", id="s")["type"] == "status"  # so it has arrived
    fake.go.set()
    assert [running.text(client) for client in "abc"] == ["a" * 30, "b" * 30, "c" * 30]
    assert max(map(len, fake.together)) == 3
    assert len(fake.together) < 90


def test_a_short_one_does_not_wait_for_a_long_one(running: Running, fake: Fake) -> None:
    running.complete("a", "wait")
    begun(running, fake, 1)
    fake.go.set()
    running.complete("b", "xyz")
    assert running.text("b") == "zyx"


def test_one_superseded_ends_within_a_step_and_before_its_successor_begins(
    running: Running, fake: Fake
) -> None:
    running.complete("a", "wait", "old")
    begun(running, fake, 1)
    running.complete("a", "new", "new")
    fake.go.set()
    assert running.receive("a")["type"] == "cancelled"
    assert running.text("a") == "wen"
    old, new = fake.begun
    assert old.ended and new.ended
    assert not any({"wait", "new"} <= set(step) for step in fake.together)


def test_cancelling_ends_one_and_leaves_the_others(running: Running, fake: Fake) -> None:
    running.complete("a", "wait")
    running.complete("b", "wait for me")
    begun(running, fake, 1)
    fake.go.set()
    assert running.ask("a", type="cancel", id="2", target="1")["type"] in ("ok", "cancelled")
    assert running.receive("a")["type"] in ("ok", "cancelled")
    running.complete("c", "on")
    assert running.text("c") == "no"


def test_more_than_there_are_places_wait_their_turn(running: Running, fake: Fake) -> None:
    for client in "abcde":
        running.complete(client, client * 5)
    fake.go.set()
    assert [running.text(client) for client in "abcde"] == [client * 5 for client in "abcde"]
    assert max(map(len, fake.together)) <= fake.places


def test_one_that_cannot_be_served_is_told_so_and_harms_nobody(
    running: Running, fake: Fake
) -> None:
    fake.go.set()
    running.complete("a", "wait")
    running.complete("b", "long")
    reply = running.receive("b")
    assert (reply["type"], reply["code"]) == ("error", "model") and "too long" in reply["text"]
    running.complete("c", "on")
    assert running.text("c") == "no"


def test_a_fault_ends_all_that_is_under_way_and_nothing_else(running: Running, fake: Fake) -> None:
    fake.failure = ValueError("a bug")
    fake.go.set()
    running.complete("a", "abc")
    assert running.receive("a")["code"] == "internal"
    fake.failure = None
    running.complete("a", "abc", "2")
    assert running.text("a") == "cba"


def test_where_the_device_fails_the_cpu_goes_on_and_says_why(running: Running, fake: Fake) -> None:
    fake.on_cpu = lambda reason: Alone(f"CUDA failed: {reason}")
    for client in "ab":
        running.complete(client, client)
    fake.failure = CudaFailed("out of memory")
    fake.go.set()
    assert sorted(running.text(client) for client in "ab") == ["cpu a", "cpu b"]
    status = running.ask("c", type="status", id="s")
    assert status["provider"] == "CPUExecutionProvider"
    assert status["reason"] == "CUDA failed: out of memory"
    running.complete("c", "more", "2")
    assert running.text("c") == "cpu more"


def test_the_daemon_stops_while_requests_are_under_way(place: Endpoint) -> None:
    fake = Fake()
    fake.go.set()
    running = Running(place, lambda: fake)
    for client in "abc":
        running.complete(client, "wait")
    begun(running, fake, 1)
    running.end()


def test_a_model_dropped_for_idleness_is_let_go_of_with_all_its_threads(place: Endpoint) -> None:
    loaded: list[weakref.ref[Fake]] = []

    def load() -> Fake:
        fake = Fake()
        fake.go.set()
        loaded.append(weakref.ref(fake))
        return fake

    running = Running(place, load, unload_after_s=0.2)
    try:
        for client in "abc":
            running.complete(client, client * 9)
        assert [running.text(client) for client in "abc"] == [c * 9 for c in "abc"]
        end = time.monotonic() + 10
        while loaded[0]() is not None:
            assert time.monotonic() < end, "the model is still held"
            time.sleep(0.02)
            gc.collect()
        running.complete("a", "again")
        assert running.text("a") == "niaga"
    finally:
        running.end()
