"""A bridge without a daemon: answers by rules that the test may change while it runs.

The file $FAKE_BRIDGE_RULES holds `{"rules": [[ending, [text, …]], …], "mode": …, "delay_ms": …}`
and is read anew for each message; the first rule whose ending ends the prefix answers. Modes: ok,
silent (reads, never answers), deaf (never reads), dies (exits at a request), junk (speaks it),
error (answers `complete` with an error). Every message is appended to $FAKE_BRIDGE_LOG
with the time, and so is the time of each completion just before it is written.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

RULES, LOG = Path(os.environ["FAKE_BRIDGE_RULES"]), Path(os.environ["FAKE_BRIDGE_LOG"])
MODEL = {"name": "fake", "sha256": "0", "folder": "", "languages": ["python"], "context": 512}


def main() -> None:
    log({"type": "started", "pid": os.getpid()})
    if rules()["mode"] == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    for line in sys.stdin:
        answer(json.loads(line), len(line.encode()))


def rules() -> dict[str, Any]:
    return {"rules": [], "mode": "ok", "delay_ms": 0} | json.loads(RULES.read_text())


def log(record: dict[str, Any]) -> None:
    with LOG.open("a") as file:
        file.write(json.dumps(record | {"at": time.time()}) + "\n")


def say(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def answer(message: dict[str, Any], size: int) -> None:
    now = rules()
    log(message | {"bytes": size})
    if now["mode"] == "silent":
        return
    reply = {"v": 1, "id": message["id"]}
    if message["type"] == "hello":
        say(reply | {"type": "hello", "version": "0", "provider": "FakeProvider", "model": MODEL})
    elif message["type"] == "complete":
        complete(message, reply, now)
    elif message["type"] == "status":
        time.sleep(now.get("status_delay_ms", 0) / 1000)
        figures = {"uptime_s": 1, "feedback": {"shown": 3}, "problem": None}
        say(reply | {"type": "status"} | figures)
    else:
        say(reply | {"type": "ok"})


def complete(message: dict[str, Any], reply: dict[str, Any], now: dict[str, Any]) -> None:
    if now["mode"] == "dies":
        sys.exit(3)
    if now["mode"] == "junk":
        sys.stdout.write('not json\n[1]\n"text"\n{"type": 5}\n{"type": "completion"}\n\x00\xff\n')
        say({"type": "completion", "id": message["id"], "suggestions": [1, {"text": 2}, None]})
        return
    if now["mode"] == "error":
        say(reply | {"type": "error", "code": "model", "text": "no model here"})
        return
    time.sleep(now["delay_ms"] / 1000)
    texts = next((t for ending, t in now["rules"] if message["prefix"].endswith(ending)), [])
    log({"type": "answered", "target": message["id"]})
    say(
        reply
        | {
            "type": "completion",
            "document": message["document"],
            "suggestions": [
                {
                    "text": text,
                    "probability": 0.5,
                    "token_probabilities": [0.5],
                    "stopped_by": "end",
                }
                for text in texts[: message.get("candidates", 1)]
            ],
        }
    )


if __name__ == "__main__":
    main()
