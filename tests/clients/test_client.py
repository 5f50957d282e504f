"""The asynchronous client and its blocking twin against real daemon processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autocoder.clients import client as client_module
from autocoder.clients.client import Client
from autocoder.clients.once import complete_once
from autocoder.daemon import lifecycle, lock
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.errors import AutocoderError, DaemonError, ModelError, ProtocolError
from autocoder.daemon.protocol import Cancelled, Complete

if TYPE_CHECKING:
    from conftest import FakeDaemon

RANGE = Complete("for i in ran")


def run(work: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        await asyncio.wait_for(work, 30)

    asyncio.run(in_time(), debug=False)


def text(completion: Any) -> str:
    found: str = completion.suggestions[0].text
    return found


def test_the_first_client_starts_the_daemon_and_gets_suggestions(
    fake_daemon: "FakeDaemon", place: Endpoint
) -> None:
    async def work() -> None:
        async with Client("test") as client:
            assert client.greeting is not None
            assert client.greeting.pid == lock.holder(place.lock)
            assert text(await client.complete(RANGE)) == "ge(10):"
            assert (await client.complete(Complete("nothing known"))).suggestions == ()

    run(work())


def test_without_a_context_the_first_request_connects(fake_daemon: "FakeDaemon") -> None:
    async def work() -> None:
        client = Client("test")
        assert client.greeting is None
        assert text(await client.complete(RANGE)) == "ge(10):"
        await client.close()

    run(work())


def test_several_requests_are_under_way_at_once(fake_daemon: "FakeDaemon") -> None:
    fake_daemon.start("--slow", "0.1")

    async def work() -> None:
        async with Client("test") as client:
            prefixes = {"a": "for i in ran", "b": "import numpy as ", "c": "é = "}
            asked = [Complete(prefix, document=name) for name, prefix in prefixes.items()]
            found = await asyncio.gather(*(client.complete(request) for request in asked))
            assert [text(completion) for completion in found] == ["ge(10):", "np", "'ü'"]

    run(work())


def test_a_newer_request_cancels_the_older_one(fake_daemon: "FakeDaemon") -> None:
    fake_daemon.start("--slow", "1")

    async def work() -> None:
        async with Client("test") as client:
            older = asyncio.create_task(client.complete(RANGE))
            await asyncio.sleep(0.1)
            newer = asyncio.create_task(client.complete(RANGE))
            with pytest.raises(Cancelled):
                await older
            assert text(await newer) == "ge(10):"

    run(work())


def test_cancelling_the_awaiting_task_cancels_in_the_daemon(fake_daemon: "FakeDaemon") -> None:
    fake_daemon.start("--slow", "10")

    async def work() -> None:
        async with Client("test") as client:
            task = asyncio.create_task(client.complete(RANGE))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while (await client.status())["requests"]["cancelled"] != 1:
                await asyncio.sleep(0.01)

    run(work())


def test_cancel_by_id(fake_daemon: "FakeDaemon") -> None:
    fake_daemon.start("--slow", "10")

    async def work() -> None:
        async with Client("test") as client:
            id = client.new_id()
            task = asyncio.create_task(client.complete(RANGE, id=id))
            await asyncio.sleep(0.1)
            assert await client.cancel(id) is True
            with pytest.raises(Cancelled):
                await task
            assert await client.cancel(id) is False

    run(work())


def test_feedback_is_counted(fake_daemon: "FakeDaemon") -> None:
    async def work() -> None:
        async with Client("test") as client:
            id = client.new_id()
            await client.complete(RANGE, id=id)
            await client.feedback(id, "partly", characters=2)
            assert (await client.status())["feedback"]["partly"] == 1

    run(work())


def test_an_error_reply_becomes_the_exception_it_stands_for(fake_daemon: "FakeDaemon") -> None:
    async def work() -> None:
        async with Client("test") as client:
            with pytest.raises(ProtocolError, match="max_tokens") as caught:
                await client.complete(Complete("x", max_tokens=0))
            assert caught.value.code == "bad_request"
            with pytest.raises(ProtocolError) as caught:
                await client.complete(Complete("x" * 5_000_000))
            assert caught.value.code == "too_large"
            with pytest.raises(ProtocolError) as caught:
                await client.complete(Complete("crash"))
            assert caught.value.code == "internal"
            assert text(await client.complete(RANGE)) == "ge(10):"

    run(work())


def test_a_model_that_cannot_be_loaded_is_a_model_error(fake_daemon: "FakeDaemon") -> None:
    fake_daemon.start("--broken", "weights.bin is damaged; export the model again")

    async def work() -> None:
        async with Client("test") as client:
            with pytest.raises(ModelError, match="export the model again"):
                await client.complete(RANGE)

    run(work())


def test_a_dying_daemon_fails_what_is_under_way_at_once_and_the_next_request_restarts_it(
    fake_daemon: "FakeDaemon",
) -> None:
    first = fake_daemon.start("--slow", "20")

    async def work() -> None:
        async with Client("test") as client:
            task = asyncio.create_task(client.complete(RANGE))
            await asyncio.sleep(0.1)
            first.kill()
            started = time.monotonic()
            with pytest.raises(DaemonError, match="ended"):
                await task
            assert time.monotonic() - started < 1.0
            assert text(await client.complete(RANGE)) == "ge(10):"
            assert client.greeting is not None and client.greeting.pid != first.pid

    run(work())


def test_a_daemon_that_was_stopped_is_started_again(fake_daemon: "FakeDaemon") -> None:
    async def work() -> None:
        async with Client("test") as client:
            await client.stop()
            while client.greeting is not None:
                await asyncio.sleep(0.01)
            assert text(await client.complete(RANGE)) == "ge(10):"

    run(work())


def test_a_hung_daemon_is_replaced_while_a_request_waits(
    fake_daemon: "FakeDaemon", place: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CHECK_S", 0.2)
    monkeypatch.setattr(lifecycle, "HELLO_S", 0.3)

    async def work() -> None:
        async with Client("test") as client:
            assert client.greeting is not None
            hung = client.greeting.pid
            os.kill(hung, signal.SIGSTOP)
            os.utime(place.pid, (0, 0))  # it has not just begun
            with pytest.raises(DaemonError, match=r"replaced|ended"):
                await client.complete(RANGE)
            assert text(await client.complete(RANGE)) == "ge(10):"
            assert client.greeting is not None and client.greeting.pid != hung

    run(work())


def test_a_daemon_busy_with_a_long_request_is_not_replaced(
    fake_daemon: "FakeDaemon", monkeypatch: pytest.MonkeyPatch
) -> None:
    process = fake_daemon.start("--slow", "1")
    monkeypatch.setattr(client_module, "CHECK_S", 0.2)

    async def work() -> None:
        async with Client("test") as client:
            assert text(await client.complete(RANGE)) == "ge(10):"
            assert client.greeting is not None and client.greeting.pid == process.pid

    run(work())


def test_a_daemon_of_another_version_is_replaced(fake_daemon: "FakeDaemon") -> None:
    old = fake_daemon.start("--version", "0.0.1")

    async def work() -> None:
        async with Client("test") as client:
            assert client.greeting is not None and client.greeting.pid != old.pid
            assert text(await client.complete(RANGE)) == "ge(10):"

    run(work())


def test_a_daemon_of_another_model_is_replaced_by_who_names_none(
    fake_daemon: "FakeDaemon",
) -> None:
    other = fake_daemon.start("--sha256", "a" * 64)
    assert text(complete_once(RANGE)) == "ge(10):"
    assert other.wait(10) == 0

    async def work() -> None:
        another = fake_daemon.start("--sha256", "a" * 64)
        async with Client("test") as client:
            assert client.greeting is not None and client.greeting.pid != another.pid

    lifecycle.stop(fake_daemon.place)
    run(work())


def test_closing_fails_what_is_under_way(fake_daemon: "FakeDaemon") -> None:
    fake_daemon.start("--slow", "10")

    async def work() -> None:
        client = Client("test")
        task = asyncio.create_task(client.complete(RANGE))
        await asyncio.sleep(0.3)
        await client.close()
        with pytest.raises(DaemonError, match="closed"):
            await task

    run(work())


def test_a_daemon_that_cannot_be_started_fails_each_request_with_the_reason(
    place: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [sys.executable, "-c", "raise SystemExit('no runtime; install one')"]
    monkeypatch.setattr(lifecycle, "run_command", lambda wanted: failing)

    async def work() -> None:
        client = Client("test")
        for _ in range(2):
            with pytest.raises(DaemonError, match="no runtime; install one"):
                await client.complete(RANGE)
        await client.close()

    run(work())


def test_a_model_that_is_none_is_refused_before_a_daemon_is_started(
    place: Endpoint, tmp_path: Path
) -> None:
    async def work() -> None:
        client = Client("test", model=str(tmp_path / "nothing"))
        with pytest.raises(AutocoderError, match="nothing"):
            await client.connect()
        await client.close()

    run(work())
    assert lock.holder(place.lock) is None


def test_two_clients_of_one_process(fake_daemon: "FakeDaemon") -> None:
    async def work() -> None:
        async with Client("a") as a, Client("b") as b:
            found = await asyncio.gather(a.complete(RANGE), b.complete(RANGE))
            assert [text(completion) for completion in found] == ["ge(10):"] * 2
            assert (await a.status())["clients"] >= 2

    run(work())


def test_the_blocking_twin_starts_a_daemon_and_answers(fake_daemon: "FakeDaemon") -> None:
    assert text(complete_once(RANGE)) == "ge(10):"
    assert text(complete_once(Complete("import numpy as "))) == "np"


def test_the_blocking_twin_does_not_wait_for_a_dead_daemon(fake_daemon: "FakeDaemon") -> None:
    process = fake_daemon.start("--slow", "30")
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {process.pid}"])
    started = time.monotonic()
    with pytest.raises(DaemonError, match="died"):
        complete_once(RANGE)
    assert time.monotonic() - started < 5
    killer.wait()


def test_the_blocking_twin_does_without_asyncio() -> None:
    code = "import sys, autocoder.clients.complete; print('asyncio' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
