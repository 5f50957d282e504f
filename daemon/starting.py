"""`autocoder daemon start`: serve as the user says from now on, or leave everything as it was.

What it is told is kept beside the socket (`choice.py`), for every client that names nothing itself.
Knows the daemon's life and a choice; prints nothing.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autocoder.daemon import lifecycle
from autocoder.daemon.choice import Choice, record, recorded, words
from autocoder.daemon.connection import connected
from autocoder.daemon.endpoint import Endpoint, prepared
from autocoder.daemon.errors import AutocoderError, ModelError
from autocoder.daemon.identity import model_info
from autocoder.daemon.lifecycle import Wanted, ensure
from autocoder.daemon.protocol import Greeting, Status

STATUS_S = 5.0
LOADING_S = 30.0


@dataclass(frozen=True)
class Started:
    """The daemon that serves now; `replaced` is the process that did so before, if another.

    `reason`: why CUDA does not serve ("" where it does).
    """

    greeting: Greeting
    replaced: int | None
    reason: str


def start(asked: Choice, place: Endpoint) -> Started:
    """Have a daemon that serves as `asked` and, for the rest, as chosen before.

    One that runs is kept where the choice stays the same, else replaced. Raises ModelError where
    the model cannot be served so, DaemonError where no daemon starts: then none runs, and the
    earlier choice holds.
    """
    before = recorded(prepared(place))
    chosen = {**before, **asked}
    wanted = _wanted(chosen)
    old = lifecycle.running(place)
    record(place, chosen)
    try:
        if old is not None and chosen != before:
            lifecycle.stop(place)
        greeting, reason = _served(wanted, place)
    except AutocoderError:
        lifecycle.stop(place)
        record(place, before)
        raise
    return Started(greeting, None if old == greeting.pid else old, reason)


def _wanted(chosen: Choice) -> Wanted:
    info = model_info(Path(chosen["model"]) if "model" in chosen else None)
    options = {**chosen, "model": info.folder}
    return Wanted("daemon start", sha256=info.sha256, words=words(options))


def _served(wanted: Wanted, place: Endpoint) -> tuple[Greeting, str]:
    greeting = ensure(wanted, place=place)
    reply = once_loaded(place)
    if reply["state"] == "failed":
        raise ModelError(str(reply["problem"]))
    return greeting, str(reply["reason"])


def once_loaded(place: Endpoint) -> dict[str, Any]:
    """The status of the daemon as soon as its model is loaded, failed, or takes LOADING_S."""
    end = time.monotonic() + LOADING_S
    while True:
        reply = ask_status(place, LOADING_S)  # it may be busy with loading
        if reply["state"] != "loading" or time.monotonic() > end:
            return reply
        time.sleep(0.02)


def ask_status(place: Endpoint, patience_s: float = STATUS_S) -> dict[str, Any]:
    """How the daemon is. Raises DaemonError where it does not answer."""
    with connected(place.address) as connection:
        return connection.ask(Status(), patience_s)
