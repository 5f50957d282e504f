"""docs/protocol.md's requests and replies, as data and back."""

import json
from typing import Any

import pytest

from autocoder.daemon.errors import ProtocolError
from autocoder.daemon.protocol import (
    MAX_BYTES,
    Cancel,
    Complete,
    Completion,
    Feedback,
    Greeting,
    Hello,
    ModelInfo,
    Request,
    Status,
    Stop,
    Suggestion,
    Timing,
    completion_fields,
    completion_from,
    decode,
    encode,
    greeting_fields,
    greeting_from,
    message_id,
    reply_message,
    request_from,
    request_message,
)


def complete(**fields: Any) -> dict[str, Any]:
    return {"v": 1, "type": "complete", "id": "1", "prefix": "x", **fields}


def refused(message: dict[str, Any]) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        request_from(message)
    return caught.value


@pytest.mark.parametrize(
    "request_",
    [
        Hello("vim", "0.1.0"),
        Complete("for i in ran"),
        Complete(
            "é\n",
            "z",
            "/tmp/a.py",
            "/tmp/a.py",
            "python",
            9,
            0,
            3,
            0.5,
            40,
            0.9,
            1.1,
            7,
            ("\n", "#"),
        ),
        Cancel("7"),
        Feedback("7", "partly", 3, 1),
        Status(),
        Stop(),
    ],
)
def test_every_request_survives_the_way_to_bytes_and_back(request_: Request) -> None:
    message = decode(encode(request_message("12", request_)))
    assert message_id(message) == "12"
    assert request_from(message) == request_


def test_what_is_left_out_has_the_documented_default() -> None:
    assert request_from(complete()) == Complete(prefix="x", max_tokens=48, max_lines=1)


def test_unknown_fields_are_ignored() -> None:
    assert request_from(complete(colour="blue")) == Complete("x")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prefix", None),
        ("prefix", 3),
        ("suffix", None),
        ("document", 1),
        ("path", 1),
        ("language", []),
        ("max_tokens", 0),
        ("max_tokens", 513),
        ("max_tokens", True),
        ("max_tokens", 4.0),
        ("max_tokens", "4"),
        ("max_lines", -1),
        ("max_lines", 65),
        ("candidates", 0),
        ("candidates", 9),
        ("temperature", -0.1),
        ("temperature", 5.1),
        ("temperature", False),
        ("temperature", None),
        ("top_k", -1),
        ("top_k", 2**31),
        ("top_p", 1.01),
        ("repetition_penalty", 0.4),
        ("seed", -1),
        ("seed", 2**63),
        ("stop", "x"),
        ("stop", ["x"] * 17),
        ("stop", [""]),
        ("stop", [3]),
    ],
)
def test_a_wrong_type_or_range_is_a_bad_request_that_names_the_field(
    field: str, value: object
) -> None:
    error = refused(complete(**{field: value}))
    assert error.code == "bad_request"
    assert str(error).startswith(f"{field} is ")


def test_a_long_bad_value_is_not_repeated_whole() -> None:
    assert len(str(refused(complete(max_tokens="x" * 10_000)))) < 200


def test_a_missing_field_is_named() -> None:
    error = refused({"v": 1, "type": "complete", "id": "1"})
    assert (error.code, str(error)) == ("bad_request", "prefix is missing; it must be a string")
    assert refused({"v": 1, "type": "cancel", "id": "1"}).code == "bad_request"


@pytest.mark.parametrize("event", ["seen", "", None, 3])
def test_feedback_knows_four_events(event: object) -> None:
    message = {"v": 1, "type": "feedback", "id": "1", "target": "0", "event": event}
    assert refused(message).code == "bad_request"


@pytest.mark.parametrize("version", [0, 2, "1", None, True, 1.0])
def test_another_version_is_refused(version: object) -> None:
    assert refused(complete(v=version)).code == "unsupported_version"


@pytest.mark.parametrize("kind", ["compleet", None, 7, ["complete"]])
def test_an_unknown_type_is_refused(kind: object) -> None:
    assert refused(complete(type=kind)).code == "unknown_type"


@pytest.mark.parametrize("id", [None, 7, "x" * 129])
def test_an_id_is_a_string_of_128_characters_at_most(id: object) -> None:
    assert refused(complete(id=id)).code == "bad_request"
    assert message_id(complete(id=id)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"v": NaN}',
        b'{"seed": ' + b"9" * 5000 + b"}",
        b'{"v": 1}{"v": 1}',
    ],
)
def test_what_is_no_json_object_is_bad_json(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(data)
    assert caught.value.code == "bad_json"


def test_four_mebibytes_are_the_most() -> None:
    def message(size: int) -> bytes:
        return encode({"prefix": "x" * (size - len('{"prefix":""}'))})

    assert len(decode(message(MAX_BYTES))["prefix"]) > 4_000_000
    with pytest.raises(ProtocolError) as caught:
        decode(message(MAX_BYTES + 1))
    assert caught.value.code == "too_large"


def test_half_a_surrogate_pair_counts_as_a_question_mark() -> None:
    message = decode(
        b'{"v":1,"type":"complete","id":"1","prefix":"a\\ud83d","suffix":"\\ud83d\\ude00"}'
    )
    assert request_from(message) == Complete(prefix="a?", suffix="\U0001f600")


def test_a_lone_surrogate_in_a_reply_still_makes_valid_utf8() -> None:
    data = encode(reply_message("ok", "\ud83d"))
    assert json.loads(data.decode("utf-8"))["id"] == "\ud83d"


def test_a_message_is_one_line() -> None:
    assert b"\n" not in encode(request_message("1", Complete("a\nb\r\n\u2028")))


def test_completions_and_greetings_survive_the_way_there_and_back() -> None:
    suggestion = Suggestion("ge(10):", 0.41, (0.9, 0.46), "line")
    completion = Completion((suggestion,), 212, 210, 4, Timing(0.1, 6.0, 14.2, 20.6))
    assert completion_from(decode(encode(completion_fields(completion)))) == completion
    model = ModelInfo("m", "0" * 64, "/m", ("java", "python"), 2048, True)
    greeting = Greeting("0.1.0", 7, None, model)
    assert greeting_from(decode(encode(greeting_fields(greeting)))) == greeting


def test_a_garbled_reply_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        completion_from({"suggestions": [{}]})
    with pytest.raises(ProtocolError):
        greeting_from({"model": 3})
