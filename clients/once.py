"""One blocking request, for scripts: no event loop, hence none of asyncio's import time."""

import time

from autocoder.clients.replies import completion
from autocoder.daemon.choice import recorded, words
from autocoder.daemon.connection import Connection, connected
from autocoder.daemon.endpoint import Endpoint, endpoint
from autocoder.daemon.errors import DaemonError
from autocoder.daemon.identity import meant
from autocoder.daemon.lifecycle import Wanted, ensure, running
from autocoder.daemon.protocol import Cancelled, Complete, Completion, Message, Request

PATIENCE_S = 60.0
LOOK_S = 0.25


def wanted(client: str, model: str | None = None, *, place: Endpoint | None = None) -> Wanted:
    """The daemon that a client talks to: of this version, and of the one model that it means.

    `model` is a folder; None: $AUTOCODER_MODEL, else what `daemon start` chose, else the bundled
    one. A daemon that has to be started gets what else `daemon start` was told at `place`.
    Raises ModelError for a folder that holds no model.
    """
    place = place or endpoint()
    folder, info = meant(model, place)
    options = {**recorded(place), "model": str(folder)}
    return Wanted(client, sha256=info.sha256, words=words(options))


def complete_once(
    request: Complete,
    *,
    client: str = "script",
    model: str | None = None,
    patience_s: float = PATIENCE_S,
) -> Completion:
    """Ask the daemon, starting it where needed.

    Raises ModelError, ProtocolError, DaemonError, ConfigError.
    """
    place = endpoint()
    greeting = ensure(wanted(client, model, place=place), place=place)
    with connected(place.address) as connection:
        reply = ask_living(connection, request, place, greeting.pid, patience_s)
    try:
        return completion(reply)
    except Cancelled as error:
        raise DaemonError("the daemon was stopped meanwhile; try again") from error


def ask_living(
    connection: Connection, request: Request, place: Endpoint, pid: int, patience_s: float
) -> Message:
    """The reply, as long as the daemon lives to give one. Raises DaemonError."""
    id = connection.send(request)
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if reply := connection.asked(id, LOOK_S):
            return reply
        if running(place) != pid:
            raise DaemonError(f"the daemon died meanwhile; try again. Its log: {place.log}")
    raise DaemonError(f"no answer within {patience_s:g} s; see `autocoder daemon status`")
