"""`autocoder train finetune`: fine-tune any causal language model on your own code.

    autocoder train finetune --recipe distilgpt2 --data ~/code --out ~/models/mine
    torchrun --nproc-per-node 4 -m autocoder train finetune … the same …

Knows arguments and printed lines; `finetuning.py` does the work.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autocoder.daemon.errors import ConfigError
from autocoder.train.finetune.recipe import SPLITS, Recipe, load_recipe, shipped_recipes
from autocoder.train.finetune.windows import Segments, is_data, read_record

BUILT = "segments"  # where the data set goes that is built from source folders


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder train finetune …`; returns the exit status."""
    options = _parser().parse_args(arguments)
    recipe = load_recipe(options.recipe, options.set)
    recipe = replace(recipe, base=options.base) if options.base else recipe
    recipe = replace(recipe, split=options.split) if options.split else recipe
    from autocoder.train.finetune.finetuning import Options, check_out, finetune, make_accelerator

    check_out(options.out, options.resume)
    accelerator = make_accelerator(recipe, options.cpu)
    accelerator.wait_for_everyone()  # nobody writes before everybody has looked
    with accelerator.main_process_first():
        segments = open_data(options.data, recipe, options.out)
    if options.split not in (None, segments.record["split"]):
        raise ConfigError(
            f"{segments.folder} is split by {segments.record['split']}, not by {options.split}; "
            "leave out --split, or give another --out and the source code"
        )
    recipe = replace(recipe, split=segments.record["split"])
    how = Options(options.resume, options.wandb, options.cpu)
    progress = finetune(segments, recipe, options.out, how)
    if accelerator.is_main_process:
        print(
            f"{options.out}: stopped at step {progress.step}, {progress.stopped}; best dev loss "
            f"{progress.best_loss:.4f} at step {progress.best_step}, curve in curve.png\n"
            f"next: autocoder export {options.out} MODEL_FOLDER"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autocoder train finetune",
        description="Fine-tune a causal language model from a recipe.",
        epilog=f"Recipes: {', '.join(shipped_recipes())}. Several GPUs: start it with torchrun.",
    )
    add = parser.add_argument
    add("--recipe", default="distilgpt2", help="a TOML file, or a shipped recipe's name")
    add("--data", nargs="+", required=True, metavar="PLACE", help="a data set, or code to build it")
    add("--base", help="hub name or local folder to start from (default: the recipe's)")
    add("--out", type=Path, required=True, help="folder for the model, log and curve")
    add("--split", choices=SPLITS, help="by file (default), or by window as the blog did")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--wandb", action="store_true", help="also log to Weights & Biases (WANDB_MODE=offline)")
    add("--cpu", action="store_true", help="leave a GPU alone")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe (TOML)")
    return parser


def open_data(places: Sequence[str], recipe: Recipe, out: Path) -> Segments:
    """A ready data set, or one built from source code into `out`/segments (once)."""
    if any(is_data(Path(place)) for place in places):
        if len(places) > 1:
            raise ConfigError(f"--data {' '.join(places)}: give one data set, or only source code")
        return Segments.load(Path(places[0]))
    folder = out / BUILT
    if not is_data(folder):
        from autocoder.train.finetune.segments import build, summary

        print(summary(build(places, recipe, folder)))
    if read_record(folder)["places"] != list(places):
        raise ConfigError(f"{folder} was built from other --data; give the same, or another --out")
    return Segments.load(folder)
