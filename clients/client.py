"""The asynchronous client: a DEALER that starts, greets and replaces the daemon.

    async with Client("editor") as client:
        completion = await client.complete(Complete(prefix="for i in ran"))

Knows the protocol and the daemon's life; knows no editor. Scripts that need one answer and no
event loop use `autocoder.clients.once`.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.asyncio

from autocoder.clients.once import wanted
from autocoder.clients.replies import checked, completion
from autocoder.daemon.connection import RECONNECT_MS, frame
from autocoder.daemon.endpoint import endpoint
from autocoder.daemon.errors import AutocoderError, DaemonError, ProtocolError
from autocoder.daemon.lifecycle import ensure
from autocoder.daemon.protocol import (
    Cancel,
    Complete,
    Completion,
    Feedback,
    Greeting,
    Message,
    Request,
    Status,
    Stop,
    decode,
)

CHECK_S = 5.0  # a request that waits so long makes the client look whether the daemon is well


class Client:
    """One connection to the daemon. Every method is called from the event loop it is used in.

    `async with` connects at once; without it the first request does. A daemon that is missing is
    started, one of another version or model replaced. When the daemon dies, what is under way
    fails with DaemonError at once and the next request starts a new daemon.
    """

    def __init__(self, name: str, *, model: str | None = None) -> None:
        """`name` is told to the daemon; `model` is a folder; see `once.wanted`."""
        self.name = name
        self.model = model
        self.greeting: Greeting | None = None
        self._ids = count(1)
        self._pending: dict[str, asyncio.Future[Message]] = {}
        self._socket: zmq.asyncio.Socket | None = None
        self._context: zmq.asyncio.Context | None = None
        self._connecting: asyncio.Task[Greeting] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> Greeting:
        """Start or greet the daemon. Raises DaemonError, ModelError, ConfigError."""
        if self._socket is not None and self.greeting is not None:
            return self.greeting
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(_retrieved)
        # Shielded: one impatient caller must not end the connecting that others wait for.
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Greeting:
        greeting = await asyncio.to_thread(self._ensure)
        self._context = zmq.asyncio.Context()
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.reconnect_ivl = RECONNECT_MS
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        socket.connect(endpoint().address)
        self.greeting, self._socket = greeting, socket
        self._spawn(self._read(socket))
        self._spawn(self._watch(monitor))
        return greeting

    def _ensure(self) -> Greeting:
        return ensure(wanted(self.name, self.model))

    async def close(self) -> None:
        """Give the connection up; what is under way fails with DaemonError."""
        self._drop(DaemonError("the connection was closed"))
        tasks = [*self._tasks]
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await asyncio.gather(*tasks, return_exceptions=True)

    def new_id(self) -> str:
        """An id for `complete`, for those who want to `cancel` it or give `feedback` on it."""
        return str(next(self._ids))

    async def complete(self, request: Complete, *, id: str | None = None) -> Completion:
        """Ask for suggestions. Cancelling the awaiting task cancels the request in the daemon.

        Raises Cancelled (superseded by a newer request for the same document, or cancelled),
        ModelError (the model cannot answer; the text has the remedy), ProtocolError (another
        error reply; see its `code`), DaemonError (the daemon died or cannot be started).
        """
        id = id or self.new_id()
        try:
            return completion(await self._ask(request, id))
        except asyncio.CancelledError:
            self._post(Cancel(id))
            raise

    async def cancel(self, id: str) -> bool:
        """Cancel a `complete` of this client; False if it is over already."""
        if id not in self._pending:
            return False
        return bool(checked(await self._ask(Cancel(id))).get("cancelled"))

    async def feedback(
        self, target: str, event: str, *, characters: int = 0, candidate: int = 0
    ) -> None:
        """Tell what became of a suggestion: "shown", "accepted", "partly" or "dismissed"."""
        checked(await self._ask(Feedback(target, event, characters, candidate)))

    async def status(self) -> Mapping[str, Any]:
        """The daemon's `status` reply, as docs/protocol.md lists it."""
        return checked(await self._ask(Status()))

    async def stop(self) -> None:
        """Ask the daemon to exit."""
        checked(await self._ask(Stop()))

    # One request

    async def _ask(self, request: Request, id: str | None = None) -> Message:
        await self.connect()
        id = id or self.new_id()
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        data = frame(id, request)
        self._pending[id] = reply
        try:
            self._put(data)
            return await self._patiently(reply)
        finally:
            self._pending.pop(id, None)

    async def _patiently(self, reply: "asyncio.Future[Message]") -> Message:
        while True:
            with suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(reply), CHECK_S)
            await self._check()

    async def _check(self) -> None:
        """Is the daemon well? A hung one is replaced; what it was asked is lost."""
        before = self.greeting
        try:
            greeting = await asyncio.to_thread(self._ensure)
        except AutocoderError as error:
            self._drop(DaemonError(str(error)))
            return
        if before and greeting.pid != before.pid:
            self._drop(DaemonError("the daemon did not answer and was replaced"))

    def _put(self, data: bytes) -> None:
        """Send without waiting: zmq.asyncio tries at once, and a DEALER queues a thousand."""
        if self._socket is None:
            raise DaemonError("the connection to the daemon was lost")
        self._socket.send(data)

    def _post(self, request: Request) -> None:
        """Send what nobody waits for, if there is still somebody to send it to."""
        with suppress(DaemonError):
            self._put(frame(self.new_id(), request))

    # The connection's tasks

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            try:
                reply = decode(await socket.recv())
            except ProtocolError:
                continue  # nothing in it says whose reply it was
            waiting = self._pending.get(str(reply.get("id")))
            if waiting and not waiting.done():
                waiting.set_result(reply)

    async def _watch(self, monitor: zmq.asyncio.Socket) -> None:
        await monitor.recv_multipart()
        self._drop(DaemonError("the daemon ended; the next request starts another one"))

    def _drop(self, error: DaemonError) -> None:
        """The connection is over: fail what waits, and let the next request connect anew."""
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(error)
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        if self._context is not None:
            self._context.destroy(linger=0)
        self._socket = self._context = self.greeting = None


def _retrieved(task: asyncio.Task[Greeting]) -> None:
    # Whoever awaited it has the exception; where nobody does any more, nobody need be told.
    if not task.cancelled():
        task.exception()
