"""What a reply means to a client: a completion, or the exception that the daemon's word stands for.

Knows the protocol only.
"""

from autocoder.daemon.errors import ModelError, ProtocolError
from autocoder.daemon.protocol import (
    Cancelled,
    Completion,
    Message,
    completion_from,
)


def checked(reply: Message) -> Message:
    """The reply, unless it is an error. Raises Cancelled, ModelError, ProtocolError."""
    kind = reply.get("type")
    if kind == "cancelled":
        raise Cancelled("a newer request took its place, or it was cancelled")
    if kind == "error":
        code, text = str(reply.get("code")), str(reply.get("text"))
        raise ModelError(text) if code == "model" else ProtocolError(code, text)
    return reply


def completion(reply: Message) -> Completion:
    """The completion in a reply. Raises Cancelled, ModelError, ProtocolError."""
    return completion_from(checked(reply))
