"""A blocking DEALER: one message out, its reply back. Knows sockets; starts no daemon."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import zmq

from autocoder.daemon.errors import DaemonError, ProtocolError
from autocoder.daemon.protocol import MAX_BYTES, Request, decode, encode, request_message

RECONNECT_MS = 5


def dealer(context: "zmq.Context[zmq.Socket[bytes]]", address: str) -> "zmq.Socket[bytes]":
    """A connected DEALER; it may be connected before the daemon listens."""
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.reconnect_ivl = RECONNECT_MS
    socket.connect(address)
    return socket


def frame(id: str, request: Request) -> bytes:
    """A request as one frame. Raises ProtocolError `too_large` before the daemon has to."""
    data = encode(request_message(id, request))
    if len(data) > MAX_BYTES:
        raise ProtocolError("too_large", f"{len(data)} bytes; a message has at most {MAX_BYTES}")
    return data


class Connection:
    """Asks one request at a time, from one thread."""

    def __init__(self, socket: "zmq.Socket[bytes]") -> None:
        self._socket = socket
        self._ids = count(1)

    def ask(self, request: Request, patience_s: float) -> dict[str, Any]:
        """The reply, whatever its type. Raises DaemonError when none comes in time."""
        reply = self.asked(self.send(request), patience_s)
        if reply is None:
            raise DaemonError(f"the daemon did not answer within {patience_s:g} s")
        return reply

    def send(self, request: Request) -> str:
        """Send a request; returns its id."""
        id = str(next(self._ids))
        self._socket.send(frame(id, request))
        return id

    def asked(self, id: str, patience_s: float) -> dict[str, Any] | None:
        """The reply to an earlier `send`, or None when it has not come in time."""
        end = time.monotonic() + patience_s
        while self._socket.poll(max(0, round((end - time.monotonic()) * 1000))):
            reply = decode(self._socket.recv())
            if reply.get("id") == id:
                return reply
        return None


@contextmanager
def connected(address: str) -> Iterator[Connection]:
    """A connection for a few questions."""
    with zmq.Context() as context, dealer(context, address) as socket:
        yield Connection(socket)
