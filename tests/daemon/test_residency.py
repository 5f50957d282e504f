"""The real daemon with the bundled model, left alone: idle, and in the end without its memory."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autocoder.daemon import lifecycle
from autocoder.daemon.connection import Connection, connected
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.lifecycle import Wanted, ensure
from autocoder.daemon.protocol import Complete, Hello, Status

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
PREFIX = "def squares(n):\n    result = []\n    for i in ran"


def started(place: Endpoint, *options: str) -> int:
    """The process of a daemon with these options."""
    command = [*lifecycle.run_command(Wanted("test")), *options]
    return ensure(Wanted("test"), place=place, command=command).pid


def suggestion(connection: Connection) -> str:
    text: str = connection.ask(Complete(PREFIX, "\n", language="python"), 60)["suggestions"][0][
        "text"
    ]
    return text


def status_when(connection: Connection, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + 60
    while True:
        reply = dict(connection.ask(Status(), 20))
        if holds(reply):
            return reply
        assert time.monotonic() < end, reply
        time.sleep(0.02)


def test_an_unused_model_gives_its_memory_back_and_returns_at_a_hello(place: Endpoint) -> None:
    started(place, "--unload-after", "0.08")  # about five seconds
    with connected(place.address) as connection:
        first = suggestion(connection)
        memory = [status_when(connection, lambda reply: reply["state"] == "ready")["memory_mb"]]
        while (reply := connection.ask(Status(), 20))["state"] == "ready":
            memory.append(reply["memory_mb"])
            time.sleep(0.05)
        print("memory, MB: at most", max(memory), "then", reply["memory_mb"])
        assert reply["state"] == "unloaded"
        assert reply["memory_mb"] < max(memory) - 60
        connection.ask(Hello("test", "0"), 20)
        status_when(connection, lambda reply: reply["state"] == "ready")
        assert suggestion(connection) == first


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ")[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_idle_means_idle(place: Endpoint) -> None:
    pid = started(place)
    with connected(place.address) as connection:
        suggestion(connection)
        time.sleep(1.5)  # what is loaded behind the first answer is loaded by then, mostly
        used = [1.0]
        while min(used) and len(used) < 10:
            before = cpu_s(pid)
            time.sleep(1.0)
            used.append(cpu_s(pid) - before)
        assert min(used) == 0.0, used


def test_the_cache_and_the_time_are_the_users_choice(place: Endpoint) -> None:
    for option, value in (("--cache-mb", "-1"), ("--unload-after", "much"), ("--repository", "?")):
        command = [sys.executable, "-m", "autocoder", "daemon", "run", option, value]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert answer.returncode == 2 and option.strip("-") in answer.stderr


def test_the_smallest_cache_serves_too(place: Endpoint) -> None:
    started(place, "--cache-mb", "0", "--repository", "off")
    with connected(place.address) as connection:
        assert suggestion(connection).startswith("ge(")
        assert json.dumps(connection.ask(Status(), 20)["memory_mb"])
