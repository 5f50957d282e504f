"""The training loop: AdamW, linear warm-up and decay, best checkpoint, early stopping, resume.

One loop for a laptop's CPU and for several GPUs under torchrun; `accelerate` places tensors and
averages gradients. The order of the windows is a function of seed and step alone, so a resumed run
sees exactly what the unbroken one would have seen. Knows windows and a model; knows no text.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from autocoder.train.finetune import checkpoint
from autocoder.train.finetune.checkpoint import Live, Progress
from autocoder.train.finetune.evaluation import (
    Evaluation,
    evaluate,
    measured_windows,
    row_losses,
    tensors,
)
from autocoder.train.finetune.logs import RunLog
from autocoder.train.finetune.recipe import Recipe
from autocoder.train.finetune.windows import IGNORED, Segments


@dataclass
class Run:
    """One fine-tuning under way. `model` and `optimizer` are accelerate's wrappings."""

    model: Any
    optimizer: Any
    segments: Segments
    recipe: Recipe
    out: Path
    accelerator: Accelerator
    progress: Progress
    log: RunLog | None  # None in all processes but the first
    card: Mapping[str, Any]  # what the result's record says of base and data

    @property
    def live(self) -> Live:
        return Live(self.model, self.optimizer, self.accelerator, self.recipe, self.segments.digest)

    @property
    def steps(self) -> int:
        return total_steps(self.recipe, len(self.segments.train), self.accelerator.num_processes)


def steps_per_epoch(recipe: Recipe, windows: int, processes: int) -> int:
    """Optimiser steps in one pass over the windows, the last one filled up from the start."""
    return math.ceil(windows / (recipe.batch * recipe.accumulate * processes))


def total_steps(recipe: Recipe, windows: int, processes: int) -> int:
    """The optimiser steps of a whole run."""
    return recipe.steps or recipe.epochs * steps_per_epoch(recipe, windows, processes)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Linear warm-up to the recipe's rate over the first share of the steps, then linearly to 0.

    `step` counts from 0; the first step already moves, the last one still does.
    """
    warm = math.ceil(recipe.warmup * steps)
    rise = (step + 1) / (warm + 1)
    fall = (steps - step) / max(1, steps - warm)
    return recipe.learning_rate * min(rise, fall, 1.0)


def make_optimizer(model: Any, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019) without decay on biases and norms."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, eps=recipe.epsilon)


@lru_cache(maxsize=1)
def shuffled(windows: int, epoch: int, seed: int) -> Any:
    """The order of the windows in an epoch. (windows,)"""
    return np.random.default_rng((seed, epoch)).permutation(windows)


def rows_of_step(run: Run, step: int) -> list[Any]:
    """This process's windows of a step, one array for each micro-batch. accumulate × (batch,)"""
    recipe, world = run.recipe, run.accelerator.num_processes
    count = len(run.segments.train)
    epoch, at = divmod(step, steps_per_epoch(recipe, count, world))
    order = shuffled(count, epoch, recipe.seed)
    size = recipe.batch * recipe.accumulate * world
    chosen = order.take(np.arange(at * size, (at + 1) * size), mode="wrap")
    own = chosen.reshape(recipe.accumulate, world, recipe.batch)[:, run.accelerator.process_index]
    return [run.segments.train[np.sort(rows)] for rows in own]


def train(run: Run) -> Progress:
    """Train until the steps are done or early stopping ends it; returns the progress."""
    began = time.monotonic()
    losses: list[Tensor] = []
    if run.progress.step == 0:
        measure(run, began)
    with tqdm(
        total=run.steps, initial=run.progress.step, desc="fine-tuning", disable=_bar(run)
    ) as bar:
        while not run.progress.stopped:
            losses.append(take_step(run))
            bar.update()
            step = run.progress.step
            due = step % run.recipe.evaluate_every == 0 or step == run.steps
            if step % run.recipe.log_every == 0 or due:
                write_row(run, began, train_loss=torch.stack(losses).mean().item())
                losses.clear()
            if due:
                evaluation = measure(run, began)
                bar.set_postfix(dev_perplexity=f"{evaluation.perplexity:.3g}")
    return run.progress


def _bar(run: Run) -> bool | None:
    """tqdm's `disable`: None shows a bar on a terminal only."""
    return None if run.accelerator.is_main_process else True


def take_step(run: Run) -> Tensor:
    """One optimiser step; returns the mean loss of its tokens over all processes. ()

    Each token weighs the same, wherever it is computed: n processes of batch b take the very step
    of one process of batch n·b.
    """
    batches = [
        tensors(run.segments, rows, run.accelerator.device)
        for rows in rows_of_step(run, run.progress.step)
    ]
    local = torch.stack([(labels[:, 1:] != IGNORED).sum() for _, labels in batches]).sum()
    tokens = run.accelerator.reduce(local, "sum")
    rate = learning_rate(run.recipe, run.progress.step, run.steps)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.zero_grad()
    nats = sum(backward(run, batch, tokens, batch is batches[-1]) for batch in batches)
    run.accelerator.clip_grad_norm_(run.model.parameters(), run.recipe.clip)
    run.optimizer.step()
    run.progress.step += 1
    return run.accelerator.reduce(nats, "sum") / tokens


def backward(run: Run, batch: tuple[Tensor, Tensor], tokens: Tensor, last: bool) -> Tensor:
    """Add a micro-batch's gradients; returns the sum of its losses. ()

    Gradients are averaged over the processes, once, at the last micro-batch: hence the factor.
    """
    if not last:
        with run.accelerator.no_sync(run.model):
            return backward(run, batch, tokens, last=True)
    nats = row_losses(run.model, *batch).sum()
    run.accelerator.backward(nats * run.accelerator.num_processes / tokens)
    return nats.detach()


def measure(run: Run, began: float) -> Evaluation:
    """Evaluate, log, keep the best model, count towards early stopping, save the state."""
    windows = measured_windows(run.segments.dev, run.recipe.dev_windows)
    found = evaluate(run.model, run.segments, windows, run.recipe.dev_batch, run.accelerator)
    write_row(run, began, dev_loss=found.loss, dev_perplexity=found.perplexity)
    better = found.loss < run.progress.best_loss
    judge(run.progress, found.loss, run.recipe.patience, run.steps)
    if run.accelerator.is_main_process:
        mark = " (best)" if better else ""
        tqdm.write(
            f"step {run.progress.step}/{run.steps}: dev loss {found.loss:.4f}, "
            f"perplexity {found.perplexity:.4g}{mark}"
        )
        if better:
            model = run.accelerator.unwrap_model(run.model)
            checkpoint.save_best(model, run.segments, record_of(run, found), run.out)
    if run.progress.step:
        checkpoint.save_state(run.out, run.live, run.progress)
    return found


def judge(progress: Progress, loss: float, patience: int, steps: int) -> None:
    """Note an evaluation: the best so far, or one more without a gain; and whether to stop."""
    if loss < progress.best_loss:
        progress.best_loss, progress.best_step, progress.without_gain = loss, progress.step, 0
    else:
        progress.without_gain += 1
    if progress.without_gain >= patience:
        progress.stopped = f"early, after {patience} evaluations without a better one"
    elif progress.step >= steps:
        progress.stopped = "all steps done"


def record_of(run: Run, found: Evaluation) -> dict[str, Any]:
    """What the result's folder says of itself."""
    return {
        "training": {
            **run.card,
            "steps": run.progress.step,
            "recipe": run.recipe.to_record(),
            "processes": run.accelerator.num_processes,
        },
        "results": {
            "dev_perplexity": round(found.perplexity, 4),
            "dev_loss": round(found.loss, 6),
            "dev_loss_by_language": {k: round(v, 6) for k, v in found.by_language.items()},
            "split": run.segments.record["split"],
        },
    }


def write_row(run: Run, began: float, **values: float) -> None:
    """One row of the log, by the first process only."""
    if run.log is None:
        return
    recipe, step, world = run.recipe, run.progress.step, run.accelerator.num_processes
    epoch = step / steps_per_epoch(recipe, len(run.segments.train), world)
    run.log.write(
        {
            "step": step,
            "epoch": round(epoch, 4),
            "windows": step * recipe.batch * recipe.accumulate * world,
            "learning_rate": learning_rate(recipe, max(step - 1, 0), run.steps),
            "seconds": round(time.monotonic() - began, 1),
            **values,
        }
    )
