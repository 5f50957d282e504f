"""Weights onto the 4-bit grid one column after another, each error made good by the columns left.

Rounding to the nearest value of the grid treats every weight alike. GPTQ (Frantar et al., "GPTQ:
Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2023) rounds a
matrix's columns in turn and moves those that are still to come so that its outputs on real inputs
change least. Layers are taken in order, each with the inputs that the layers below, already
rounded, give it. The values lie on the very grid of `export/quantise.py`: exporting them again
changes nothing. For weights that were not trained through the grid to their end, as means of
several checkpoints are; those that were lose nothing by plain rounding.

    python -m autocoder.train.pretrain.gptq CHECKPOINT OUT --windows WINDOWS

Knows Llama-type checkpoints and windows of token ids; knows no text.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autocoder.daemon.errors import AutocoderError, ConfigError

LEVELS = 8  # below zero; the largest weight of a block lies at the lowest
SHRUNK = tuple(1 - step / 50 for step in range(11))  # scales that are tried, of the plain one
DAMPING = 0.01  # of the mean of the Hessian's diagonal
LAZY = 128  # columns whose errors are handed on together


def on_grid(weight: Tensor, hessian: Tensor, block: int) -> Tensor:
    """An (N, K) matrix on the grid; `hessian` (K, K) is the sum of x xᵀ over its inputs x."""
    weight = weight.clone()
    inverse = _inverse_root(hessian)
    found = torch.empty_like(weight)
    for start in range(0, weight.shape[1], LAZY):
        stop = min(start + LAZY, weight.shape[1])
        errors = torch.empty_like(weight[:, start:stop])
        for at in range(start, stop):
            if at % block == 0:
                scale, largest = _scales(
                    weight[:, at : at + block], hessian.diagonal()[at : at + block]
                )
            column = _rounded(weight[:, at], scale, largest == at % block)
            error = (weight[:, at] - column) / inverse[at, at]
            weight[:, at + 1 : stop] -= error[:, None] * inverse[at, at + 1 : stop]
            found[:, at], errors[:, at - start] = column, error
        weight[:, stop:] -= errors @ inverse[start:stop, stop:]
    return found


def _rounded(column: Tensor, scale: Tensor, lowest: Tensor) -> Tensor:
    """A column's nearest values; where it holds its block's largest weight, the lowest level."""
    steps = (column / scale).round().clamp(-LEVELS, LEVELS - 1)
    steps = torch.where(lowest, torch.full_like(steps, -LEVELS), steps)
    return steps.nan_to_num(0.0) * scale


def _scales(weights: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """The scale (N,) of each row of a block, and where its largest weight is.

    Of scales a little below the plain one, that with the least error weighed by `importance`.
    """
    largest = weights.abs().argmax(1)
    plain = weights.gather(1, largest[:, None])[:, 0] / -LEVELS
    best = torch.full_like(plain, torch.inf)
    found = plain
    for factor in SHRUNK:
        scale = (plain * factor).half().float()
        values = (weights / scale[:, None]).round().clamp(-LEVELS, LEVELS - 1) * scale[:, None]
        error = ((weights - values.nan_to_num(0.0)) ** 2 * importance).sum(1)
        found, best = torch.where(error < best, scale, found), torch.minimum(error, best)
    return found, largest


def _inverse_root(hessian: Tensor) -> Tensor:
    """The upper Cholesky factor of the damped Hessian's inverse. (K, K)"""
    hessian = hessian.double()
    damped = hessian + DAMPING * hessian.diagonal().mean() * torch.eye(len(hessian))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True).float()


@torch.no_grad()
def quantised(model: Any, windows: Tensor, block: int) -> None:
    """Put all matrices of a Llama-type `model` on the grid, with `windows` (W, L) as inputs."""
    states = [model.model.embed_tokens(window[None]) for window in windows]
    places = torch.arange(windows.shape[1])[None]
    turns = model.model.rotary_emb(states[0], places)
    for number, layer in enumerate(model.model.layers):
        names = [name for name, part in layer.named_modules() if isinstance(part, nn.Linear)]
        hessians = _hessians(layer, names, states, turns)
        for name in names:
            part = layer.get_submodule(name)
            part.weight.copy_(on_grid(part.weight.float(), hessians[name], block))
        states = [_through(layer, state, turns) for state in states]
        print(f"layer {number + 1} of {len(model.model.layers)}", file=sys.stderr)
    head = sum(_outer(model.model.norm(state)) for state in states)
    shared = model.model.embed_tokens.weight
    shared.copy_(on_grid(shared.float(), head, block))


def _through(layer: nn.Module, state: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    found = layer(state, position_embeddings=turns, attention_mask=None)
    return found[0] if isinstance(found, tuple) else found  # transformers 4 and 5


def _hessians(
    layer: nn.Module, names: Sequence[str], states: Sequence[Tensor], turns: tuple[Tensor, Tensor]
) -> dict[str, Tensor]:
    """The sums of x xᵀ over the inputs of every matrix of a layer."""
    sums: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        def add(_: nn.Module, given: tuple[Tensor, ...], __: Tensor) -> None:
            sums[name] = sums.get(name, torch.zeros(())) + _outer(given[0])

        return layer.get_submodule(name).register_forward_hook(add)

    hooks = [watch(name) for name in names]
    for state in states:
        _through(layer, state, turns)
    for hook in hooks:
        hook.remove()
    return sums


def _outer(inputs: Tensor) -> Tensor:
    flat = inputs.flatten(0, -2).float()
    return flat.T @ flat


def read_windows(folder: Path, count: int) -> Tensor:
    """The first `count` windows of a folder of window shards. (count, L)

    Raises ConfigError where there are not so many.
    """
    found: list[np.ndarray] = []
    for path in sorted(folder.glob("*.npy")):
        found.extend(np.load(path))
        if len(found) >= count:
            return torch.from_numpy(np.stack(found[:count]).astype(np.int64))
    raise ConfigError(f"{folder} has {len(found)} windows of {count}; make more by --prepare")


def _model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} is no checkpoint ({str(error)[:200]})") from error


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="autocoder.train.pretrain.gptq", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--windows", type=Path, required=True, help="as `--prepare` makes them")
    parser.add_argument("--count", type=int, default=16, help="windows to measure inputs on (16)")
    parser.add_argument("--block", type=int, default=32)
    options = parser.parse_args(arguments)
    if options.out.exists():
        raise ConfigError(f"{options.out} is there already; give another folder")
    windows = read_windows(options.windows, options.count)
    model = _model(options.checkpoint)
    quantised(model.eval(), windows, options.block)
    model.save_pretrained(options.out)
    for path in options.checkpoint.glob("*.json"):  # the config as it was spelt, too
        shutil.copyfile(path, options.out / path.name)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AutocoderError as error:
        sys.exit(f"autocoder.train.pretrain.gptq: {error}")
