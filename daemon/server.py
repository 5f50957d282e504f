"""The ROUTER loop: takes requests, hands completions to the worker, answers each exactly once.

Knows no model: what a completer is, `autocoder.daemon.protocol.Completer` says. Runs until `stop`,
which a signal handler, another thread or a `stop` request may call.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import zmq

from autocoder import __version__
from autocoder.daemon.errors import AutocoderError, ProtocolError
from autocoder.daemon.memory import trim
from autocoder.daemon.protocol import (
    Cancel,
    Cancelled,
    Complete,
    Completer,
    Completion,
    Feedback,
    Greeting,
    Hello,
    Message,
    ModelInfo,
    Request,
    Status,
    Stop,
    completion_fields,
    decode,
    encode,
    error_message,
    greeting_fields,
    message_id,
    reply_message,
    request_from,
)
from autocoder.daemon.scheduler import Job, Scheduler
from autocoder.daemon.statistics import Statistics
from autocoder.daemon.worker import Done, Loaded, LoadFailed, Report, Unloaded, Worker

logger = logging.getLogger(__name__)

# A frame above this is no message gone wrong but an attack on memory: the connection is closed.
LARGEST_FRAME = 64 * 1024 * 1024
MOST_REPLIES_QUEUED = 10_000
LEAVE_S = 2.0
LOOK_S = 30.0


@dataclass(frozen=True)
class Provision:
    """What the model runs on, as last loaded."""

    provider: str | None = None
    threads: int | None = None
    reason: str = ""


class Server:
    """One daemon's loop on one address. `run` blocks; `load` is called in the worker's thread.

    `look` is called every `look_s` seconds, for what its owner wants to see to. The model is
    dropped when nobody asked anything for `unload_after_s` (None: never).
    """

    def __init__(
        self,
        address: str,
        info: ModelInfo,
        load: Callable[[], Completer],
        *,
        version: str = __version__,
        look: Callable[[], None] = lambda: None,
        look_s: float = LOOK_S,
        unload_after_s: float | None = None,
    ) -> None:
        self._address = address
        self._info = info
        self._version = version
        self._look = look
        self._look_s = look_s
        self._completer: Completer | None = None
        self._provision = Provision()
        self._unloaded = False
        self._problem: str | None = None
        self._scheduler = Scheduler()
        self._statistics = Statistics()
        self._worker = Worker(load, self._reported, unload_after_s)
        self._reports: deque[Report] = deque()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._waking = False
        self._load_tried = False
        self._stopping = False

    def stop(self) -> None:
        """Leave the loop soon. Callable from any thread and from a signal handler."""
        self._stopping = True
        self._wake()

    def run(self) -> bool:
        """Serve until `stop`. False if the model's thread was still busy at the end."""
        with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
            self._socket = self._bound(socket)
            self._worker.start()
            self._loop()
            return self._shutdown()

    def _bound(self, socket: "zmq.Socket[bytes]") -> "zmq.Socket[bytes]":
        socket.maxmsgsize = LARGEST_FRAME
        socket.sndhwm = MOST_REPLIES_QUEUED
        socket.router_mandatory = True
        socket.linger = 1000
        socket.bind(self._address)
        return socket

    def _loop(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._woken, zmq.POLLIN)
        looked = time.monotonic()
        while not self._stopping:
            ready = dict(poller.poll(round(1000 * self._look_s)))
            if time.monotonic() - looked >= self._look_s:
                looked = time.monotonic()
                self._look()
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._waking = False  # before what is there is looked at
                self._take_reports()
            if self._socket in ready:
                self._receive()
            self._dispatch()

    def _shutdown(self) -> bool:
        for job in self._scheduler.drain():
            self._answer_cancelled(job)
        left = self._worker.stop(LEAVE_S)
        self._take_reports()
        if not left:
            for job in self._scheduler.left():
                self._answer_cancelled(job)
        os.close(self._woken)
        os.close(self._waker)
        return left

    # From the worker's thread

    def _reported(self, report: Report) -> None:
        self._reports.append(report)
        self._wake()

    def _wake(self) -> None:
        if self._waking:  # the loop has not seen the last wake yet
            return
        self._waking = True
        try:
            os.write(self._waker, b"\0")
        except BlockingIOError:  # so many wakes are pending that one more changes nothing
            pass
        except OSError:  # the loop is over and has closed the pipe
            logger.debug("nobody to wake")

    def _take_reports(self) -> None:
        while self._reports:
            report = self._reports.popleft()
            match report:
                case Done():
                    self._take_done(report)
                case Loaded():
                    self._take_loaded(report.completer)
                case LoadFailed():
                    self._load_tried, self._problem = True, str(report.error)
                    logger.error("the model cannot be loaded", exc_info=report.error)
                case Unloaded():
                    self._completer, self._unloaded = None, True
                    trim()
                    logger.info("the model is dropped: nobody asked for long")

    def _take_done(self, report: Done) -> None:
        job = report.job
        if job.slice_s is not None and not job.cancelled and isinstance(report.result, Cancelled):
            self._scheduler.put_back(job, time.monotonic())
        else:
            self._scheduler.finish(job)
            self._answer(job, report.result)

    def _take_loaded(self, completer: Completer) -> None:
        self._load_tried, self._unloaded, self._problem = True, False, None
        self._completer = completer
        self._scheduler.places = getattr(completer, "places", 1)
        self._provision = Provision(completer.provider, completer.threads, completer.reason)
        logger.info("%s on %s", completer.info.name, completer.provider)

    # Requests

    def _receive(self) -> None:
        """Take what has arrived, but not for ever: the worker's reports wait."""
        for _ in range(100):
            try:
                client, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._take(client, frames)

    def _take(self, client: bytes, frames: list[bytes]) -> None:
        id: str | None = None
        try:
            self._statistics.saw(client, time.monotonic())
            if len(frames) != 1:
                raise ProtocolError("bad_json", f"{len(frames)} frames; a message is one")
            message = decode(frames[0])
            id = message_id(message)
            self._handle(client, id or "", request_from(message))
        except ProtocolError as error:
            self._refuse(client, id, error.code, str(error))
        except Exception:  # the outer edge: one bad request must not end the daemon
            logger.exception("a request failed")
            self._refuse(client, id, "internal", "a fault in the daemon; its log has the traceback")

    def _handle(self, client: bytes, id: str, request: Request) -> None:
        if self._unloaded and isinstance(request, Hello | Complete | Feedback):
            self._unloaded = False
            self._worker.wake()
        match request:
            case Hello():
                logger.info("hello from %.40r %.40r", request.client, request.version)
                self._send(client, reply_message("hello", id, **greeting_fields(self._greeting())))
            case Complete():
                self._submit(client, id, request)
            case Cancel():
                self._cancel(client, id, request)
            case Feedback():
                self._statistics.feedback[request.event] += 1
                self._send(client, reply_message("ok", id))
            case Status():
                self._send(client, reply_message("status", id, **self._status()))
            case Stop():
                self._send(client, reply_message("ok", id))
                self._stopping = True

    def _submit(self, client: bytes, id: str, request: Complete) -> None:
        self._statistics.requests["complete"] += 1
        if self._scheduler.knows(client, id):
            raise ProtocolError("bad_request", f"id {id!r} is under way already")
        for job in self._scheduler.submit(Job(client, id, request, time.monotonic())):
            self._answer_cancelled(job)

    def _cancel(self, client: bytes, id: str, request: Cancel) -> None:
        found, job = self._scheduler.cancel(client, request.target)
        if job:
            self._answer_cancelled(job)
        self._send(client, reply_message("ok", id, cancelled=found))

    def _dispatch(self) -> None:
        now = time.monotonic()
        # While the model loads, jobs stay with the scheduler, where they can be superseded.
        while self._load_tried and (job := self._scheduler.next(now)):
            job.began = now
            self._worker.give(job)

    # Replies

    def _answer(self, job: Job, result: Completion | Exception) -> None:
        if job.cancelled or isinstance(result, Cancelled):
            self._answer_cancelled(job)
        elif isinstance(result, Exception):
            self._answer_failure(job, result)
        else:
            try:
                self._answer_completion(job, result)
            except (TypeError, ValueError) as error:  # what is in it is no JSON, e.g. NaN
                self._answer_failure(job, error)

    def _answer_completion(self, job: Job, result: Completion) -> None:
        total = (time.monotonic() - job.arrived) * 1000
        queued = (job.began - job.arrived) * 1000
        timed = replace(result, ms=replace(result.ms, queued=queued, total=total))
        self._statistics.took(total)
        contents = {"document": job.request.document, **completion_fields(timed)}
        self._send(job.client, reply_message("completion", job.id, **contents))

    def _answer_cancelled(self, job: Job) -> None:
        self._statistics.requests["cancelled"] += 1
        document = job.request.document
        self._send(job.client, reply_message("cancelled", job.id, document=document))

    def _answer_failure(self, job: Job, error: Exception) -> None:
        if isinstance(error, ProtocolError):
            self._refuse(job.client, job.id, error.code, str(error))
        elif isinstance(error, AutocoderError):
            self._refuse(job.client, job.id, "model", str(error))
        else:
            logger.error("a completion failed", exc_info=error)
            text = f"{type(error).__name__} in the model; the daemon's log has the traceback"
            self._refuse(job.client, job.id, "internal", text)

    def _refuse(self, client: bytes, id: str | None, code: str, text: str) -> None:
        self._statistics.requests["errors"] += 1
        self._send(client, error_message(id, code, text))

    def _send(self, client: bytes, message: Message) -> None:
        try:
            self._socket.send_multipart([client, encode(message)], zmq.NOBLOCK)
        except zmq.Again:
            logger.warning("a client does not read its replies; one is dropped")
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._scheduler.forget(client)

    # What hello and status tell

    def _greeting(self) -> Greeting:
        info = self._completer.info if self._completer else self._info
        return Greeting(self._version, os.getpid(), self._provision.provider, info)

    def _status(self) -> dict[str, Any]:
        return {
            **greeting_fields(self._greeting()),
            **self._statistics.fields(time.monotonic()),
            "threads": self._provision.threads,
            "reason": self._provision.reason,
            "state": self._state(),
            "problem": self._problem,
        }

    def _state(self) -> str:
        if self._completer:
            return "ready"
        if self._problem:
            return "failed"
        return "unloaded" if self._unloaded else "loading"
