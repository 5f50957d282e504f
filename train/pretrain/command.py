"""`autocoder train pretrain`: windows from documents, and a model from windows.

Run it alone for one GPU or the CPU, or under `torchrun --nproc-per-node N -m
autocoder.train.pretrain.command …` for N GPUs. `--prepare` makes the windows (in another process
if they are to be made while the GPU already trains).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.train.pretrain import recipe as recipes

if TYPE_CHECKING:
    from autocoder.train.pretrain.loop import Place


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    recipe = recipes.load(options.recipe)
    if options.prepare:
        return _prepare(options, recipe)
    return _train(options, recipe)


def add_data(parser: argparse.ArgumentParser) -> None:
    """The options that say what is trained on."""
    parser.add_argument("--recipe", type=Path, required=True, help="TOML, see train/recipes/")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of NNNN.jsonl.xz shards")
    parser.add_argument("--shards", help="their names, comma separated (default: those there)")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--windows", type=Path, required=True, help="folder of window shards")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="autocoder train pretrain", description=__doc__)
    add_data(parser)
    parser.add_argument("--out", type=Path, help="folder of the run: checkpoints, log")
    parser.add_argument("--dev", type=Path, help="a shard of documents to measure bits per byte on")
    parser.add_argument("--dev-bytes", type=int, default=1_000_000, help="of each language")
    parser.add_argument("--init", type=Path, help="checkpoint folder to begin from")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--minutes", type=float, help="instead of the recipe's")
    parser.add_argument("--micro-batch", type=int, help="instead of the recipe's")
    parser.add_argument("--prepare", action="store_true", help="make the windows, do not train")
    parser.add_argument("--workers", type=int, help="processes for --prepare (default: all cores)")
    return parser


def shards_of(corpus: Path, names: str | None) -> list[Path]:
    """The shards named (comma separated), there or still to come; else all that are there."""
    if names:
        return [corpus / f"{name}.jsonl.xz" for name in names.split(",")]
    found = sorted(corpus.glob("*.jsonl.xz"))
    if not found:
        raise ConfigError(f"no *.jsonl.xz in {corpus}; `autocoder train corpus` makes them")
    return found


def _prepare(options: argparse.Namespace, recipe: recipes.Recipe) -> int:
    from autocoder.train.pretrain.prepare import prepare

    prepare(
        shards_of(options.corpus, options.shards),
        options.windows,
        options.tokenizer,
        epochs=recipe.data.epochs,
        length=recipe.data.length + 1,
        seed=recipe.data.seed,
        mixture=recipe.mixture,
        workers=options.workers,
    )
    return 0


def _train(options: argparse.Namespace, recipe: recipes.Recipe) -> int:
    import dataclasses

    import torch
    from tokenizers import Tokenizer

    from autocoder.train.pretrain.grow import grown
    from autocoder.train.pretrain.loop import Trainer
    from autocoder.train.pretrain.model import CodeModel, load
    from autocoder.train.pretrain.order import Source, batches, prefetched
    from autocoder.train.pretrain.prepare import shard_name
    from autocoder.train.pretrain.release import complete
    from autocoder.train.pretrain.samples import form_of

    if options.out is None:
        raise ConfigError("say where the run goes: --out DIR")
    asked = {"steps": options.steps, "minutes": options.minutes, "micro_batch": options.micro_batch}
    given = {name: value for name, value in asked.items() if value is not None}
    recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, **given))
    place = place_of_process()
    torch.manual_seed(recipe.training.seed)
    torch.set_float32_matmul_precision("high")
    model = grown(load(options.init), recipe.model) if options.init else CodeModel(recipe.model)
    tokenizer = Tokenizer.from_file(str(options.tokenizer))
    controls = [tokenizer.token_to_id(c) for c in form_of(recipe.mixture).controls.values()]
    trainer = Trainer(model, recipe, place, options.out, controls)
    if trainer.resume() and place.leads:
        print(f"going on from step {trainer.step}")
    names = tuple(shard_name(path) for path in shards_of(options.corpus, options.shards))
    source = Source(options.windows, names, recipe.data.epochs, recipe.data.seed)
    share = prefetched(
        batches(source, recipe.training.batch, place.rank, place.world, trainer.step)
    )
    trainer.run(share, _evaluation(options, recipe, trainer) if options.dev else None)
    if place.leads:
        for name in ("stable", "final"):
            if (options.out / name).is_dir():
                complete(options.out / name, options.tokenizer, recipe, trainer.record())
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return 0


def _evaluation(options: argparse.Namespace, recipe: recipes.Recipe, trainer: object) -> object:
    import torch
    from tokenizers import Tokenizer

    from autocoder.daemon.prompt import PromptBuilder
    from autocoder.train.pretrain.bits import bits_per_byte
    from autocoder.train.pretrain.model import losses
    from autocoder.train.pretrain.prepare import texts_by_language
    from autocoder.train.pretrain.samples import form_of

    builder = PromptBuilder(Tokenizer.from_file(str(options.tokenizer)), form_of(recipe.mixture))
    texts = texts_by_language([options.dev], options.dev_bytes)

    def cheap(model: torch.nn.Module, windows: torch.Tensor) -> torch.Tensor:
        device = windows.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return losses(model, windows)

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        return {
            language: round(
                bits_per_byte(
                    model, some, language, builder, length=recipe.data.length, batch=16, loss=cheap
                ),
                4,
            )
            for language, some in sorted(texts.items())
        }

    return evaluate


def place_of_process() -> "Place":
    import torch
    import torch.distributed as dist

    from autocoder.train.pretrain.loop import Place

    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    cuda = torch.cuda.is_available()
    device = (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    )
    if cuda:
        torch.cuda.set_device(device)
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    return Place(rank, world, device)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AutocoderError as error:
        sys.exit(f"autocoder train pretrain: {error}")
