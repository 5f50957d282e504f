"""`autocoder daemon run|start|stop|status|logs`: the resident daemon from the command line."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from autocoder.daemon import lock
from autocoder.daemon.choice import Choice, forget, record, recorded, words
from autocoder.daemon.endpoint import Endpoint, endpoint, prepared
from autocoder.daemon.identity import model_info
from autocoder.daemon.protocol import Completer, ModelInfo
from autocoder.daemon.settings import add_options, named, settings

FOLLOW_S = 0.2


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder daemon …`; 0: done, 1: none is running, 3: another one runs already."""
    options = _parser().parse_args(arguments)
    action: Callable[[argparse.Namespace], int] = options.action
    return action(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autocoder daemon", description="The daemon that keeps the model in memory."
    )
    names = parser.add_subparsers(required=True, metavar="run|start|stop|status|logs")
    for name, action, text in (
        ("run", run, "serve in the foreground"),
        ("start", start, "serve so in the background, for all clients, until stop"),
    ):
        command = names.add_parser(name, help=text)
        command.set_defaults(action=action)
        add_options(command)
        if name == "run":  # by a client, not by hand: no choice of the user's
            command.add_argument("--called", action="store_true", help=argparse.SUPPRESS)
    names.add_parser("stop", help="end the daemon").set_defaults(action=stop)
    status_command = names.add_parser("status", help="say how the daemon is")
    status_command.add_argument("--json", action="store_true", help="print the reply as JSON")
    status_command.set_defaults(action=status)
    logs_command = names.add_parser("logs", help="print the daemon's log")
    logs_command.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    logs_command.set_defaults(action=logs)
    return parser


# run


def run(options: argparse.Namespace) -> int:
    """Serve until a signal or `stop`. Raises ModelError, ConfigError."""
    how = settings(options)

    def load() -> Completer:
        from autocoder.daemon.loading import load_completer

        return load_completer(
            how.folder,
            how.provider,
            how.threads,
            cache_bytes=int(how.cache_mb * 2**20),
            hurry=True,
            repository=how.repository == "on",
        )

    return serve(
        load,
        lambda: model_info(how.folder),
        choice=None if options.called else named(options),
        unload_after_s=60 * how.unload_after or None,
    )


def serve(
    completer_factory: Callable[[], Completer],
    info: Callable[[], ModelInfo],
    *,
    place: Endpoint | None = None,
    choice: Choice | None = None,
    **server_options: Any,
) -> int:
    """Be the one daemon of this user: lock, socket, signals, loop. Returns the exit status.

    `info` is called once the lock is held; `completer_factory` in the model's thread. `choice` is
    the user's for all clients as long as this daemon runs; None where a client called for it.
    """
    from autocoder.daemon.lifecycle import ALREADY_RUNNING

    os.umask(0o077)
    place = prepared(place or endpoint())
    held = lock.acquire(place.lock)
    if held is None:
        print(f"autocoder daemon: another one runs in {place.folder}", file=sys.stderr)
        return ALREADY_RUNNING
    with held:
        place.pid.write_text(f"{os.getpid()}\n")
        try:
            server_options["look"] = lambda: _leave_if_replaced(place, held)
            with _chosen(place, choice):
                left = _serve_alone(place, completer_factory, info(), server_options)
        finally:
            for path in (place.socket, place.pid):
                path.unlink(missing_ok=True)
            sys.stderr.flush()
        if not left:
            os._exit(0)  # the model's thread is deep in native code; nothing is left to save
    return 0


@contextmanager
def _chosen(place: Endpoint, choice: Choice | None) -> Iterator[None]:
    """Who runs a daemon by hand means it, as long as it runs, and unless another is chosen."""
    if choice is None:
        yield
        return
    record(place, choice)
    try:
        yield
    finally:
        if recorded(place) == choice:
            forget(place)


def _leave_if_replaced(place: Endpoint, held: IO[bytes]) -> None:
    """End at once where the lock's file is gone, say by a cleaner of /tmp: nobody can find us.

    Nothing is tidied up, since what is there by now may be another daemon's.
    """
    with suppress(OSError):
        if os.path.samestat(os.fstat(held.fileno()), place.lock.stat()):
            return
    print(f"{place.lock} was removed; process {os.getpid()} ends", file=sys.stderr, flush=True)
    os._exit(0)


def _serve_alone(
    place: Endpoint,
    completer_factory: Callable[[], Completer],
    info: ModelInfo,
    server_options: dict[str, Any],
) -> bool:
    import logging

    from autocoder.daemon.log import configure
    from autocoder.daemon.server import Server

    configure(place)
    place.socket.unlink(missing_ok=True)
    server = Server(place.address, info, completer_factory, **server_options)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: server.stop())
    log = logging.getLogger(__name__)
    log.info("process %d serves %s at %s", os.getpid(), info.name, place.socket)
    left = server.run()
    log.info("process %d ends", os.getpid())
    return left


# start, stop, status, logs


def start(options: argparse.Namespace) -> int:
    """Serve as told from now on; keep a daemon that does so already."""
    from autocoder.daemon import starting

    started = starting.start(named(options), endpoint())
    pid, name = started.greeting.pid, started.greeting.model.name
    replaced = f", in place of process {started.replaced}" if started.replaced else ""
    print(f"process {pid} serves {name}{replaced}")
    if named(options).get("provider") == "cuda" and started.reason:
        print(f"autocoder daemon: on the CPU: {started.reason}", file=sys.stderr)
    return 0


def stop(options: argparse.Namespace) -> int:
    """End the daemon, and with it what `daemon start` chose."""
    from autocoder.daemon import lifecycle

    place = endpoint()
    forget(place)
    if not lifecycle.stop(place):
        return _none_runs()
    print("stopped")
    return 0


def _none_runs() -> int:
    print("no daemon is running", file=sys.stderr)
    return 1


def status(options: argparse.Namespace) -> int:
    """Say how the daemon is."""
    from autocoder.daemon import lifecycle
    from autocoder.daemon.starting import ask_status

    place = endpoint()
    if lifecycle.running(place) is None:
        return _none_runs()
    reply = ask_status(place)
    print(json.dumps(reply, indent=2) if options.json else "\n".join(status_lines(reply)))
    if (choice := recorded(place)) and not options.json:
        print(f"chosen    {' '.join(words(choice))} (until `autocoder daemon stop`)")
    return 1 if reply["state"] == "failed" else 0


def status_lines(reply: dict[str, Any]) -> list[str]:
    """A status reply for people."""
    model, latency = reply["model"], reply["latency_ms"]
    rows = {
        "process": f"{reply['pid']}, autocoder {reply['version']}, up {reply['uptime_s']:.0f} s",
        "model": f"{model['name']} ({model['sha256'][:12]}) in {model['folder']}",
        "state": reply["state"] + (f": {reply['problem']}" if reply["problem"] else ""),
        "provider": f"{reply['provider']}, {reply['threads']} threads"
        + (f" ({reply['reason']})" if reply["reason"] else "")
        if reply["provider"]
        else "none yet",
        "requests": ", ".join(f"{n} {name}" for name, n in reply["requests"].items()),
        "latency": f"p50 {latency['p50']} ms, p95 {latency['p95']} ms of {latency['count']}"
        if latency["count"]
        else "nothing completed yet",
        "memory": f"{reply['memory_mb']:.0f} MB",
        "clients": f"{reply['clients']} in the last minute",
        "feedback": ", ".join(f"{n} {name}" for name, n in reply["feedback"].items()),
    }
    return [f"{name:<9} {text}" for name, text in rows.items()]


def logs(options: argparse.Namespace) -> int:
    """Print the log; with --follow, what is added too."""
    place = endpoint()
    if not place.log.exists():
        print(f"no log at {place.log}", file=sys.stderr)
        return 1
    if place.older_log.exists():
        sys.stdout.write(place.older_log.read_text("utf-8", "replace"))
    _print_log(place.log, options.follow)
    return 0


def _print_log(path: Path, follow: bool) -> None:
    file = path.open(encoding="utf-8", errors="replace")
    while True:
        sys.stdout.write(file.read())
        sys.stdout.flush()
        if not follow:
            return file.close()
        time.sleep(FOLLOW_S)
        with suppress(FileNotFoundError):  # between two logs, when it is rotated
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                sys.stdout.write(file.read())
                file.close()
                file = path.open(encoding="utf-8", errors="replace")
