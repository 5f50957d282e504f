"""One blocking request, for scripts: no event loop, hence none of asyncio's import time."""

from autocoder.clients.replies import completion
from autocoder.daemon.connection import connected
from autocoder.daemon.endpoint import endpoint
from autocoder.daemon.identity import model_info, told
from autocoder.daemon.lifecycle import Wanted, ensure
from autocoder.daemon.protocol import Complete, Completion

PATIENCE_S = 60.0


def wanted(client: str, model: str | None = None) -> Wanted:
    """The daemon that a client talks to: of this version, and of the model it was told, if any.

    `model` is a folder; None: $AUTOCODER_MODEL, else whatever model the daemon serves.
    Raises ModelError for a folder that holds no model.
    """
    folder = told(model)
    if folder is None:
        return Wanted(client)
    return Wanted(client, sha256=model_info(folder).sha256, words=("--model", str(folder)))


def complete_once(
    request: Complete,
    *,
    client: str = "script",
    model: str | None = None,
    patience_s: float = PATIENCE_S,
) -> Completion:
    """Ask the daemon, starting it where needed.

    Raises ModelError, ProtocolError, DaemonError, ConfigError; Cancelled if another took its place.
    """
    place = endpoint()
    ensure(wanted(client, model), place=place)
    with connected(place.address) as connection:
        return completion(connection.ask(request, patience_s))
