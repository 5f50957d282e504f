"""`autocoder daemon run|start|stop|status|logs`: the resident daemon from the command line."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from autocoder.daemon import lock
from autocoder.daemon.endpoint import Endpoint, endpoint, prepared
from autocoder.daemon.errors import ConfigError, ModelError
from autocoder.daemon.identity import model_info, told
from autocoder.daemon.protocol import Completer, ModelInfo

PROVIDERS = ("auto", "cpu", "cuda")
STATUS_S = 5.0
LOADING_S = 30.0
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
        ("start", start, "serve in the background, unless a daemon does so already"),
    ):
        command = names.add_parser(name, help=text)
        command.set_defaults(action=action)
        _add_serving_options(command)
    names.add_parser("stop", help="end the daemon").set_defaults(action=stop)
    status_command = names.add_parser("status", help="say how the daemon is")
    status_command.add_argument("--json", action="store_true", help="print the reply as JSON")
    status_command.set_defaults(action=status)
    logs_command = names.add_parser("logs", help="print the daemon's log")
    logs_command.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    logs_command.set_defaults(action=logs)
    return parser


def _add_serving_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", metavar="DIR", help="model folder (default: $AUTOCODER_MODEL, else the bundled)"
    )
    command.add_argument(
        "--provider",
        choices=PROVIDERS,
        default=os.environ.get("AUTOCODER_PROVIDER", "auto"),
        help="where the model runs (default: $AUTOCODER_PROVIDER, else CUDA if there, else CPU)",
    )
    command.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="CPU threads (default: $AUTOCODER_THREADS, else the physical cores)",
    )
    command.add_argument(
        "--cache-mb",
        type=float,
        metavar="MB",
        default=os.environ.get("AUTOCODER_CACHE_MB", 64),
        help="memory for what was computed of open files (default: $AUTOCODER_CACHE_MB, else 64)",
    )
    command.add_argument(
        "--repository",
        choices=("on", "off"),
        default=os.environ.get("AUTOCODER_REPOSITORY", "on"),
        help="read the source files around an open one, to be faster where they resemble each "
        "other (default: $AUTOCODER_REPOSITORY, else on)",
    )
    command.add_argument(
        "--unload-after",
        type=float,
        metavar="MINUTES",
        default=os.environ.get("AUTOCODER_UNLOAD_AFTER", 30),
        help="drop the model when unused for so long; 0: never "
        "(default: $AUTOCODER_UNLOAD_AFTER, else 30)",
    )


# run


def run(options: argparse.Namespace) -> int:
    """Serve until a signal or `stop`. Raises ModelError, ConfigError."""
    if options.threads is not None and options.threads < 1:
        raise ConfigError(f"--threads {options.threads}: at least 1 is needed")
    if not 0 <= options.cache_mb < 2**20 or not 0 <= options.unload_after < 2**20:
        raise ConfigError("--cache-mb and --unload-after are numbers from 0 up")
    folder = told(options.model)

    def load() -> Completer:
        from autocoder.daemon.completer import load_completer

        return load_completer(
            folder,
            options.provider,
            options.threads,
            cache_bytes=int(options.cache_mb * 2**20),
            hurry=True,
            repository=options.repository == "on",
        )

    minutes = options.unload_after
    return serve(load, lambda: model_info(folder), unload_after_s=60 * minutes if minutes else None)


def serve(
    completer_factory: Callable[[], Completer],
    info: Callable[[], ModelInfo],
    *,
    place: Endpoint | None = None,
    **server_options: Any,
) -> int:
    """Be the one daemon of this user: lock, socket, signals, loop. Returns the exit status.

    `info` is called once the lock is held; `completer_factory` in the model's thread.
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
            left = _serve_alone(place, completer_factory, info(), server_options)
        finally:
            for path in (place.socket, place.pid):
                path.unlink(missing_ok=True)
            sys.stderr.flush()
        if not left:
            os._exit(0)  # the model's thread is deep in native code; nothing is left to save
    return 0


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
    """Start a daemon unless one of this version and model runs."""
    from autocoder.daemon.lifecycle import Wanted, ensure

    folder = told(options.model)
    words = ["--provider", options.provider]
    words += ["--threads", str(options.threads)] if options.threads else []
    words += ["--model", str(folder)] if folder else []
    words += ["--cache-mb", str(options.cache_mb), "--unload-after", str(options.unload_after)]
    words += ["--repository", options.repository]
    sha256 = model_info(folder).sha256 if folder else None
    greeting = ensure(Wanted("daemon start", sha256=sha256, words=tuple(words)))
    reply = _once_loaded()
    if reply["state"] == "failed":
        raise ModelError(f"process {greeting.pid} runs, but cannot serve: {reply['problem']}")
    print(f"process {greeting.pid} serves {greeting.model.name}")
    return 0


def _once_loaded() -> dict[str, Any]:
    """The status of the daemon as soon as its model is loaded, failed, or takes LOADING_S."""
    end = time.monotonic() + LOADING_S
    while True:
        reply = _ask_status()
        if reply["state"] != "loading" or time.monotonic() > end:
            return reply
        time.sleep(0.02)


def _ask_status() -> dict[str, Any]:
    from autocoder.daemon.connection import connected
    from autocoder.daemon.protocol import Status

    with connected(endpoint().address) as connection:
        return dict(connection.ask(Status(), STATUS_S))


def stop(options: argparse.Namespace) -> int:
    """End the daemon."""
    from autocoder.daemon import lifecycle

    if not lifecycle.stop(endpoint()):
        return _none_runs()
    print("stopped")
    return 0


def _none_runs() -> int:
    print("no daemon is running", file=sys.stderr)
    return 1


def status(options: argparse.Namespace) -> int:
    """Say how the daemon is."""
    from autocoder.daemon import lifecycle

    if lifecycle.running(endpoint()) is None:
        return _none_runs()
    reply = _ask_status()
    print(json.dumps(reply, indent=2) if options.json else "\n".join(status_lines(reply)))
    return 1 if reply["state"] == "failed" else 0


def status_lines(reply: dict[str, Any]) -> list[str]:
    """A status reply for people."""
    model, latency = reply["model"], reply["latency_ms"]
    rows = {
        "process": f"{reply['pid']}, autocoder {reply['version']}, up {reply['uptime_s']:.0f} s",
        "model": f"{model['name']} ({model['sha256'][:12]}) in {model['folder']}",
        "state": reply["state"] + (f": {reply['problem']}" if reply["problem"] else ""),
        "provider": f"{reply['provider']}, {reply['threads']} threads"
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
