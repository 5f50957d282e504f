"""`autocoder bridge`: the protocol as newline-delimited JSON on stdio, for thin editors.

One loop over standard input, standard output and the daemon's socket that never blocks on any of
them; only finding or starting the daemon happens in a thread. Knows the protocol and the daemon's
life; thinks nothing about suggestions.
"""

import argparse
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from autocoder.clients.once import wanted
from autocoder.daemon.connection import dealer
from autocoder.daemon.endpoint import endpoint
from autocoder.daemon.errors import AutocoderError, ModelError, ProtocolError
from autocoder.daemon.lifecycle import ensure
from autocoder.daemon.protocol import (
    MAX_BYTES,
    VERSION,
    Greeting,
    decode,
    encode,
    error_message,
    message_id,
    request_from,
)

CHECK_S = 5.0  # how long a request waits before the bridge looks whether the daemon is well
RETRY_S = 2.0  # how long a failure to start the daemon answers for it
LEAVE_S = 10.0  # how long the last replies may take once standard input is closed
MOST_WAITING = 1000
CHUNK = 1 << 20


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder bridge` until standard input ends or standard output is closed."""
    parser = argparse.ArgumentParser(
        prog="autocoder bridge",
        description="Speak docs/protocol.md, one JSON object a line, on standard input and output.",
    )
    parser.add_argument(
        "--model",
        metavar="DIR",
        help="model folder (default: $AUTOCODER_MODEL, else daemon start's or the bundled)",
    )
    parser.add_argument("--client", default="bridge", help="the name to tell the daemon")
    options = parser.parse_args(arguments)
    bridge = Bridge(lambda: ensure(wanted(options.client, options.model)), 0, 1)
    bridge.run()
    return 0


@dataclass(frozen=True)
class Link:
    """A connection to one daemon process; `monitor` tells when it is lost."""

    socket: "zmq.Socket[bytes]"
    monitor: "zmq.Socket[bytes]"
    pid: int

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)


class Lines:
    """Bytes in, whole lines out; a line that grows too long is dropped and reported once."""

    def __init__(self, longest: int = MAX_BYTES) -> None:
        self._longest = longest
        self._rest = bytearray()
        self._dropping = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that `data` completes; None stands for one that was too long."""
        *whole, rest = data.split(b"\n")
        found = [line for part in whole if (line := self._end(part)) != b""]
        self._grow(rest)
        return found

    def _grow(self, part: bytes) -> None:
        self._rest += part
        if len(self._rest) > self._longest:
            self._rest.clear()
            self._dropping = True

    def _end(self, part: bytes) -> bytes | None:
        self._grow(part)
        line = None if self._dropping else bytes(self._rest).strip()
        self._rest.clear()
        self._dropping = False
        return line


class Bridge:
    """Between two file descriptors and the daemon that `find` finds or starts."""

    def __init__(self, find: Callable[[], Greeting], source: int, sink: int) -> None:
        self._find = find
        self._source = source
        self._sink = sink
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._lines = Lines()
        self._out = bytearray()
        self._link: Link | None = None
        self._waiting: list[tuple[str, bytes]] = []  # until there is a daemon
        self._pending: dict[str, list[float]] = {}  # with the daemon, since when; by id
        self._found: list[Greeting | Exception] = []
        self._finding = False
        self._failure: Exception | None = None
        self._looked = 0.0
        self._woken, self._waker = os.pipe()
        self._leave_at: float | None = None

    def run(self) -> None:
        """Pass messages on until there is nobody left to pass them to."""
        self._look()
        while not self._done():
            ready = self._wait()
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._take_found()
            if self._link and self._link.socket in ready:
                self._take_replies(self._link)
            if self._link and self._link.monitor in ready:
                self._lose("the daemon ended; the next request starts another one")
            if self._source in ready:
                self._take_input()
            if ready.get(self._sink, 0) & zmq.POLLERR:
                break  # nobody reads any more
            self._check()
            self._flush()
        # A thread may still be looking for the daemon: it is let go, not waited for.
        self._context.destroy(linger=0)

    def _done(self) -> bool:
        if self._leave_at is None:
            return False
        idle = not (self._waiting or self._pending or self._out)
        return idle or time.monotonic() > self._leave_at

    def _wait(self) -> dict[Any, int]:
        poller = zmq.Poller()
        poller.register(self._woken, zmq.POLLIN)
        poller.register(self._sink, zmq.POLLERR | (zmq.POLLOUT if self._out else 0))
        if self._leave_at is None:
            poller.register(self._source, zmq.POLLIN)
        if self._link:
            poller.register(self._link.socket, zmq.POLLIN)
            poller.register(self._link.monitor, zmq.POLLIN)
        busy = self._pending or self._leave_at is not None
        return dict(poller.poll(500 if busy else None))

    # The editor's side

    def _take_input(self) -> None:
        data = os.read(self._source, CHUNK)
        if not data:
            self._leave_at = time.monotonic() + LEAVE_S
        for line in self._lines.feed(data or b"\n"):
            self._take_line(line)

    def _take_line(self, line: bytes | None) -> None:
        id = None
        try:
            if line is None:
                raise ProtocolError("too_large", f"a line has at most {MAX_BYTES} bytes")
            message = decode(line)
            id = message_id(message)
            if "v" not in message:
                line = encode({"v": VERSION, **message})
            request_from({"v": VERSION, **message})
            self._forward(id or "", line)
        except ProtocolError as error:
            self._refuse(id, error.code, str(error))

    def _forward(self, id: str, line: bytes) -> None:
        if self._link:
            self._send(self._link, id, line)
        elif self._failure and time.monotonic() - self._looked < RETRY_S:
            self._fail(id, self._failure)
        elif len(self._waiting) >= MOST_WAITING:
            self._refuse(id, "overloaded", f"{MOST_WAITING} requests wait for the daemon")
        else:
            self._waiting.append((id, line))
            self._look()

    def _send(self, link: Link, id: str, line: bytes) -> None:
        try:
            link.socket.send(line, zmq.NOBLOCK)
            self._pending.setdefault(id, []).append(time.monotonic())
        except zmq.Again:
            self._refuse(id, "overloaded", "the daemon takes no more requests for now")

    def _refuse(self, id: str | None, code: str, text: str) -> None:
        self._put(encode(error_message(id, code, text)))

    def _fail(self, id: str, error: Exception) -> None:
        self._refuse(id, "model" if isinstance(error, ModelError) else "daemon", str(error))

    def _put(self, line: bytes) -> None:
        self._out += line
        self._out += b"\n"

    def _flush(self) -> None:
        """Write what the reader takes now: a ready pipe takes PIPE_BUF bytes without blocking."""
        while self._out and select.select([], [self._sink], [], 0)[1]:
            try:
                written = os.write(self._sink, self._out[: select.PIPE_BUF])
            except BrokenPipeError:
                self._out.clear()
                self._leave_at = 0.0
                return
            del self._out[:written]

    # The daemon's side

    def _look(self) -> None:
        """Find or start the daemon, or see whether it is well, in a thread of its own."""
        if not self._finding:
            self._finding = True
            threading.Thread(target=self._find_daemon, name="find", daemon=True).start()

    def _find_daemon(self) -> None:
        try:
            self._found.append(self._find())
        except Exception as error:  # reported to the editor, request by request
            self._found.append(error)
        os.write(self._waker, b"\0")

    def _take_found(self) -> None:
        found = self._found.pop()
        self._finding = False
        self._looked = time.monotonic()
        if isinstance(found, Greeting):
            self._failure = None
            if self._link and self._link.pid != found.pid:
                self._lose("the daemon did not answer and was replaced")
            if not self._link:
                self._connect(found)
        else:
            self._give_up(found)

    def _connect(self, greeting: Greeting) -> None:
        socket = dealer(self._context, endpoint().address)
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._link = Link(socket, monitor, greeting.pid)
        waiting, self._waiting = self._waiting, []
        for id, line in waiting:
            self._forward(id, line)

    def _give_up(self, error: Exception) -> None:
        if not isinstance(error, AutocoderError):
            print(f"autocoder bridge: {error!r}", file=sys.stderr)
        self._failure = error
        waiting, self._waiting = self._waiting, []
        for id, _ in waiting:
            self._fail(id, error)
        self._lose(str(error))

    def _take_replies(self, link: Link) -> None:
        while True:
            try:
                reply = link.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._settle(str(decode(reply).get("id")))
            self._put(reply)

    def _settle(self, id: str) -> None:
        """One request of this id is answered; where an editor uses an id twice, one is left."""
        since = self._pending.get(id, [])
        if len(since) > 1:
            since.pop()  # the later one: an id that is under way is refused at once
        else:
            self._pending.pop(id, None)

    def _lose(self, why: str) -> None:
        """The daemon is gone, and with it what it was asked."""
        if self._link:
            self._link.close()
            self._link = None
        pending, self._pending = self._pending, {}
        for id, since in pending.items():
            for _ in since:
                self._refuse(id, "daemon", why)

    def _check(self) -> None:
        """A request that waits long is a reason to see whether the daemon is well."""
        now = time.monotonic()
        oldest = min((since[0] for since in self._pending.values()), default=now)
        if now - max(oldest, self._looked) > CHECK_S:
            self._look()
