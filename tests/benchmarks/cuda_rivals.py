"""Decoding on a GPU against other engines, on the same weights, one sequence, greedily.

    python tests/benchmarks/cuda_rivals.py --scratch DIR --make    # DIR: what the others start from
    python tests/benchmarks/cuda_rivals.py --scratch DIR [--only autocoder "torch eager"]

Each engine prefills a text and then decodes; every chosen token comes to the host, as a daemon
needs it there. Each prints one line of JSON as soon as it is timed, with its medians. Runs with
transformers 5. onnxruntime-genai (its package for CUDA) brings a second ONNX Runtime into the
process: measure it in one of its own. `--device cpu` only shows that the others run.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from checkpoint import write_checkpoint
from compare import text_ids
from folder_weights import read

from autocoder.daemon.model_folder import bundled

CHECKPOINT, GENAI = "checkpoint", "genai-{device}"
GENAI_GRID = ("int4_block_size=32", "int4_is_symmetric=true", "enable_cuda_graph=1")
ALIKE = 16  # first tokens that are printed, to be compared by eye


class Rival(Protocol):
    """One engine with one sequence; tokens in, the most probable next one out."""

    def prefill(self, ids: Sequence[int]) -> int:
        """Forget everything, take a prompt."""
        ...

    def step(self, token: int) -> int:
        """Append one token."""
        ...


@dataclass(frozen=True)
class Setting:
    """What every engine gets: the model folder, what was made of it, its room, the device."""

    folder: Path
    scratch: Path
    capacity: int
    device: str


class Ours:
    """The daemon's captured passes; the token is chosen on the device."""

    def __init__(self, setting: Setting) -> None:
        from autocoder.clients.bench.passes import open_model

        opened = open_model(setting.folder, setting.device, None, setting.capacity)
        self._graph: Any = opened.graph
        self._chunk, self._length = opened.chunk, 0

    def prefill(self, ids: Sequence[int]) -> int:
        self._length = 0
        for start in range(0, len(ids), self._chunk):
            token = self._feed(list(ids[start : start + self._chunk]))
        return token

    def step(self, token: int) -> int:
        return self._feed([token])

    def _feed(self, ids: list[int]) -> int:
        (chosen,) = self._graph.chunk(0, self._length, ids)
        self._length += len(ids)
        return int(chosen.token)


class Torch:
    """transformers' LlamaForCausalLM in float16 (float32 on a CPU), eager, with a growing cache."""

    def __init__(self, setting: Setting) -> None:
        self.torch: Any = import_module("torch")
        self.transformers: Any = import_module("transformers")
        self.device = setting.device
        dtype = self.torch.float32 if self.device == "cpu" else self.torch.float16
        folder = setting.scratch / CHECKPOINT
        loaded = self.transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        self.model = loaded.eval().to(self.device)
        self.cache: Any = None

    def prefill(self, ids: Sequence[int]) -> int:
        self.cache = self.transformers.DynamicCache()
        return self.fed(list(ids))

    def step(self, token: int) -> int:
        return self.fed([token])

    def fed(self, ids: list[int]) -> int:
        """Run these tokens without a compiler."""
        with self.torch.no_grad():
            return int(self.next(self.torch.tensor([ids], device=self.device)))

    def next(self, ids: Any) -> Any:
        """(1, T) tokens → (1,) the most probable next."""
        answer = self.model(ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        return answer.logits[:, -1].argmax(-1)


class CompiledTorch(Torch):
    """torch.compile with a static cache and CUDA graphs, as transformers documents it."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.cache = self.transformers.StaticCache(
            config=self.model.config, max_cache_len=setting.capacity
        )
        self._compiled: Any = self.torch.compile(
            self.next, mode="reduce-overhead", fullgraph=True, dynamic=False
        )

    def prefill(self, ids: Sequence[int]) -> int:
        self.cache.reset()
        return self.fed(list(ids))

    def step(self, token: int) -> int:
        self.torch.compiler.cudagraph_mark_step_begin()
        with self.torch.no_grad():
            return int(self._compiled(self.torch.tensor([[token]], device=self.device)))


class CapturedTorch(CompiledTorch):
    """The same model's eager kernels in one CUDA graph: no compiler, no host between them."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._fed = self.torch.zeros((1, 1), dtype=self.torch.int64, device=self.device)
        self._told: Any = None
        self._captured: Any = None

    def step(self, token: int) -> int:
        if self._captured is None:
            return self._capture(token)
        self._fed.fill_(token)
        self._captured.replay()
        return int(self._told)

    def _capture(self, token: int) -> int:
        """The first step is an eager one; then the next is captured, which runs nothing."""
        chosen = self.fed([token])
        made = self.torch.cuda.CUDAGraph()
        with self.torch.no_grad(), self.torch.cuda.graph(made):
            self._told = self.next(self._fed)
        self._captured = made
        return chosen


class GenAi:
    """onnxruntime-genai on what its model builder makes of the same weights, in int4."""

    def __init__(self, setting: Setting, captures: bool = True) -> None:
        self._genai: Any = import_module("onnxruntime_genai")
        folder = setting.scratch / GENAI.format(device=setting.device)
        config = self._genai.Config(str(folder))
        if setting.device == "cuda":
            config.set_provider_option("cuda", "enable_cuda_graph", str(int(captures)))
        self._model = self._genai.Model(config)
        self._capacity = setting.capacity
        self._generator: Any = None

    def prefill(self, ids: Sequence[int]) -> int:
        wanted = self._genai.GeneratorParams(self._model)
        wanted.set_search_options(max_length=self._capacity, min_length=0, do_sample=False)
        self._generator = None  # a captured graph serves one at a time
        self._generator = self._genai.Generator(self._model, wanted)
        self._generator.append_tokens(np.asarray([ids], np.int32))
        return self._next()

    def step(self, token: int) -> int:
        return self._next()  # it has appended its own choice

    def _next(self) -> int:
        self._generator.generate_next_token()
        return int(self._generator.get_next_tokens()[0])


RIVALS: dict[str, Callable[[Setting], Rival]] = {
    "autocoder": Ours,
    "torch eager": Torch,
    "torch, one CUDA graph": CapturedTorch,
    "torch.compile, static cache, CUDA graphs": CompiledTorch,
    "onnxruntime-genai int4, no CUDA graph": lambda setting: GenAi(setting, captures=False),
    "onnxruntime-genai int4": GenAi,
}


def make(setting: Setting, wanted: Sequence[str]) -> None:
    """The checkpoint that the others start from, and onnxruntime-genai's own folder."""
    checkpoint = setting.scratch / CHECKPOINT
    if not checkpoint.is_dir():
        write_checkpoint(read(setting.folder), checkpoint)
    out = setting.scratch / GENAI.format(device=setting.device)
    if "onnxruntime-genai int4" not in wanted or out.is_dir():
        return
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    cache = ["-c", str(setting.scratch / "cache")]
    what = ["-i", str(checkpoint), "-o", str(out), "-p", "int4", "-e", setting.device, *cache]
    subprocess.run([*builder, *what, "--extra_options", *GENAI_GRID], check=True)


def timed(name: str, setting: Setting, ids: list[int], tokens: int, rounds: int) -> dict[str, Any]:
    """Medians over the rounds; one more warms up, compiles and captures."""
    started = perf_counter()
    engine = RIVALS[name](setting)
    said, *took = [one_round(engine, ids, tokens) for _ in range(rounds + 1)]
    prefills, steps = zip(*((prefill, steps) for _, prefill, steps in took), strict=True)
    each = sorted(chain.from_iterable(steps))
    return {
        "engine": name,
        "context": len(ids),
        "prefill_ms": round(statistics.median(prefills), 2),
        "decode_ms": round(statistics.median(map(statistics.mean, steps)), 3),
        "decode_p95_ms": round(each[round(0.95 * (len(each) - 1))], 3),
        "first_tokens": said[0][:ALIKE],
        "seconds": round(perf_counter() - started, 1),
    }


def one_round(engine: Rival, ids: list[int], tokens: int) -> tuple[list[int], float, list[float]]:
    """What it said, and the milliseconds of the prefill and of each token behind it."""
    started = perf_counter()
    said, took = [engine.prefill(ids)], []
    prefilled = now = perf_counter()
    for _ in range(tokens):
        said.append(engine.step(said[-1]))
        now, before = perf_counter(), now
        took.append(1000 * (now - before))
    return said, 1000 * (prefilled - started), took


def main() -> None:
    """Make what is needed, or time the engines. One that cannot run says why in its line."""
    options = parser().parse_args()
    capacity = options.context + options.tokens + 8
    setting = Setting(options.folder, options.scratch, capacity, options.device)
    if options.make:
        make(setting, options.only)
        return
    ids = text_ids(options.folder, options.context)
    for name in options.only:
        try:
            row = timed(name, setting, ids, options.tokens, options.rounds)
        except Exception as error:  # the outer edge: the others are still to be measured
            row = {"engine": name, "error": f"{type(error).__name__}: {error}"[:600]}
        print(json.dumps(row), flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("folder", nargs="?", type=Path, default=bundled(), help="model folder")
    made.add_argument("--scratch", type=Path, required=True, help="converted models are kept here")
    made.add_argument("--make", action="store_true", help="write them, and measure nothing")
    made.add_argument("--only", nargs="+", choices=list(RIVALS), default=list(RIVALS))
    made.add_argument("--context", type=int, default=512, help="tokens (512)")
    made.add_argument("--tokens", type=int, default=32, help="tokens decoded per round (32)")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    return made


if __name__ == "__main__":
    main()
