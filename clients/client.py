"""The asynchronous client: a DEALER that starts, greets and replaces the daemon.

    async with Client("editor") as client:
        completion = await client.complete(Complete(prefix="for i in ran"))

Knows the protocol and the daemon's life; knows no editor. Scripts that need one answer and no
event loop use `autocoder.clients.once`.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from autocoder.daemon.protocol import Complete, Completion, Greeting


class Client:
    """One connection to the daemon. Every method is called from the event loop it is used in.

    `async with` connects at once; without it the first request does. A daemon that is missing is
    started, one of another version or model replaced. When the daemon dies, what is under way
    fails with DaemonError at once and the next request starts a new daemon.
    """

    def __init__(self, name: str, *, model: str | None = None) -> None:
        """`name` is told to the daemon; `model` is a folder, default $AUTOCODER_MODEL or any."""
        self.name = name
        self.model = model
        self.greeting: Greeting | None = None

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
        raise NotImplementedError

    async def close(self) -> None:
        """Give the connection up; what is under way fails with DaemonError."""
        raise NotImplementedError

    def new_id(self) -> str:
        """An id for `complete`, for those who want to `cancel` it or give `feedback` on it."""
        raise NotImplementedError

    async def complete(self, request: Complete, *, id: str | None = None) -> Completion:
        """Ask for suggestions. Cancelling the awaiting task cancels the request in the daemon.

        Raises Cancelled (superseded by a newer request for the same document, or cancelled),
        ModelError (the model cannot answer; the text has the remedy), ProtocolError (another
        error reply; see its `code`), DaemonError (the daemon died or cannot be started).
        """
        raise NotImplementedError

    async def cancel(self, id: str) -> bool:
        """Cancel a `complete` of this client; False if it is over already."""
        raise NotImplementedError

    async def feedback(
        self, target: str, event: str, *, characters: int = 0, candidate: int = 0
    ) -> None:
        """Tell what became of a suggestion: "shown", "accepted", "partly" or "dismissed"."""
        raise NotImplementedError

    async def status(self) -> Mapping[str, Any]:
        """The daemon's `status` reply, as docs/protocol.md lists it."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Ask the daemon to exit."""
        raise NotImplementedError
