"""`autocoder train pretrain`: windows from documents, and a model from windows.

Run it alone for one GPU or the CPU, or under `torchrun --nproc-per-node N -m
autocoder.train.pretrain.command …` for N GPUs. `--prepare` makes the windows (in another process
if they are to be made while the GPU already trains).
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.train.pretrain import recipe as recipes
from autocoder.train.pretrain.limits import check

if TYPE_CHECKING:
    from autocoder.train.pretrain.loop import Evaluation, Place, Trainer
    from autocoder.train.pretrain.order import Source


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
    from autocoder.train.pretrain.vocabulary import read_tokenizer

    read_tokenizer(options.tokenizer, recipe.model.vocab_size)
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


def source_of(
    options: argparse.Namespace, recipe: recipes.Recipe, *, leads: bool = True
) -> "Source":
    """The windows that the recipe asks for; only the process that leads tells of its waiting."""
    from autocoder.train.pretrain.order import Source, to_stderr
    from autocoder.train.pretrain.origin import Origin
    from autocoder.train.pretrain.prepare import shard_name

    shards, data = tuple(shards_of(options.corpus, options.shards)), recipe.data
    return Source(
        options.windows,
        tuple(shard_name(path) for path in shards),
        data.epochs,
        data.seed,
        made_of=Origin(options.tokenizer, shards, data.length + 1, data.seed, recipe.mixture),
        tell=to_stderr if leads else lambda text: None,
    )


def _train(options: argparse.Namespace, recipe: recipes.Recipe) -> int:
    import torch

    from autocoder.train.pretrain.order import batches, prefetched

    if options.out is None:
        raise ConfigError("say where the run goes: --out DIR")
    recipe = _overridden(options, recipe)
    place = place_of_process()
    torch.manual_seed(recipe.training.seed)
    torch.set_float32_matmul_precision("high")
    source = source_of(options, recipe, leads=place.leads)
    source.check()
    trainer = _trainer(options, recipe, place)
    if trainer.resume() and place.leads:
        print(f"going on from step {trainer.step}")
    evaluation = _evaluation(options, recipe) if options.dev else None
    share = prefetched(
        batches(source, recipe.training.batch, place.rank, place.world, trainer.step)
    )
    trainer.run(share, evaluation)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return 0


def _overridden(options: argparse.Namespace, recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe with what the command line says instead of it."""
    asked = {"steps": options.steps, "minutes": options.minutes, "micro_batch": options.micro_batch}
    given = {name: value for name, value in asked.items() if value is not None}
    recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, **given))
    check(recipe, "the command line")
    return recipe


def _trainer(options: argparse.Namespace, recipe: recipes.Recipe, place: "Place") -> "Trainer":
    from autocoder.train.pretrain import resume
    from autocoder.train.pretrain.grow import grown
    from autocoder.train.pretrain.loop import Trainer
    from autocoder.train.pretrain.model import CodeModel, load
    from autocoder.train.pretrain.samples import form_of
    from autocoder.train.pretrain.vocabulary import control_ids, read_tokenizer

    tokenizer = read_tokenizer(options.tokenizer, recipe.model.vocab_size)
    controls = control_ids(tokenizer, form_of(recipe.mixture), options.tokenizer)
    model = grown(load(options.init), recipe.model) if options.init else CodeModel(recipe.model)
    begun = resume.files(options.tokenizer, options.init)
    return Trainer(
        model, recipe, place, options.out, controls, begun=begun, tokenizer=options.tokenizer
    )


def _evaluation(options: argparse.Namespace, recipe: recipes.Recipe) -> "Evaluation":
    import torch

    from autocoder.daemon.prompt import PromptBuilder
    from autocoder.train.pretrain.bits import bits_per_byte
    from autocoder.train.pretrain.model import losses
    from autocoder.train.pretrain.prepare import texts_by_language
    from autocoder.train.pretrain.samples import form_of
    from autocoder.train.pretrain.vocabulary import read_tokenizer

    builder = PromptBuilder(read_tokenizer(options.tokenizer), form_of(recipe.mixture))
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
