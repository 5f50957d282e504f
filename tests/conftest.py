"""What tests of several folders share.

A model that a test writes down itself, and a byte-level tokenizer to go with it; a runtime folder
for every test, and daemons without a model. No test touches the user's daemon: whatever daemon was
started in a test's folder is killed at its end.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from autocoder.daemon import lifecycle, lock, model_folder
from autocoder.daemon.endpoint import Endpoint

FAKE_DAEMON = Path(__file__).parent / "fake_daemon.py"
FAKE_BRIDGE = Path(__file__).parent / "fake_bridge.py"

SPECIALS = ["<python>", "<java>", "<suffix>", "<prefix>", "<middle>", "<eos>"]
PAIRS = [(")", ":"), ("):", "Ċ"), ("Ċ", "Ġ"), ("ĊĠ", "Ġ"), ("ĊĠĠ", "Ġ"), ("ĊĠĠĠ", "Ġ")]

NextToken = Callable[[tuple[int, ...]], Mapping[int, float]]


class FakeGraph:
    """A model by its answer to the whole past: token → probability, the rest shared out evenly.

    The past is read back from the cache, so a wrong roll-back gives a wrong answer. `passes`
    lists (past, tokens) of each run.
    """

    least = 1

    def __init__(self, answer: NextToken, vocabulary: int, capacity: int = 512) -> None:
        self.answer = answer
        self.vocabulary = vocabulary
        self.capacity = capacity
        self.passes: list[tuple[int, int]] = []

    def new_cache(self) -> NDArray[np.int64]:
        return np.full(self.capacity, -1, np.int64)

    def copy_cache(self, source: NDArray[np.int64], target: NDArray[np.int64], length: int) -> bool:
        target[:length] = source[:length]
        return True

    def cache_bytes(self, length: int) -> int:
        return length

    def run(
        self, cache: NDArray[np.int64], past: int, ids: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return self.run_rows(cache, past, ids, 1)[0]

    def run_rows(
        self, cache: NDArray[np.int64], past: int, ids: NDArray[np.int64], rows: int
    ) -> NDArray[np.float32]:
        self.passes.append((past, len(ids)))
        cache[past : past + len(ids)] = ids
        rows = max(rows, 1)  # 0: any will do
        ends = range(past + len(ids) - rows + 1, past + len(ids) + 1)
        return np.stack([self._logits(tuple(int(t) for t in cache[:end])) for end in ends])

    def _logits(self, past: tuple[int, ...]) -> NDArray[np.float32]:
        given = self.answer(past)
        rest = max(0.0, 1.0 - sum(given.values())) / self.vocabulary
        chances = np.full(self.vocabulary, max(rest, 1e-12))
        for token, chance in given.items():
            chances[token] = chance
        return np.log(chances).astype(np.float32)


@pytest.fixture(scope="session")
def fake_graph() -> type[FakeGraph]:
    return FakeGraph


@pytest.fixture(scope="session")
def byte_tokenizer() -> Tokenizer:
    """One token per byte, but line break and indentation, and `):` and `):⏎`, are one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *("".join(pair) for pair in PAIRS)]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, PAIRS))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIALS)
    return tokenizer


@pytest.fixture(scope="session")
def scripted(byte_tokenizer: Tokenizer) -> Callable[[Mapping[str, float]], FakeGraph]:
    """Makes a model that continues `<middle>` with one of the texts given, by their weights.

    A text is closed by `<eos>`.
    """
    middle, eos = (byte_tokenizer.token_to_id(name) for name in ("<middle>", "<eos>"))

    def encode(text: str) -> list[int]:
        return [*byte_tokenizer.encode(text, add_special_tokens=False).ids, eos]

    def make(texts: Mapping[str, float], **options: Any) -> FakeGraph:
        scripts = [(encode(text), weight) for text, weight in texts.items()]
        return FakeGraph(
            lambda past: vote(scripts, past[past.index(middle) + 1 :] if middle in past else ()),
            byte_tokenizer.get_vocab_size(),
            **options,
        )

    return make


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model folder: a tiny Llama, trained on a few functions for a moment, and exported."""
    from autocoder.export import exporting, tiny

    folder = tmp_path_factory.mktemp("tiny")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optimum's and torch's own
        checkpoint = tiny.make_checkpoint(folder / "checkpoint")
        exporting.export(str(checkpoint), folder / "model")
    return folder / "model"


@pytest.fixture(scope="session")
def renamed_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model than the bundled one, as far as anybody can tell: its name differs."""
    folder = shutil.copytree(model_folder.bundled(), tmp_path_factory.mktemp("models") / "renamed")
    manifest = folder / model_folder.MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "name": "renamed"}))
    return folder


def vote(scripts: Sequence[tuple[list[int], float]], written: Sequence[int]) -> dict[int, float]:
    """Token → probability by the scripts that begin with what is written."""
    chances: dict[int, float] = {}
    for tokens, weight in scripts:
        if tokens[: len(written)] == list(written) and len(tokens) > len(written):
            token = tokens[len(written)]
            chances[token] = chances.get(token, 0.0) + weight
    total = sum(chances.values())
    return {token: chance / total for token, chance in chances.items()}


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """An empty runtime folder with a short path; its daemon is killed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ac-", dir="/tmp"))
    monkeypatch.setenv("AUTOCODER_RUNTIME_DIR", str(folder))
    monkeypatch.delenv("AUTOCODER_MODEL", raising=False)
    yield Endpoint(folder)
    _kill(Endpoint(folder))
    shutil.rmtree(folder, ignore_errors=True)


def _kill(place: Endpoint) -> None:
    while (pid := lock.holder(place.lock)) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


@dataclass
class FakeDaemon:
    """Whole daemon processes of `tests/fake_daemon.py`: a real server, a completer from a dict."""

    place: Endpoint
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def command(self, *options: str) -> list[str]:
        return [sys.executable, str(FAKE_DAEMON), *options]

    def autocoder(self, *words: str, options: str = "") -> list[str]:
        """The command line of `autocoder WORDS` that would start a fake daemon with `options`."""
        return [sys.executable, str(FAKE_DAEMON.with_name("with_fake_daemon.py")), options, *words]

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        """Start one and wait until it listens."""
        process = subprocess.Popen(self.command(*options), stderr=subprocess.DEVNULL)
        self.processes.append(process)
        end = time.monotonic() + 20
        while not self.place.socket.exists():
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.01)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def fake_daemon(place: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    """Starts daemons that need no model; so does `lifecycle.ensure` in this process."""
    fake = FakeDaemon(place)
    monkeypatch.setattr(lifecycle, "run_command", lambda wanted: fake.command())
    yield fake
    fake.end()


class FakeBridge:
    """A bridge without a daemon: its command, its rules, and what it was asked, started or not."""

    def __init__(self, folder: Path) -> None:
        self.command = [sys.executable, "-S", str(FAKE_BRIDGE)]
        self.rules_file, self.log_file = folder / "rules.json", folder / "bridge.log"
        self.environment = {
            "FAKE_BRIDGE_RULES": str(self.rules_file),
            "FAKE_BRIDGE_LOG": str(self.log_file),
        }
        self.now: dict[str, Any] = {"rules": [], "mode": "ok", "delay_ms": 0}
        self.says()

    def says(self, *rules: tuple[str, str | list[str]], **settings: Any) -> None:
        """From now on: after a prefix that ends so, suggest this; and `mode`, `delay_ms`."""
        rows = [[ending, [texts] if isinstance(texts, str) else texts] for ending, texts in rules]
        self.now |= {"rules": rows or self.now["rules"]} | settings
        part = self.rules_file.with_suffix(".part")
        part.write_text(json.dumps(self.now))
        part.rename(self.rules_file)

    def heard(self, kind: str = "complete") -> list[dict[str, Any]]:
        """The messages of one type, in order."""
        if not self.log_file.exists():
            return []
        lines = self.log_file.read_text().split("\n")[:-1]
        return [message for line in lines if (message := json.loads(line))["type"] == kind]

    def feedback(self) -> list[tuple[str, int]]:
        return [(m["event"], m["characters"]) for m in self.heard("feedback")]


@pytest.fixture
def bridge(tmp_path: Path) -> FakeBridge:
    return FakeBridge(tmp_path)
