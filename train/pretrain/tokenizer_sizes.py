"""`autocoder train tokenizer-sizes`: how large a vocabulary pays, in bytes per token and in time.

Merges are learnt one after the other, so one training at the largest size gives every smaller one:
its first merges. A larger vocabulary makes fewer tokens of the same text and a slower head (its
int4 product runs at every token). Time per byte puts the two together: the rest of the shipped
model's pass, measured in the same run, plus the head of each size, over the bytes of a token.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

from autocoder.daemon import model_folder
from autocoder.daemon.errors import ConfigError
from autocoder.export.decoder_session import DecoderSession, options
from autocoder.export.graph import MICROSOFT
from autocoder.export.quantise import BLOCK, quantise
from autocoder.train.pretrain.prepare import texts_by_language
from autocoder.train.pretrain.tokenizer import (
    BYTES,
    RESERVED,
    bytes_per_token,
    texts_of,
    train,
    warn_if_short,
)

SIZES = (16_384, 24_576, 32_768, 49_152)
CONTEXT = 512  # tokens before the measured pass
ROUNDS, PASSES = 9, 20


@dataclass(frozen=True)
class Row:
    """One size. Times are medians in milliseconds; `head_mib` as shipped, in 4 bits."""

    vocabulary: int
    bytes_per_token: dict[str, float]
    head_mib: float
    head_ms: float
    pass_ms: float
    microseconds_per_byte: float


def main(arguments: Sequence[str]) -> int:
    """Train, measure and print a Markdown table (or JSON); returns the exit status."""
    parser = argparse.ArgumentParser(prog="autocoder train tokenizer-sizes", description=__doc__)
    parser.add_argument("sample", type=Path, help="JSONL with a `text` in each line")
    parser.add_argument("--dev", type=Path, required=True, help="shard to count bytes per token on")
    parser.add_argument("--dev-bytes", type=int, default=1_000_000, help="of each language")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="vocabularies")
    parser.add_argument("--hidden", type=int, default=640, help="width of the model")
    parser.add_argument("--model", type=Path, help="model folder to time (default: the bundled)")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    rows = measure(chosen)
    print(json.dumps([asdict(row) for row in rows]) if chosen.json else table(rows))
    return 0


def measure(chosen: argparse.Namespace) -> list[Row]:
    largest = train(texts_of(chosen.sample), max(chosen.sizes))
    wanted = reached(chosen.sizes, largest.get_vocab_size())
    texts = texts_by_language([chosen.dev], chosen.dev_bytes)
    found = {
        size: {
            language: bytes_per_token(shortened(largest, size), some)
            for language, some in sorted(texts.items())
        }
        for size in wanted
    }
    model = model_folder.load(chosen.model)
    own = model.architecture.vocab
    sizes = sorted({*wanted, own})
    steps = {size: head_step(size, chosen.hidden) for size in sizes}
    times = interleaved({"whole": whole_step(model), **{str(s): steps[s] for s in sizes}})
    rest = times["whole"] - times[str(own)]
    return [row(size, found[size], chosen.hidden, times[str(size)], rest) for size in wanted]


def reached(sizes: Sequence[int], largest: int) -> list[int]:
    """The sizes that the training came to. Raises ConfigError where that is none of them."""
    warn_if_short(largest, max(sizes))
    found = [size for size in sizes if size <= largest]
    if not found or min(sizes) < RESERVED + BYTES:
        raise ConfigError(
            f"no vocabulary of {', '.join(map(str, sizes))} can be measured: give --sizes from "
            f"{RESERVED + BYTES} to {largest}, or a larger sample"
        )
    return found


def row(size: int, found: dict[str, float], hidden: int, head: float, rest: float) -> Row:
    mean = statistics.fmean(found.values())
    bits = 4 + 16 / BLOCK
    return Row(
        size,
        {language: round(value, 3) for language, value in found.items()},
        round(size * hidden * bits / 8 / 2**20, 2),
        round(head, 3),
        round(rest + head, 3),
        round(1000 * (rest + head) / mean, 1),
    )


def shortened(tokenizer: Tokenizer, size: int) -> Tokenizer:
    """The tokenizer with only the merges that a training to `size` tokens would have learnt."""
    record = json.loads(tokenizer.to_str())
    model = record["model"]
    model["vocab"] = {token: number for token, number in model["vocab"].items() if number < size}
    model["merges"] = model["merges"][: max(0, size - RESERVED - BYTES)]
    return Tokenizer.from_str(json.dumps(record))


def head_step(vocabulary: int, hidden: int) -> Callable[[], object]:
    """One token through a head of random int4 weights, as the CPU's graph computes it."""
    grid = quantise(np.random.default_rng(0).normal(0, 0.02, (vocabulary, hidden)))
    node = helper.make_node(
        "MatMulNBits",
        ["x", "packed", "scales"],
        ["logits"],
        domain=MICROSOFT,
        K=hidden,
        N=vocabulary,
        bits=4,
        block_size=BLOCK,
        accuracy_level=4,
    )
    scales = grid.scales.astype(np.float32)
    stored = [
        numpy_helper.from_array(value, name)
        for name, value in (("packed", grid.packed), ("scales", scales))
    ]
    shape = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "head",
        [shape("x", TensorProto.FLOAT, [1, 1, hidden])],
        [shape("logits", TensorProto.FLOAT, [1, 1, vocabulary])],
        stored,
    )
    versions = [helper.make_opsetid("", 20), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=10)
    session = ort.InferenceSession(
        model.SerializeToString(), options(), providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(1).normal(size=(1, 1, hidden)).astype(np.float32)
    return lambda: session.run(None, {"x": x})


def whole_step(model: model_folder.ModelFolder) -> Callable[[], object]:
    """One token through the whole model behind a full context."""
    session = DecoderSession(model.graph("cpu"), CONTEXT + 8)
    ids = np.random.default_rng(2).integers(32, model.architecture.vocab, CONTEXT).tolist()
    session.feed(ids, [CONTEXT - 1])
    return lambda: session.feed([ids[0]], at=CONTEXT)


def interleaved(steps: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each step; rounds take turns, so that other load falls on all."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            step()
            began = perf_counter()
            for _ in range(PASSES):
                step()
            times[name].append(1000 * (perf_counter() - began) / PASSES)
    return {name: statistics.median(values) for name, values in times.items()}


def table(rows: Sequence[Row]) -> str:
    languages = list(rows[0].bytes_per_token)
    head = ["vocabulary", *(f"bytes per token, {name}" for name in languages)]
    head += ["head, MiB", "head, ms", "whole pass, ms", "µs per byte"]
    lines = [f"| {' | '.join(head)} |", f"|{' ---: |' * len(head)}"]
    for each in rows:
        found = " | ".join(f"{each.bytes_per_token[name]:.2f}" for name in languages)
        lines.append(
            f"| {each.vocabulary:,} | {found} | {each.head_mib:.1f} | {each.head_ms:.2f} "
            f"| {each.pass_ms:.2f} | {each.microseconds_per_byte:.0f} |"
        )
    return "\n".join(lines)
