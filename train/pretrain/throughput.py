"""`autocoder train throughput`: tokens a second of our training step beside plain transformers'.

The same shape, batch and window length for all: transformers' Llama with torch.compile and fused
AdamW; our model and step (Muon) with attention over the whole window; the same within documents.
Random tokens, a control code every few hundred, as packing gives them. Under `torchrun` the figures
are those of all GPUs together. Knows the trainer; measures nothing of quality.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from autocoder.daemon.errors import AutocoderError
from autocoder.train.pretrain import recipe as recipes
from autocoder.train.pretrain.command import place_of_process
from autocoder.train.pretrain.loop import Place, Trainer
from autocoder.train.pretrain.model import CodeModel, losses
from autocoder.train.pretrain.reference import llama

CONTROL = 1
DOCUMENT_TOKENS = 330  # of a packed sample, on average
VARIANTS = ("transformers", "window", "documents")
Step = Callable[[NDArray[np.uint16]], object]


def main(arguments: Sequence[str]) -> int:
    """Print a table (or JSON); returns the exit status, 1 where a variant fails."""
    options = _parser().parse_args(arguments)
    recipe = recipes.load(options.recipe)
    place = place_of_process()
    torch.set_float32_matmul_precision("high")
    rates: dict[str, float] = {}
    for name in options.variants.split(","):
        try:
            step = _step(name, recipe, place)
            rates[name] = rate(step, recipe, place, options.warm_up, options.steps)
        except Exception as error:  # a variant that a GPU or a library cannot run is a result too
            print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
            rates[name] = 0.0
    if place.leads:
        print(json.dumps(_record(rates, place)) if options.json else _table(rates, place))
    if dist.is_initialized():
        dist.destroy_process_group()
    return 0 if all(rates.values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="autocoder train throughput", description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True, help="TOML, see train/recipes/")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="which, comma separated")
    parser.add_argument("--warm-up", type=int, default=8, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=20, help="steps on the clock")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser


def _step(name: str, recipe: recipes.Recipe, place: Place) -> Step:
    torch.manual_seed(0)
    if name == "transformers":
        return plain_step(recipe, place)
    training = replace(recipe.training, within_documents=name == "documents")
    recipe = replace(recipe, training=training)
    out = Path(tempfile.gettempdir())
    return Trainer(CodeModel(recipe.model), recipe, place, out, (CONTROL,)).one_step


def plain_step(recipe: recipes.Recipe, place: Place) -> Step:
    """One step of transformers' model: compiled, bf16 autocast, fused AdamW, DDP where several."""
    model: torch.nn.Module = llama(recipe.model).to(place.device)
    fast = place.device.type == "cuda"
    if place.world > 1:
        model = torch.nn.parallel.DistributedDataParallel(model)
    adam = torch.optim.AdamW(model.parameters(), recipe.training.adam_lr, fused=fast)

    def loss(windows: torch.Tensor) -> torch.Tensor:
        with torch.autocast(place.device.type, torch.bfloat16, enabled=fast):
            return losses(model, windows).mean()

    compiled = torch.compile(loss) if fast else loss

    def step(rows: NDArray[np.uint16]) -> None:
        windows = torch.from_numpy(rows.astype(np.int64)).to(place.device)
        for part in windows.split(recipe.training.micro_batch):
            (compiled(part) * (len(part) / len(windows))).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.training.clip, foreach=True)
        adam.step()
        adam.zero_grad(set_to_none=True)

    return step


def rate(step: Step, recipe: recipes.Recipe, place: Place, warm_up: int, steps: int) -> float:
    """Tokens a second of all processes together."""
    rows = random_windows(recipe, recipe.training.batch // place.world)
    for _ in range(warm_up):
        step(next(rows))
    _wait(place)
    began = time.perf_counter()
    for _ in range(steps):
        step(next(rows))
    _wait(place)
    tokens = steps * recipe.training.batch * recipe.data.length
    return tokens / (time.perf_counter() - began)


def random_windows(recipe: recipes.Recipe, count: int) -> Iterator[NDArray[np.uint16]]:
    """Batches of (count, length + 1) tokens with documents of geometric length in them."""
    chance = np.random.default_rng(0)
    while True:
        shape = (count, recipe.data.length + 1)
        rows = chance.integers(CONTROL + 1, recipe.model.vocab_size, shape, dtype=np.uint16)
        rows[chance.random(shape) < 1 / DOCUMENT_TOKENS] = CONTROL
        rows[:, 0] = CONTROL
        yield rows


def _wait(place: Place) -> None:
    if place.device.type == "cuda":
        torch.cuda.synchronize()
    if place.world > 1:
        dist.barrier()


def _record(rates: dict[str, float], place: Place) -> dict[str, object]:
    device = torch.cuda.get_device_name() if place.device.type == "cuda" else "CPU"
    return {"device": device, "processes": place.world, "tokens_per_s": rates}


def _table(rates: dict[str, float], place: Place) -> str:
    first = next(iter(rates.values())) or float("nan")
    device = _record(rates, place)["device"]
    lines = [f"| {place.world} × {device} | tokens/s | ratio |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {value:,.0f} | {value / first:.2f} |" for name, value in rates.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AutocoderError as error:
        sys.exit(f"autocoder train throughput: {error}")
