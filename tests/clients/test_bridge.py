"""`autocoder bridge` as an editor sees it: lines in, lines out."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from autocoder.clients.bridge import Lines
from autocoder.daemon import lock
from autocoder.daemon.connection import connected
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.protocol import MAX_BYTES, Hello

if TYPE_CHECKING:
    from conftest import FakeDaemon

PATIENCE_S = 20


class Editor:
    """A bridge process, with an editor's end of its pipes."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.rest = b""

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.stdin, data) :]

    def send(self, **message: Any) -> None:
        self.write(json.dumps(message).encode() + b"\n")

    def complete(self, id: str, prefix: str, **fields: Any) -> None:
        self.send(type="complete", id=id, prefix=prefix, **fields)

    def receive(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_S
        while b"\n" not in self.rest:
            assert select.select([self.stdout], [], [], end - time.monotonic())[0], "no reply"
            data = os.read(self.stdout, 1 << 16)
            assert data, "the bridge has closed its output"
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        reply: dict[str, Any] = json.loads(line)
        return reply

    def ask(self, **message: Any) -> dict[str, Any]:
        self.send(**message)
        return self.receive()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()


@pytest.fixture
def open_bridge(fake_daemon: "FakeDaemon") -> Iterator[Callable[..., Editor]]:
    """Opens bridges whose daemons are fakes with the options given."""
    editors: list[Editor] = []

    def make(options: str = "") -> Editor:
        editors.append(Editor(fake_daemon.autocoder("bridge", options=options)))
        return editors[-1]

    yield make
    for editor in editors:
        editor.end()


@pytest.fixture
def editor(open_bridge: Callable[..., Editor]) -> Editor:
    return open_bridge()


def test_it_starts_the_daemon_and_passes_requests_and_replies(
    editor: Editor, place: Endpoint
) -> None:
    hello = editor.ask(v=1, type="hello", id="h", client="vim", version="0.1.0")
    assert (hello["type"], hello["pid"]) == ("hello", lock.holder(place.lock))
    reply = editor.ask(v=1, type="complete", id="7", prefix="for i in ran", document="a.py")
    assert (reply["type"], reply["id"], reply["document"]) == ("completion", "7", "a.py")
    assert reply["suggestions"][0]["text"] == "ge(10):"


def test_the_version_may_be_left_out_and_lines_may_end_as_on_windows(editor: Editor) -> None:
    assert editor.ask(type="hello", id="h")["v"] == 1
    editor.write(b'\r\n\n{"type": "complete", "id": "1", "prefix": "\xc3\xa9 = "}\r\n')
    assert editor.receive()["suggestions"][0]["text"] == "'ü'"


@pytest.mark.parametrize(
    ("line", "code", "id"),
    [
        (b"junk", "bad_json", None),
        (b"\xff\xfe", "bad_json", None),
        (b"[]", "bad_json", None),
        (b'{"v": 9, "type": "hello", "id": "1"}', "unsupported_version", "1"),
        (b'{"type": "dance", "id": "1"}', "unknown_type", "1"),
        (b'{"type": "complete", "id": "1"}', "bad_request", "1"),
        (b'{"type": "hello"}', "bad_request", None),
        (b"x" * (MAX_BYTES + 1), "too_large", None),
        (b"x" * (3 * MAX_BYTES), "too_large", None),
    ],
)
def test_a_bad_line_is_answered_and_the_bridge_lives_on(
    editor: Editor, line: bytes, code: str, id: str | None
) -> None:
    editor.write(line + b"\n")
    reply = editor.receive()
    assert (reply["v"], reply["type"], reply["code"], reply["id"]) == (1, "error", code, id)
    assert editor.ask(type="hello", id="h")["type"] == "hello"


def test_several_requests_are_under_way(open_bridge: Callable[..., Editor]) -> None:
    editor = open_bridge("--slow 0.2")
    editor.complete("1", "for i in ran", document="a")
    editor.complete("2", "import numpy as ", document="b")
    assert editor.ask(type="hello", id="h")["id"] == "h"
    assert {editor.receive()["id"] for _ in range(2)} == {"1", "2"}


def test_superseding_and_cancelling_pass_through(open_bridge: Callable[..., Editor]) -> None:
    editor = open_bridge("--slow 10")
    editor.ask(type="hello", id="h")
    editor.complete("1", "for i in ran")
    editor.complete("2", "for i in ran")
    assert editor.receive()["type"] == "cancelled"
    editor.send(type="cancel", id="c", target="2")
    assert {editor.receive()["type"] for _ in range(2)} == {"ok", "cancelled"}


def test_a_dying_daemon_fails_what_is_under_way_and_the_next_request_restarts_it(
    open_bridge: Callable[..., Editor], place: Endpoint
) -> None:
    editor = open_bridge("--slow 0.5")
    pid = editor.ask(type="hello", id="h")["pid"]
    editor.complete("1", "for i in ran")
    assert editor.ask(type="hello", id="h")["pid"] == pid
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    reply = editor.receive()
    assert (reply["type"], reply["id"], reply["code"]) == ("error", "1", "daemon")
    assert time.monotonic() - started < 1.0
    editor.complete("2", "for i in ran")
    assert editor.receive()["suggestions"][0]["text"] == "ge(10):"
    assert lock.holder(place.lock) != pid


def test_a_daemon_that_was_stopped_is_started_by_the_next_request(editor: Editor) -> None:
    assert editor.ask(type="stop", id="s")["type"] == "ok"
    time.sleep(0.3)
    assert editor.ask(type="complete", id="1", prefix="for i in ran")["type"] == "completion"


def test_a_daemon_that_cannot_start_is_told_to_every_request(
    open_bridge: Callable[..., Editor],
) -> None:
    editor = open_bridge("--no-such-option")
    for id in ("1", "2"):
        reply = editor.ask(type="complete", id=id, prefix="x")
        assert (reply["type"], reply["id"], reply["code"]) == ("error", id, "daemon")
        assert "--no-such-option" in reply["text"]


def test_a_model_that_cannot_be_loaded_is_told_with_its_remedy(
    open_bridge: Callable[..., Editor],
) -> None:
    editor = open_bridge("--broken damaged")
    reply = editor.ask(type="complete", id="1", prefix="x")
    assert (reply["code"], reply["text"]) == ("model", "damaged")


def test_it_ends_when_its_input_is_closed(editor: Editor) -> None:
    editor.ask(type="hello", id="h")
    assert editor.process.stdin
    editor.process.stdin.close()
    assert editor.process.wait(5) == 0


def test_closing_the_input_still_gets_the_answers_to_what_was_asked(
    fake_daemon: "FakeDaemon",
) -> None:
    lines = b'{"type": "complete", "id": "1", "prefix": "for i in ran"}'  # no line break at the end
    command = fake_daemon.autocoder("bridge", options="--slow 0.2")
    answer = subprocess.run(command, input=lines, capture_output=True, timeout=30)
    assert json.loads(answer.stdout)["suggestions"][0]["text"] == "ge(10):"
    assert (answer.returncode, answer.stderr) == (0, b"")


def test_an_id_used_twice_before_the_input_is_closed_is_answered_twice(
    fake_daemon: "FakeDaemon",
) -> None:
    line = b'{"type": "complete", "id": "1", "prefix": "for i in ran"}\n'
    command = fake_daemon.autocoder("bridge", options="--slow 0.5")
    answer = subprocess.run(command, input=2 * line, capture_output=True, timeout=30)
    replies = [json.loads(reply) for reply in answer.stdout.splitlines()]
    assert [(reply["type"], reply["id"]) for reply in replies] == [
        ("error", "1"),
        ("completion", "1"),
    ]
    assert replies[0]["code"] == "bad_request"


def test_it_ends_when_nobody_reads_its_output(open_bridge: Callable[..., Editor]) -> None:
    editor = open_bridge("--slow 10")
    editor.ask(type="hello", id="h")
    editor.complete("1", "for i in ran")
    assert editor.process.stdout
    editor.process.stdout.close()
    assert editor.process.wait(5) == 0


def test_an_editor_that_does_not_read_can_still_write(editor: Editor) -> None:
    """Nothing is read for 4,000 replies, far more than the pipe holds; none is lost."""
    editor.ask(type="hello", id="h")
    for number in range(4000):
        editor.send(type="dance", id=str(number))
    assert [editor.receive()["id"] for _ in range(4000)] == [str(n) for n in range(4000)]


def test_two_bridges_share_one_daemon(open_bridge: Callable[..., Editor]) -> None:
    editors = [open_bridge(), open_bridge()]
    pids = {editor.ask(type="hello", id="h")["pid"] for editor in editors}
    assert len(pids) == 1


def test_it_adds_little_to_a_round_trip(editor: Editor, place: Endpoint) -> None:
    def took(ask: Callable[[], object]) -> float:
        started = time.perf_counter()
        ask()
        return 1000 * (time.perf_counter() - started)

    editor.ask(type="hello", id="h")
    with connected(place.address) as connection:
        connection.ask(Hello(), 10)
        direct = median(took(lambda: connection.ask(Hello(), 10)) for _ in range(200))
    bridged = median(took(lambda: editor.ask(type="hello", id="h")) for _ in range(200))
    assert bridged - direct < 2.0, f"{direct:.2f} ms direct, {bridged:.2f} ms through the bridge"


def test_lines_come_whole_however_the_bytes_arrive() -> None:
    lines = Lines(longest=5)
    assert lines.feed(b"ab") == []
    assert lines.feed(b"c\n\n d \r\nef") == [b"abc", b"d"]
    assert lines.feed(b"ghij") == []
    assert lines.feed(b"kl\nok\n123456\n12345\n") == [None, b"ok", None, b"12345"]
