"""Fine-tunes a base on a data set: model, accelerator, loop, log and curve wired together.

Knows the order of things and none of them closely. `command.py` gives it a command line.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from autocoder.daemon.errors import ConfigError
from autocoder.train.finetune import checkpoint
from autocoder.train.finetune.base import Vocabulary, fresh_model, load_model, load_vocabulary
from autocoder.train.finetune.checkpoint import Progress, seed_everything
from autocoder.train.finetune.curve import draw_run
from autocoder.train.finetune.logs import LOG, RunLog, read_log, require_wandb
from autocoder.train.finetune.loop import Run, make_optimizer, train
from autocoder.train.finetune.recipe import Recipe
from autocoder.train.finetune.windows import TOKENIZER, Segments


@dataclass(frozen=True)
class Options:
    """How to run, apart from the recipe."""

    resume: bool = False
    wandb: bool = False
    cpu: bool = False


def make_accelerator(recipe: Recipe, cpu: bool) -> Accelerator:
    """Device and processes: CUDA, MPS or CPU; bf16 where the GPU computes it, or where asked."""
    cuda = torch.cuda.is_available() and not cpu
    able = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    wanted = recipe.precision == "bf16" or (recipe.precision == "auto" and able)
    alone = cpu or not (cuda or torch.backends.mps.is_available())
    return Accelerator(mixed_precision="bf16" if wanted else "no", cpu=alone)


def finetune(segments: Segments, recipe: Recipe, out: Path, options: Options) -> Progress:
    """Fine-tune the recipe's base on a data set into the folder `out`; returns how it ended.

    The folder then holds the best model (as `autocoder export` takes it), log.csv, curve.png,
    tensorboard/ and state.pt. Raises ConfigError before anything is written where recipe, base and
    data do not fit together, or `out` holds another run.
    """
    check_out(out, options.resume)
    check_data(segments, recipe)
    if options.wandb:
        require_wandb()
    accelerator = make_accelerator(recipe, options.cpu)
    run = prepare(segments, recipe, out, accelerator, options)
    try:
        progress = train(run)
    finally:
        if run.log is not None:
            run.log.close()
    if accelerator.is_main_process:
        name = recipe.base or "fresh model"
        draw_run(read_log(out / LOG), out / "curve.png", f"{name}, split by {recipe.split}")
    accelerator.wait_for_everyone()
    return progress


def prepare(
    segments: Segments, recipe: Recipe, out: Path, accelerator: Accelerator, options: Options
) -> Run:
    """Model, optimiser and log, at their beginning or where an earlier run was."""
    seed_everything(recipe.seed)
    model = make_model(segments, recipe)
    seed_everything(recipe.seed + accelerator.process_index)  # other dropout in each process
    wrapped, optimizer = accelerator.prepare(model, make_optimizer(model, recipe))
    run = Run(
        model=wrapped,
        optimizer=optimizer,
        segments=segments,
        recipe=recipe,
        out=out,
        accelerator=accelerator,
        progress=Progress(),
        log=None,
        card=card(segments, recipe),
    )
    run.progress = checkpoint.restore(out, run.live) if options.resume else Progress()
    if accelerator.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        run.log = RunLog(out, run.progress.step, recipe.to_record(), options.wandb)
    model.train()
    return run


def make_model(segments: Segments, recipe: Recipe) -> nn.Module:
    """The base's weights, or random ones where the recipe has a [model]."""
    vocabulary = data_vocabulary(segments)
    if recipe.model:
        return fresh_model(recipe.model, vocabulary, recipe.sequence)
    return load_model(recipe.base, vocabulary, recipe.sequence)


def data_vocabulary(segments: Segments) -> Vocabulary:
    """The tokenizer that the data set was made with."""
    from tokenizers import Tokenizer

    path = segments.folder / TOKENIZER / "tokenizer.json"
    return Vocabulary(Tokenizer.from_file(str(path)), str(segments.record["end"]))


def check_out(out: Path, resume: bool) -> None:
    """Refuse to overwrite a run, and to go on with none. Raises ConfigError."""
    used = [name for name in (checkpoint.STATE, "config.json", LOG) if (out / name).exists()]
    if used and not resume:
        raise ConfigError(
            f"{out} holds a run already ({used[0]}): add --resume to go on with it, or give "
            "another --out"
        )
    if resume and not used:
        raise ConfigError(f"{out} holds no run to go on with: leave out --resume to begin one")


def check_data(segments: Segments, recipe: Recipe) -> None:
    """Hold data set and recipe together. Raises ConfigError."""
    if not recipe.model and not recipe.base:
        raise ConfigError("nothing to start from: give --base, or a recipe with a [model]")
    for key in ("segment_length", "stride"):
        if segments.record[key] != getattr(recipe, key):
            raise ConfigError(
                f"the data has {key} {segments.record[key]}, the recipe {getattr(recipe, key)}; "
                f"add --set {key}={segments.record[key]} or build the data anew"
            )
    if recipe.model:
        return
    if load_vocabulary(recipe.base).digest != segments.record["tokenizer_sha256"]:
        raise ConfigError(
            f"{segments.folder} was made with another tokenizer than that of {recipe.base}; build "
            f"it anew with `autocoder train segments --base {recipe.base} …`"
        )


def card(segments: Segments, recipe: Recipe) -> dict[str, Any]:
    """Where base and data came from, for the model's manifest."""
    return {
        "base": recipe.base or "random weights",
        "data": segments.record["places"],
        "languages": segments.record["languages"],
    }
