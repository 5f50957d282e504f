"""One typist on one connection: presses keys in time, and times the answers.

A key pressed before the last one's answer has come supersedes it, as in an editor. Nothing waits
before asking, and every key asks: no suggestion is typed through, so this is the most that a
typist can want of a daemon.

Knows keystrokes and the protocol; knows no file and no figures.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from random import Random

import zmq
import zmq.asyncio

from autocoder.clients.bench.keystrokes import Keystroke, keystrokes
from autocoder.clients.bench.passage import Passage
from autocoder.clients.bench.samples import Sample
from autocoder.clients.cursor import LONGEST_PREFIX, LONGEST_SUFFIX
from autocoder.clients.replies import completion
from autocoder.daemon.connection import frame
from autocoder.daemon.errors import DaemonError
from autocoder.daemon.protocol import Cancelled, Complete, Message, decode

LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class Pace:
    """How fast the clock of the one who types runs.

    `speed` shortens only the time in which nothing is under way: a key still comes no earlier
    after its predecessor than a person would press it, unless the answer is there already. So the
    measured times stay those of human speed, while idle time passes quickly.
    """

    speed: float = 1.0

    def rest_s(self, pause_s: float, answered_after_s: float) -> float:
        """How long to wait once the answer came `answered_after_s` into the pause."""
        return max(0.0, pause_s - answered_after_s) / self.speed


class Typist:
    """Types passages through a DEALER of its own."""

    def __init__(
        self,
        context: "zmq.asyncio.Context",
        address: str,
        request: Complete,
        pace: Pace,
        pressed: Callable[[], bool] = lambda: True,
    ) -> None:
        """`pressed` is called after every key; False ends the typing."""
        self.samples: list[Sample] = []
        self.typed_s = 0.0  # at human speed
        self._request = request
        self._pace = pace
        self._pressed = pressed
        self._ids = count(1)
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._context = context
        self._address = address
        self._socket: zmq.asyncio.Socket

    async def type(self, passages: Sequence[Passage], chance: Random) -> None:
        """Type the passages one after the other. Raises ModelError, ProtocolError, DaemonError."""
        with self._context.socket(zmq.DEALER) as self._socket:
            self._socket.linger = 0
            self._socket.connect(self._address)
            reader = asyncio.create_task(self._read())
            try:
                for passage in passages:
                    if not await self._type_one(passage, chance):
                        break
            finally:
                reader.cancel()
                await asyncio.wait([reader])

    async def _type_one(self, passage: Passage, chance: Random) -> bool:
        """False when it is time to stop."""
        answers: list[asyncio.Task[Sample]] = []
        try:
            go_on = await self._press(passage, chance, answers)
            self.samples += await asyncio.gather(*answers)
            return go_on
        finally:
            for answer in answers:
                answer.cancel()
            await asyncio.gather(*answers, return_exceptions=True)

    async def _press(
        self, passage: Passage, chance: Random, answers: "list[asyncio.Task[Sample]]"
    ) -> bool:
        for key, pause_s in _with_pause_after(keystrokes(passage.before, passage.typed, chance)):
            answers.append(asyncio.create_task(self._answer(key.prefix, passage.after)))
            await self._rest(answers[-1], pause_s)
            if not self._pressed():
                return False
        return True

    async def _rest(self, answer: "asyncio.Task[Sample]", pause_s: float) -> None:
        """Until the next key is due, by `Pace`."""
        started = time.perf_counter()
        await asyncio.wait([answer], timeout=pause_s)
        if answer.done():
            answer.result()  # an error ends the typing at once
        self.typed_s += pause_s
        await asyncio.sleep(self._pace.rest_s(pause_s, time.perf_counter() - started))

    async def _answer(self, prefix: str, after: str) -> Sample:
        started = time.perf_counter()
        request = replace(
            self._request, prefix=prefix[-LONGEST_PREFIX:], suffix=after[:LONGEST_SUFFIX]
        )
        id = str(next(self._ids))
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[id] = reply
        await self._socket.send(frame(id, request))
        try:
            found = completion(await asyncio.wait_for(reply, LONGEST_WAIT_S))
        except Cancelled:
            return Sample(_ms_since(started), None)
        except TimeoutError:
            raise DaemonError(f"no answer within {LONGEST_WAIT_S:g} s") from None
        return Sample(_ms_since(started), found)

    async def _read(self) -> None:
        while True:
            reply = decode(await self._socket.recv())
            waiting = self._waiting.pop(str(reply.get("id")), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(reply)


def _with_pause_after(keys: Iterator[Keystroke]) -> Iterator[tuple[Keystroke, float]]:
    """Each key and the seconds until the next one; nothing behind the last."""
    pressed = next(keys, None)
    for following in keys:
        assert pressed is not None
        yield pressed, following.pause_s
        pressed = following
    if pressed is not None:
        yield pressed, 0.0


def _ms_since(started: float) -> float:
    return 1000 * (time.perf_counter() - started)
