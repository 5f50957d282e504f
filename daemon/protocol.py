"""The messages of docs/protocol.md, as data. Knows no sockets and no model.

Standard library only: thin clients may import it at no cost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

VERSION = 1
MAX_BYTES = 4 * 1024 * 1024


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
    """What the server needs of the model's side. `complete` is called from one thread at a time."""

    info: ModelInfo
    provider: str
    threads: int

    def complete(self, request: Complete, cancelled: Callable[[], bool]) -> Completion:
        """Answer one request, asking `cancelled` before every step. Raises Cancelled, ModelError."""
        ...
