"""Typing replayed against llama.cpp's own server as llama.vim asks it, and against the daemon.

    python tests/benchmarks/llama_vim.py [FILE] --server llama-server [--characters 400] [--json]

The same keys, the same weights (Q4_0, bit for bit), the same threads, passage by passage in turn:

`daemon`         every key asks, at once; one line, as `autocoder bench typing`
`daemon, typed through`  the same, but a key that a suggestion foresaw asks nothing, as in editors
`/infill`        every key asks llama-server, at once, with llama.vim's prompt; its own options
`/infill, line`  the same, but the server stops at the end of the line
`llama.vim`      the plugin's whole policy: an answered position is cached and typed through; while
                 a request runs, the next one waits in steps of 100 ms; behind every suggestion
                 shown, another is asked for as if it had been accepted

The policy is that of its autoload/llama.vim: 256 lines before and 64 after the cursor, the
line being typed as `prompt`, `n_predict` 128, `t_max_predict_ms` 250 (1000 ahead), `n_indent`,
`cache_prompt`, samplers top_k 40, top_p 0.9, infill; a cache of 250. The server runs as its
documentation recommends: `-b 1024 -ub 1024 --cache-reuse 256`, flash attention, one slot, and
`--spm-infill`, the order that this model was trained in.

Not simulated: Vim itself, and the curl process that llama.vim starts for each request (we keep one
connection); other buffers' chunks (`input_extra` is empty, as in a first buffer). A key's time is
what passes until a suggestion is there for the text as it then is; a key that is overtaken by the
next one before that counts as superseded.

llama-server is built from llama-cpp-python's source package: unpack it, then
`cmake -B build vendor/llama.cpp -DLLAMA_BUILD_UI=OFF && cmake --build build --target llama-server`.
"""

import argparse
import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from random import Random
from typing import Any

import gguf
import zmq.asyncio
from folder_weights import read

from autocoder.clients.bench.keystrokes import keystrokes
from autocoder.clients.bench.passage import Passage, default_file, passages, read_source
from autocoder.clients.bench.private_daemon import Measured, private_daemon
from autocoder.clients.bench.samples import quantile
from autocoder.clients.bench.typist import Pace, Typist
from autocoder.daemon.connection import connected
from autocoder.daemon.model_folder import bundled
from autocoder.daemon.protocol import Complete

Key = tuple[float, str] | None  # milliseconds and the suggestion; None: superseded
BEFORE, AFTER, CACHED, LOOK_BACK = 256, 64, 250, 128
RETRY_S = 0.1
FIRST_MS, AHEAD_MS = 250, 1000


def main(arguments: Sequence[str]) -> int:
    """Replay against each in turn."""
    options = parser().parse_args(arguments)
    binary = shutil.which(options.server)
    if binary is None:
        raise SystemExit(f"no {options.server}: see the head of this file for how to build it")
    path = options.file or default_file()
    parts = passages(read_source(path), options.passages, options.characters)
    with tempfile.TemporaryDirectory() as scratch:
        model = gguf.write(read(options.model or bundled()), Path(scratch) / "model.gguf")
        with (
            running(binary, model, options.threads) as port,
            private_daemon(threads=options.threads) as daemon,
        ):
            report = asyncio.run(compared(daemon, port, path, parts, options))
    print(json.dumps(report) if options.json else "\n".join(table(report)))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("file", nargs="?", type=Path, help="source file (default: as bench typing)")
    made.add_argument("--model", type=Path, help="model folder (default: the bundled one)")
    made.add_argument("--server", default="llama-server", help="the binary")
    made.add_argument("--characters", type=int, default=400, help="typed in all (400)")
    made.add_argument("--passages", type=int, default=4, help="places in the file (4)")
    made.add_argument("--speed", type=float, default=20.0, help="of idle time (20)")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


@contextmanager
def running(binary: str, model: Path, threads: int) -> Iterator[int]:
    """llama-server on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [binary, "-m", str(model), "--port", str(port), "-t", str(threads)]
    command += ["-tb", str(threads), "-b", "1024", "-ub", "1024", "--cache-reuse", "256"]
    command += ["-c", "0", "-np", "1", "-fa", "on", "--spm-infill"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_healthy(server, port)
        yield port
    finally:
        server.terminate()
        server.wait()


def wait_until_healthy(server: "subprocess.Popen[bytes]", port: int) -> None:
    """Until it serves. Raises SystemExit where it ends."""
    while True:
        with suppress(OSError):
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        if server.poll() is not None:
            raise SystemExit(f"llama-server ended with status {server.returncode}")
        time.sleep(0.05)


class Server:
    """One kept connection, one request at a time."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    async def infill(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request."""
        return await asyncio.to_thread(self._post, json.dumps(wanted).encode())

    def _post(self, body: bytes) -> dict[str, Any]:
        try:
            answer, data = self._answer(body)
        except ConnectionError:  # it closes what is idle for five seconds: while others' turn lasts
            self._connection.close()
            answer, data = self._answer(body)
        if answer.status != 200:
            raise SystemExit(f"llama-server answers {answer.status}: {data[:300]!r}")
        return dict(json.loads(data))

    def _answer(self, body: bytes) -> tuple[HTTPResponse, bytes]:
        self._connection.request("POST", "/infill", body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        return answer, answer.read()


def infill(prefix: str, suffix: str, *, ahead: bool = False, line: bool = False) -> dict[str, Any]:
    """llama.vim's request for a cursor between two texts."""
    before, _, middle = prefix.rpartition("\n")
    rest, _, after = suffix.partition("\n")
    if not (middle + rest).strip():
        middle = rest = ""  # a blank line is completed from its start
    lines_before = before.split("\n")[-BEFORE:]
    lines_after = after.split("\n")[:AFTER]
    return {
        "input_prefix": "\n".join(lines_before) + "\n",
        "input_suffix": rest + "\n" + "\n".join(lines_after) + "\n",
        "input_extra": [],
        "prompt": middle,
        "n_predict": 128,
        "n_indent": len(middle) - len(middle.lstrip()),
        "top_k": 40,
        "top_p": 0.9,
        "samplers": ["top_k", "top_p", "infill"],
        "stream": False,
        "cache_prompt": True,
        "t_max_predict_ms": AHEAD_MS if ahead else FIRST_MS,
        "stop": ["\n"] if line else [],
    }


class Plugin:
    """llama.vim: what is asked at a key, what is cached, what is asked ahead."""

    def __init__(self, server: Server) -> None:
        self.text = ""  # what is shown
        self._server = server
        self._cache: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._job: asyncio.Task[None] | None = None
        self._retry: asyncio.Task[None] | None = None
        self._here = ("", "")
        self._shown = asyncio.Event()

    def press(self, prefix: str, suffix: str) -> asyncio.Event:
        """A key; the event is set once a suggestion (or "") is there for this text."""
        self._here, self._shown = (prefix, suffix), asyncio.Event()
        if self._retry is not None:
            self._retry.cancel()
        if not self._show():
            self._ask(prefix, suffix)
        return self._shown

    async def rest(self) -> None:
        """Let what runs end."""
        if self._retry is not None:
            self._retry.cancel()
        if self._job is not None:
            await asyncio.wait([self._job])

    def _show(self) -> bool:
        found = self._lookup(*self._here)
        if found is None:
            return False
        self.text = found
        self._shown.set()
        if found:
            self._ask(*self._here, shown=found)
        return True

    def _lookup(self, prefix: str, suffix: str) -> str | None:
        """What is cached for this text, or for an earlier one that was typed through since."""
        if (prefix, suffix) in self._cache:
            return self._cache[prefix, suffix]
        for back in range(1, min(LOOK_BACK, len(prefix)) + 1):
            content = self._cache.get((prefix[:-back], suffix))
            if content is not None and content.startswith(prefix[-back:]):
                return content[back:]
        return None

    def _ask(self, prefix: str, suffix: str, shown: str = "") -> None:
        """Ask; with `shown` ahead, as if that suggestion had been accepted."""
        if (prefix + shown, suffix) in self._cache:
            return
        if self._job is not None and not self._job.done():
            self._retry = asyncio.create_task(self._again(prefix, suffix, shown))
        else:
            self._job = asyncio.create_task(self._run(prefix + shown, suffix, bool(shown)))

    async def _again(self, prefix: str, suffix: str, shown: str) -> None:
        await asyncio.sleep(RETRY_S)
        self._retry = None
        self._ask(prefix, suffix, shown)

    async def _run(self, prefix: str, suffix: str, ahead: bool) -> None:
        reply = await self._server.infill(infill(prefix, suffix, ahead=ahead))
        self._cache[prefix, suffix] = reply["content"]
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        if not ahead:
            self._show()  # its curl has not ended yet: what is asked ahead waits 100 ms


async def compared(
    daemon: Measured, port: int, path: Path, parts: Sequence[Passage], options: argparse.Namespace
) -> dict[str, Any]:
    """Each passage typed for each engine before the next one."""
    server = Server(port)
    times: dict[str, list[Key]] = {}
    for number, part in enumerate(parts):
        seed = f"{options.seed} {number}"
        ours = await typed_for_daemon(daemon, path, part, Random(seed), options)
        times.setdefault("daemon", []).extend(ours)
        through = await typed_through(daemon, path, part, Random(seed), options)
        times.setdefault("daemon, typed through", []).extend(through)
        for name, line in (("/infill", False), ("/infill, line", True)):
            found = await typed_plainly(server, part, Random(seed), options, line)
            times.setdefault(name, []).extend(found)
        plugin = await typed_in_vim(Plugin(server), part, Random(seed), options)
        times.setdefault("llama.vim", []).extend(plugin)
    return {
        "file": path.name,
        "threads": options.threads,
        "rows": [row(name, found) for name, found in times.items()],
    }


def row(name: str, found: list[Key]) -> dict[str, Any]:
    """Quantiles of the keys that got an answer before the next one; what the answers were."""
    answered = [key for key in found if key is not None]
    texts = [text for _, text in answered if text.strip()]
    times = [ms for ms, _ in answered]
    return {
        "who": name,
        "keys": len(found),
        **{f"p{share}_ms": quantile(times, share / 100) for share in (50, 95, 99)},
        "superseded_share": round(1 - len(answered) / len(found), 4),
        "asked_p50_ms": quantile([ms for ms in times if ms >= 1], 0.5),
        "at_once_share": round(sum(ms < 1 for ms in times) / len(found), 4),
        "nonempty_share": round(len(texts) / max(1, len(answered)), 4),
        "mean_chars": round(sum(map(len, texts)) / max(1, len(texts)), 1),
    }


async def typed_for_daemon(
    daemon: Measured, path: Path, part: Passage, chance: Random, options: argparse.Namespace
) -> list[Key]:
    """Every key asks the daemon."""
    request = Complete("", document=str(path), path=str(path), max_lines=1, max_tokens=32)
    with zmq.asyncio.Context() as context:
        typist = Typist(context, daemon.place.address, request, Pace(options.speed))
        await typist.type([part], chance)
    return [
        (each.latency_ms, "".join(s.text for s in each.completion.suggestions[:1]))
        if each.completion
        else None
        for each in typist.samples
    ]


async def typed_through(
    daemon: Measured, path: Path, part: Passage, chance: Random, options: argparse.Namespace
) -> list[Key]:
    """Keys that the last suggestion foresaw are answered by what is left of it."""
    found: list[Key] = []
    foreseen, left = "", ""
    with connected(daemon.place.address) as connection:
        for prefix, pause_s in timed_keys(part, chance):
            started = time.perf_counter()
            typed = prefix[len(foreseen) :] if prefix.startswith(foreseen) else None
            if typed and left.startswith(typed) and left != typed:
                found.append((1000 * (time.perf_counter() - started), left[len(typed) :]))
            else:
                asked = Complete(
                    prefix, part.after, document=str(path), path=str(path), max_tokens=32
                )
                reply = await asyncio.to_thread(connection.ask, asked, 60)
                foreseen, left = prefix, "".join(s["text"] for s in reply["suggestions"][:1])
                took_s = time.perf_counter() - started
                found.append((1000 * took_s, left) if took_s <= pause_s else None)
            rest_s = Pace(options.speed).rest_s(pause_s, time.perf_counter() - started)
            await asyncio.sleep(rest_s)
    return found


def timed_keys(part: Passage, chance: Random) -> list[tuple[str, float]]:
    """Each key's text, and the pause until the next one."""
    keys = list(keystrokes(part.before, part.typed, chance))
    return [
        (key.prefix, following.pause_s)
        for key, following in zip(keys, [*keys[1:], keys[0]], strict=True)
    ]


async def typed_plainly(
    server: Server, part: Passage, chance: Random, options: argparse.Namespace, line: bool
) -> list[Key]:
    """Every key asks /infill. One that takes longer than the pause is waited for, and superseded:
    this client has no cancelling, and so the server is not made to wait in vain."""
    found: list[Key] = []
    for prefix, pause_s in timed_keys(part, chance):
        started = time.perf_counter()
        reply = await server.infill(infill(prefix, part.after, line=line))
        took_s = time.perf_counter() - started
        found.append((1000 * took_s, reply["content"]) if took_s <= pause_s else None)
        await asyncio.sleep(Pace(options.speed).rest_s(pause_s, took_s))
    return found


async def typed_in_vim(
    plugin: Plugin, part: Passage, chance: Random, options: argparse.Namespace
) -> list[Key]:
    """The whole policy, at human speed: what runs ahead takes its real time."""
    found: list[Key] = []
    for prefix, pause_s in timed_keys(part, chance):
        started = time.perf_counter()
        shown = plugin.press(prefix, part.after)
        try:
            await asyncio.wait_for(shown.wait(), pause_s)
            found.append((1000 * (time.perf_counter() - started), plugin.text))
        except TimeoutError:
            found.append(None)
        await asyncio.sleep(max(0.0, pause_s - (time.perf_counter() - started)))
    await plugin.rest()
    return found


def table(report: dict[str, Any]) -> list[str]:
    """A Markdown table."""
    lines = [
        f"{report['file']}, {report['threads']} threads",
        "",
        "| who | keys | p50 ms | p95 | p99 | at once | p50 of the rest | superseded | chars |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in report["rows"]:
        lines.append(
            f"| {r['who']} | {r['keys']} | {r['p50_ms']} | {r['p95_ms']} | {r['p99_ms']} | "
            f"{r['at_once_share']:.0%} | {r['asked_p50_ms']} | {r['superseded_share']:.0%} | "
            f"{r['mean_chars']} |"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
