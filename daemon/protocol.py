"""The messages of docs/protocol.md, as data, and the way between data and bytes.

Knows no sockets and no model. Standard library only: thin clients may import it at no cost.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NoReturn, Protocol, TypeAlias

from autocoder.daemon.errors import ProtocolError

VERSION = 1
MAX_BYTES = 4 * 1024 * 1024
MAX_ID = 128
EVENTS = ("shown", "accepted", "partly", "dismissed")

Message: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Complete:
    """A request for suggestions at a cursor; defaults and ranges as in docs/protocol.md."""

    prefix: str
    suffix: str = ""
    document: str = ""
    path: str | None = None
    language: str | None = None
    max_tokens: int = 48
    max_lines: int = 1
    candidates: int = 1
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hello:
    """Who asks: the client's name and its package version."""

    client: str = ""
    version: str = ""


@dataclass(frozen=True)
class Cancel:
    """Give up the `complete` whose id is `target`."""

    target: str


@dataclass(frozen=True)
class Feedback:
    """What became of a suggestion; `event` is one of EVENTS."""

    target: str
    event: str
    characters: int = 0
    candidate: int = 0


@dataclass(frozen=True)
class Status:
    """How is the daemon?"""


@dataclass(frozen=True)
class Stop:
    """The daemon is to exit."""


Request: TypeAlias = Hello | Complete | Cancel | Feedback | Status | Stop
REQUESTS: dict[str, type[Request]] = {
    "hello": Hello,
    "complete": Complete,
    "cancel": Cancel,
    "feedback": Feedback,
    "status": Status,
    "stop": Stop,
}


@dataclass(frozen=True)
class Suggestion:
    """One continuation. `probability` is the product of `token_probabilities`, in 0…1."""

    text: str
    probability: float
    token_probabilities: tuple[float, ...]
    stopped_by: str


@dataclass(frozen=True)
class Timing:
    """Milliseconds spent waiting, on the prompt, on decoding, and in all."""

    queued: float = 0.0
    prompt: float = 0.0
    decode: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class Completion:
    """The answer to a `Complete`: suggestions, most probable first, and what they cost."""

    suggestions: tuple[Suggestion, ...]
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    ms: Timing = Timing()
    drafted_tokens: int = 0
    accepted_tokens: int = 0


@dataclass(frozen=True)
class ModelInfo:
    """What `hello` tells of the model."""

    name: str
    sha256: str
    folder: str
    languages: tuple[str, ...]
    context: int
    fills_holes: bool


@dataclass(frozen=True)
class Greeting:
    """The reply to `hello`. `provider` is None while the model is still loading."""

    version: str
    pid: int
    provider: str | None
    model: ModelInfo
    protocol: int = VERSION


class Cancelled(Exception):
    """Raised by a completer when `cancelled()` turned true; the request is answered `cancelled`."""


class Completer(Protocol):
    """What the server needs of the model's side. `complete` is called from one thread at a time.

    `reason` says why the provider is not CUDA, "" if it is.
    """

    info: ModelInfo
    provider: str
    threads: int
    reason: str

    def complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        """Answer one request; `cancelled` is asked before every step.

        Raises Cancelled, ModelError.
        """
        ...


# Bytes ⇄ JSON objects


def encode(message: Message) -> bytes:
    """One frame or line: JSON in UTF-8 without line breaks. Lone surrogates travel escaped."""
    try:
        return _dump(message, plain=True).encode("utf-8")
    except UnicodeEncodeError:
        return _dump(message, plain=False).encode("ascii")


def _dump(message: Message, plain: bool) -> str:
    return json.dumps(message, ensure_ascii=not plain, separators=(",", ":"), allow_nan=False)


def decode(data: bytes) -> dict[str, Any]:
    """One frame to its JSON object. Raises ProtocolError `too_large` or `bad_json`."""
    if len(data) > MAX_BYTES:
        raise ProtocolError("too_large", f"{len(data)} bytes; a message has at most {MAX_BYTES}")
    try:
        message = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("bad_json", f"not JSON in UTF-8: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError("bad_json", "not a JSON object")
    return message


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def message_id(message: Message) -> str | None:
    """The id that a reply repeats, or None where the message has no usable one."""
    found = message.get("id")
    return found if isinstance(found, str) and len(found) <= MAX_ID else None


# Requests


def request_message(id: str, request: Request) -> dict[str, Any]:
    """The object that asks `request`, as JSON has it; what equals its default is left out."""
    name = next(name for name, kind in REQUESTS.items() if type(request) is kind)
    given = {f.name: getattr(request, f.name) for f in fields(request)}
    wanted = {f.name: _plain(given[f.name]) for f in fields(request) if given[f.name] != f.default}
    return {"v": VERSION, "type": name, "id": id, **wanted}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def request_from(message: Message) -> Request:
    """The request in a decoded message; unknown fields are ignored. Raises ProtocolError."""
    if type(message.get("v")) is not int or message["v"] != VERSION:
        text = f"v is {_show(message.get('v'))}; this daemon speaks version {VERSION}"
        raise ProtocolError("unsupported_version", text)
    if message_id(message) is None:
        raise _bad("id", message.get("id"), f"a string of at most {MAX_ID} characters")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in REQUESTS:
        raise ProtocolError("unknown_type", f"no request {_show(kind)}: {', '.join(REQUESTS)}")
    return _READERS[kind](message)


def _read_hello(message: Message) -> Hello:
    return Hello(_text(message, "client", ""), _text(message, "version", ""))


def _read_complete(message: Message) -> Complete:
    return Complete(
        prefix=_text(message, "prefix"),
        suffix=_text(message, "suffix", ""),
        document=_text(message, "document", ""),
        path=_text_or_none(message, "path"),
        language=_text_or_none(message, "language"),
        max_tokens=_whole(message, "max_tokens", 48, 1, 512),
        max_lines=_whole(message, "max_lines", 1, 0, 64),
        candidates=_whole(message, "candidates", 1, 1, 8),
        temperature=_number(message, "temperature", 0.0, 0.0, 5.0),
        top_k=_whole(message, "top_k", 0, 0, 2**31 - 1),
        top_p=_number(message, "top_p", 1.0, 0.0, 1.0),
        repetition_penalty=_number(message, "repetition_penalty", 1.0, 0.5, 5.0),
        seed=None if message.get("seed") is None else _whole(message, "seed", 0, 0, 2**63 - 1),
        stop=_stops(message),
    )


def _read_cancel(message: Message) -> Cancel:
    return Cancel(_text(message, "target"))


def _read_feedback(message: Message) -> Feedback:
    event = _text(message, "event")
    if event not in EVENTS:
        raise _bad("event", event, f"one of {', '.join(EVENTS)}")
    characters = _whole(message, "characters", 0, 0, 2**31 - 1)
    return Feedback(
        _text(message, "target"), event, characters, _whole(message, "candidate", 0, 0, 7)
    )


_READERS: dict[str, Callable[[Message], Request]] = {
    "hello": _read_hello,
    "complete": _read_complete,
    "cancel": _read_cancel,
    "feedback": _read_feedback,
    "status": lambda message: Status(),
    "stop": lambda message: Stop(),
}


def _text(message: Message, name: str, default: str | None = None) -> str:
    value = message.get(name, default)
    if not isinstance(value, str):
        raise _bad(name, value, "a string", missing=name not in message)
    # A lone surrogate (half a character, as some editors cut) is no text that a tokenizer takes.
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _text_or_none(message: Message, name: str) -> str | None:
    return None if message.get(name) is None else _text(message, name)


def _whole(message: Message, name: str, default: int, low: int, high: int) -> int:
    value = message.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise _bad(name, value, f"an integer from {low} to {high}")
    return value


def _number(message: Message, name: str, default: float, low: float, high: float) -> float:
    value = message.get(name, default)
    if type(value) not in (int, float) or not low <= value <= high:
        raise _bad(name, value, f"a number from {low:g} to {high:g}")
    return float(value)


def _stops(message: Message) -> tuple[str, ...]:
    value = message.get("stop", [])
    fits = isinstance(value, list) and len(value) <= 16
    if not fits or not all(isinstance(text, str) and text for text in value):
        raise _bad("stop", value, "a list of at most 16 strings, none empty")
    return tuple(value)


def _bad(name: str, value: object, wanted: str, missing: bool = False) -> ProtocolError:
    found = "is missing" if missing else f"is {_show(value)}"
    return ProtocolError("bad_request", f"{name} {found}; it must be {wanted}")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# Replies


def reply_message(kind: str, id: str | None, **contents: Any) -> dict[str, Any]:
    """A reply: `hello`, `completion`, `cancelled`, `ok`, `status` or `error`."""
    return {"v": VERSION, "type": kind, "id": id, **contents}


def error_message(id: str | None, code: str, text: str) -> dict[str, Any]:
    """An `error` reply; `code` is one of docs/protocol.md's."""
    return reply_message("error", id, code=code, text=text)


def greeting_fields(greeting: Greeting) -> dict[str, Any]:
    """What `hello` and `status` replies say of the daemon and its model."""
    return {**_record(greeting), "model": _record(greeting.model)}


def greeting_from(message: Message) -> Greeting:
    """The reply to `hello` as data. Raises ProtocolError `bad_json` where it is garbled."""
    try:
        model = {f.name: message["model"][f.name] for f in fields(ModelInfo)}
        model["languages"] = tuple(model["languages"])
        given = {f.name: message[f.name] for f in fields(Greeting)}
        return Greeting(**{**given, "model": ModelInfo(**model)})
    except (KeyError, TypeError) as error:
        raise ProtocolError("bad_json", f"the daemon's hello is garbled: {error!r}") from error


def completion_fields(completion: Completion) -> dict[str, Any]:
    """What a `completion` reply carries."""
    suggestions = [_record(suggestion) for suggestion in completion.suggestions]
    return {**_record(completion), "suggestions": suggestions, "ms": _record(completion.ms)}


def completion_from(message: Message) -> Completion:
    """A `completion` reply as data. Raises ProtocolError `bad_json` where it is garbled."""
    try:
        return Completion(
            suggestions=tuple(_suggestion_from(row) for row in message["suggestions"]),
            prompt_tokens=message["prompt_tokens"],
            cached_tokens=message["cached_tokens"],
            generated_tokens=message["generated_tokens"],
            drafted_tokens=message.get("drafted_tokens", 0),
            accepted_tokens=message.get("accepted_tokens", 0),
            ms=Timing(**{f.name: message["ms"][f.name] for f in fields(Timing)}),
        )
    except (KeyError, TypeError) as error:
        raise ProtocolError("bad_json", f"the completion is garbled: {error!r}") from error


def _suggestion_from(row: Message) -> Suggestion:
    probabilities = tuple(row["token_probabilities"])
    return Suggestion(row["text"], row["probability"], probabilities, row["stopped_by"])


def _record(data: Any) -> dict[str, Any]:
    return {f.name: getattr(data, f.name) for f in fields(data)}
