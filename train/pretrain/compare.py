"""`autocoder train compare`: which architecture, which size — by equal time on your own corpus.

GPT-2-type against Llama-type in several sizes: each trains for the same number of seconds on the
same windows with the same optimisers and the same schedule over its own time, then is measured on
the dev shard. Writes a Markdown table and the same as JSON. Knows the pieces of pre-training;
keeps no weights.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from autocoder.daemon.errors import AutocoderError
from autocoder.daemon.prompt import PromptBuilder
from autocoder.train.pretrain import recipe as recipes
from autocoder.train.pretrain.bits import bits_per_byte
from autocoder.train.pretrain.command import add_data, place_of_process, source_of
from autocoder.train.pretrain.loop import optimisers
from autocoder.train.pretrain.model import CodeModel, ModelConfig, losses
from autocoder.train.pretrain.order import batches
from autocoder.train.pretrain.prepare import texts_by_language
from autocoder.train.pretrain.reference import gpt2
from autocoder.train.pretrain.samples import form_of
from autocoder.train.pretrain.vocabulary import read_tokenizer

WARM_UP, DECAY = 0.08, 0.3  # shares of the time
SIZES = ((384, 6), (512, 8), (640, 10))  # hidden size, layers; heads of 64
KINDS: dict[str, Callable[[ModelConfig], nn.Module]] = {"gpt2": gpt2, "llama": CodeModel}


@dataclass(frozen=True)
class Result:
    """What one architecture reached in its time."""

    kind: str
    parameters: int
    layers: int
    hidden: int
    tokens: int
    seconds: float
    bits_per_byte: dict[str, float]


def main(arguments: Sequence[str]) -> int:
    """Train and measure every architecture; returns the exit status."""
    options = _parser().parse_args(arguments)
    recipe = recipes.load(options.recipe)
    device = place_of_process().device
    torch.set_float32_matmul_precision("high")
    source = source_of(options, recipe)
    tokenizer = read_tokenizer(options.tokenizer, recipe.model.vocab_size)
    builder = PromptBuilder(tokenizer, form_of(recipe.mixture))
    texts = texts_by_language([options.dev], options.dev_bytes)
    results = []
    for hidden, layers in _sizes(options.sizes):
        for kind in KINDS:
            config = shaped(recipe.model, hidden, layers)
            rows = cycle(batches(source, recipe.training.batch))
            result = run(kind, config, recipe, rows, options.seconds, device, texts, builder)
            results.append(result)
            print(row(result), flush=True)
            options.out.mkdir(parents=True, exist_ok=True)
            write(results, options.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="autocoder train compare", description=__doc__)
    add_data(parser)
    parser.add_argument("--dev", type=Path, required=True, help="shard to measure on")
    parser.add_argument("--dev-bytes", type=int, default=300_000, help="of each language")
    parser.add_argument("--seconds", type=float, default=60, help="of training, for each")
    parser.add_argument("--sizes", default="", help="HIDDENxLAYERS,… (384x6,512x8,640x10)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the table")
    return parser


def _sizes(text: str) -> Sequence[tuple[int, int]]:
    pairs = [part.split("x") for part in text.split(",") if part]
    return [(int(hidden), int(layers)) for hidden, layers in pairs] or SIZES


def shaped(config: ModelConfig, hidden: int, layers: int) -> ModelConfig:
    """A config of another size: the same head size, SwiGLU 2.8 times as wide as the model."""
    heads = max(1, hidden // config.head_dim)
    kv_heads = 2 if heads % 2 == 0 else 1
    wide = max(32, round(2.8 * hidden / 64) * 64)
    return replace(
        config,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=wide,
    )


def run(
    kind: str,
    config: ModelConfig,
    recipe: recipes.Recipe,
    batches: Iterator[NDArray[np.uint16]],
    seconds: float,
    device: torch.device,
    texts: dict[str, list[str]],
    builder: PromptBuilder,
) -> Result:
    """Train one architecture for `seconds` (compiling not counted) and measure it."""
    torch.manual_seed(0)
    model = KINDS[kind](config).to(device)
    tokens, spent = train(model, recipe, batches, seconds, device)
    model.eval()
    length = recipe.data.length
    bits = {
        language: round(bits_per_byte(model, some, language, builder, length=length, batch=8), 4)
        for language, some in sorted(texts.items())
    }
    count = sum(p.numel() for p in model.parameters())
    return Result(kind, count, _layers(model), config.hidden_size, tokens, round(spent, 1), bits)


def _layers(model: nn.Module) -> int:
    blocks = [name for name, part in model.named_modules() if name.split(".")[-1].isdigit()]
    return len(blocks)


def train(
    model: nn.Module,
    recipe: recipes.Recipe,
    batches: Iterator[NDArray[np.uint16]],
    seconds: float,
    device: torch.device,
) -> tuple[int, float]:
    """Steps until the time is over; tokens and seconds. The learning rate follows the clock."""
    training, fast = recipe.training, device.type == "cuda"
    chosen = optimisers(model, training, fast)

    def loss(windows: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            return losses(model, windows).mean()

    compiled = torch.compile(loss) if fast else loss
    began, tokens = time.perf_counter(), 0
    for number, rows in enumerate(batches):
        if number == 2:  # compiled by now
            _wait(device)
            began, tokens = time.perf_counter(), 0
        spent = time.perf_counter() - began
        if number > 2 and spent >= seconds:
            break
        share = rate_share(spent / seconds if number > 2 else 0.0)
        windows = torch.from_numpy(rows.astype(np.int64)).to(device)
        for part in windows.split(training.micro_batch):
            (compiled(part) * (len(part) / len(windows))).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip, foreach=True)
        for optimiser in chosen:
            for group in optimiser.param_groups:
                group["lr"] = group["peak_lr"] * share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        tokens += rows.shape[0] * (rows.shape[1] - 1)
        _wait(device)
    return tokens, time.perf_counter() - began


def rate_share(done: float) -> float:
    """The learning rate's share of its peak when `done` (0…1) of the time has passed."""
    return max(0.0, min((done + 0.002) / WARM_UP, 1.0, (1 - done) / DECAY))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def row(result: Result) -> str:
    bits = " | ".join(f"{value:.3f}" for value in result.bits_per_byte.values())
    return (
        f"| {result.kind} | {result.parameters / 1e6:.1f} M | {result.layers} × {result.hidden} "
        f"| {result.tokens / 1e6:.0f} M | {result.tokens / result.seconds:,.0f} | {bits} |"
    )


def write(results: Sequence[Result], folder: Path) -> None:
    """comparison.md and comparison.json."""
    languages = list(results[0].bits_per_byte)
    head = ["type", "parameters", "layers × hidden", "tokens", "tokens/s"]
    head += [f"bits per byte, {language}" for language in languages]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *map(row, results)]
    (folder / "comparison.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    records = [asdict(result) for result in results]
    (folder / "comparison.json").write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AutocoderError as error:
        sys.exit(f"autocoder train compare: {error}")
