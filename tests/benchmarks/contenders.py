"""The same model behind one face in several engines: ids in, the most probable next id out.

Each contender does what its own documentation recommends for one sequence on a CPU, and the same
number of threads. Each is imported only when it is asked for. Knows no clock; `compare.py` times.
"""

import ctypes
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import gguf
import numpy as np
from checkpoint import write_checkpoint
from folder_weights import Decoder, read
from numpy.typing import NDArray

Row = NDArray[np.float32]  # (V,) logits


class Contender(Protocol):
    """One engine with one sequence."""

    def prefill(self, ids: Sequence[int]) -> Row:
        """Forget everything, take a prompt; the logits behind its last token."""
        ...

    def step(self, token: int) -> Row:
        """Append one token; the logits behind it."""
        ...


@dataclass(frozen=True)
class Setting:
    """What every contender gets: the model folder, its weights, room, and a scratch folder."""

    folder: Path
    decoder: Decoder
    capacity: int
    threads: int
    scratch: Path

    @staticmethod
    def of(folder: Path, capacity: int, threads: int, scratch: Path) -> "Setting":
        return Setting(folder, read(folder), capacity, threads, scratch)

    def checkpoint(self) -> Path:
        """The weights as a Hugging Face checkpoint in float32, written once."""
        path = self.scratch / "checkpoint"
        return path if path.is_dir() else write_checkpoint(self.decoder, path)


class Ours:
    """The daemon's engine and session as they are; `chunk` tokens a pass in prefill."""

    def __init__(self, setting: Setting, chunk: int | None = None) -> None:
        from autocoder.clients.bench.passes import go_on, open_model
        from autocoder.daemon.engine import Engine

        model = open_model(setting.folder, "cpu", setting.threads, setting.capacity)
        self._engine = Engine(model.graph, sequences=1, chunk=chunk or model.chunk)
        self._go_on = go_on
        self._sequence: Any = None

    def prefill(self, ids: Sequence[int]) -> Row:
        if self._sequence is not None:
            self._sequence.rewind(0)
        self._sequence, _, row = self._engine.prefill(ids, self._go_on)
        return row

    def step(self, token: int) -> Row:
        row: Row = self._sequence.extend([token], self._go_on)
        return row


class LlamaCpp:
    """llama.cpp by its C interface: flash attention, batches of 512, logits of the last token."""

    def __init__(self, setting: Setting, kind: str) -> None:
        import llama_cpp as llama

        path = gguf.write(setting.decoder, setting.scratch / f"{kind}.gguf", kind)
        self._llama, self._vocabulary = llama, setting.decoder.architecture.vocab
        self._quiet = llama.llama_log_callback(lambda *_: None)  # kept: C holds on to it
        llama.llama_log_set(self._quiet, ctypes.c_void_p(0))
        llama.llama_backend_init()
        self._model = llama.llama_model_load_from_file(
            str(path).encode(), llama.llama_model_default_params()
        )
        wanted = llama.llama_context_default_params()
        wanted.n_ctx, wanted.n_batch, wanted.n_ubatch = setting.capacity, 512, 512
        wanted.n_threads = wanted.n_threads_batch = setting.threads
        wanted.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_ENABLED
        wanted.no_perf = True
        self._context = llama.llama_init_from_model(self._model, wanted)
        if not self._context:
            raise SystemExit(f"llama.cpp cannot serve {path}")

    def prefill(self, ids: Sequence[int]) -> Row:
        self._llama.llama_memory_clear(self._llama.llama_get_memory(self._context), False)
        for start in range(0, len(ids), 512):
            row = self._decode(ids[start : start + 512])
        return row

    def step(self, token: int) -> Row:
        return self._decode([token])

    def _decode(self, ids: Sequence[int]) -> Row:
        tokens = (self._llama.llama_token * len(ids))(*ids)
        status = self._llama.llama_decode(
            self._context, self._llama.llama_batch_get_one(tokens, len(ids))
        )
        if status:
            raise SystemExit(f"llama_decode failed with {status}")
        logits = self._llama.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(logits, (self._vocabulary,))


class GenAi:
    """onnxruntime-genai on what its model builder makes of the same weights (int4, CPU)."""

    def __init__(self, setting: Setting) -> None:
        import onnxruntime_genai as genai

        self._genai = genai
        folder = self._configured(setting)
        self._model = genai.Model(str(folder))
        self._capacity = setting.capacity
        self._generator: Any = None

    @staticmethod
    def _configured(setting: Setting) -> Path:
        """The folder that `genai_model.py` made in the scratch folder, its threads set."""
        folder = setting.scratch / "genai"
        if not folder.is_dir():
            raise SystemExit(f"no {folder}; make it with tests/benchmarks/genai_model.py")
        path = folder / "genai_config.json"
        config = json.loads(path.read_text())
        options = config["model"]["decoder"]["session_options"]
        options["intra_op_num_threads"] = setting.threads
        path.write_text(json.dumps(config))
        return folder

    def prefill(self, ids: Sequence[int]) -> Row:
        wanted = self._genai.GeneratorParams(self._model)
        wanted.set_search_options(max_length=self._capacity, do_sample=False)
        self._generator = self._genai.Generator(self._model, wanted)
        self._generator.append_tokens(np.asarray([ids], np.int32))
        return self._row()

    def step(self, token: int) -> Row:
        self._generator.append_tokens(np.asarray([[token]], np.int32))
        return self._row()

    def _row(self) -> Row:
        row: Row = np.asarray(self._generator.get_logits()).reshape(-1)
        return row


class Torch:
    """transformers' LlamaForCausalLM in float32: eager with a growing cache."""

    def __init__(self, setting: Setting) -> None:
        import torch
        from transformers import AutoModelForCausalLM, DynamicCache

        torch.set_num_threads(setting.threads)
        self._torch, self._new_cache = torch, DynamicCache
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            setting.checkpoint(), dtype=torch.float32
        ).eval()
        self._cache: Any = None

    def prefill(self, ids: Sequence[int]) -> Row:
        self._cache = self._new_cache()
        return self._feed(list(ids))

    def step(self, token: int) -> Row:
        return self._feed([token])

    def _feed(self, ids: list[int]) -> Row:
        with self._torch.inference_mode():
            answer = self._model(
                self._torch.tensor([ids]), past_key_values=self._cache, logits_to_keep=1
            )
        row: Row = answer.logits[0, -1].numpy()
        return row


class CompiledTorch:
    """The same with torch.compile and a static cache, as transformers documents it."""

    def __init__(self, setting: Setting) -> None:
        import torch
        from transformers import AutoModelForCausalLM, StaticCache

        torch.set_num_threads(setting.threads)
        self._torch = torch
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            setting.checkpoint(), dtype=torch.float32
        ).eval()
        self._compiled: Any = torch.compile(self._model.forward, dynamic=False)
        self._cache: Any = StaticCache(config=self._model.config, max_cache_len=setting.capacity)
        self._length = 0

    def prefill(self, ids: Sequence[int]) -> Row:
        self._cache.reset()
        self._length = 0
        return self._feed(list(ids))

    def step(self, token: int) -> Row:
        return self._feed([token])

    def _feed(self, ids: list[int]) -> Row:
        torch, end = self._torch, self._length + len(ids)
        with torch.no_grad():
            answer = self._compiled(
                torch.tensor([ids]),
                past_key_values=self._cache,
                cache_position=torch.arange(self._length, end),
                logits_to_keep=1,
            )
        self._length = end
        row: Row = answer.logits[0, -1].numpy()
        return row


class Optimum:
    """The plain export of optimum in float32, run by its own ORTModelForCausalLM."""

    def __init__(self, setting: Setting) -> None:
        import onnxruntime
        import torch
        from optimum.onnxruntime import ORTModelForCausalLM

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = setting.threads
        options.log_severity_level = 3
        self._torch = torch
        self._model: Any = ORTModelForCausalLM.from_pretrained(
            setting.checkpoint(), export=True, session_options=options
        )
        self._past: Any = None
        self._length = 0

    def prefill(self, ids: Sequence[int]) -> Row:
        self._past, self._length = None, 0
        return self._feed(list(ids))

    def step(self, token: int) -> Row:
        return self._feed([token])

    def _feed(self, ids: list[int]) -> Row:
        torch, end = self._torch, self._length + len(ids)
        answer = self._model(
            torch.tensor([ids]),
            attention_mask=torch.ones((1, end), dtype=torch.int64),
            position_ids=torch.arange(self._length, end)[None],
            past_key_values=self._past,
            use_cache=True,
        )
        self._past, self._length = answer.past_key_values, end
        row: Row = answer.logits[0, -1].numpy()
        return row


CONTENDERS: dict[str, Callable[[Setting], Contender]] = {
    "autocoder": Ours,
    "autocoder, one pass": lambda setting: Ours(setting, chunk=setting.capacity),
    "llama.cpp Q4_0": lambda setting: LlamaCpp(setting, "q4_0"),
    "llama.cpp Q8_0": lambda setting: LlamaCpp(setting, "q8_0"),
    "onnxruntime-genai int4": GenAi,
    "torch eager": Torch,
    "torch.compile, static cache": CompiledTorch,
    "optimum ORTModelForCausalLM": Optimum,
}


def opened(names: Sequence[str], setting: Setting) -> Iterator[tuple[str, Contender]]:
    """The contenders by name. Raises SystemExit where one's packages are not installed."""
    for name in names:
        try:
            yield name, CONTENDERS[name](setting)
        except ImportError as error:
            raise SystemExit(
                f"{name}: {error}; `pip install -r tests/benchmarks/requirements.txt`, "
                "or leave it out with --only"
            ) from error
