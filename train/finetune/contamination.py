"""`autocoder train contamination`: what splitting windows instead of files does to the perplexity.

The 2020 blog shuffles overlapping windows into train and dev, so its dev set is made of tokens it
trained on. This trains one recipe twice on the same files, once with each split, and shows both
dev perplexities side by side. Knows the two runs and their numbers; knows no training loop.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from autocoder.daemon.errors import ConfigError
from autocoder.train.finetune.recipe import Recipe, load_recipe
from autocoder.train.finetune.segments import make_vocabulary, summary, tokenise, write_windows
from autocoder.train.finetune.split import duplicates
from autocoder.train.finetune.windows import Segments, seen_share

RESULT = "contamination"
SPLITS = ("window", "file")


@dataclass(frozen=True)
class Outcome:
    """One run: windows on either side, the share of dev tokens it was trained on, its best."""

    split: str
    train_windows: int
    dev_windows: int
    dev_tokens_seen: float  # 0…1
    steps: int
    best_step: int
    dev_loss: float  # nats per token
    dev_perplexity: float


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder train contamination …`; returns the exit status."""
    options = _parser().parse_args(arguments)
    recipe = load_recipe(options.recipe, options.set)
    recipe = replace(recipe, base=options.base) if options.base else recipe
    print(table(study(options.places, recipe, options.out, options.cpu)))
    print(f"\nwritten: {options.out / RESULT}.json, .md and .png")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autocoder train contamination",
        description="Train one recipe on the same files, split by window and by file.",
    )
    add = parser.add_argument
    add("places", nargs="+", metavar="PLACE", help="folder, source file or git URL")
    add("--recipe", default="gpt2-tiny", help="a TOML file, or a shipped recipe's name (gpt2-tiny)")
    add("--base", help="hub name or local folder to start from (default: the recipe's)")
    add("--out", type=Path, required=True, help="folder for both runs and the result")
    add("--cpu", action="store_true", help="leave a GPU alone")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe (TOML)")
    return parser


def study(places: Sequence[str], recipe: Recipe, out: Path, cpu: bool = False) -> list[Outcome]:
    """Train twice, write the result to `out`; returns the outcomes by SPLITS.

    Both runs see the same files (copies dropped) and take the same number of steps.
    """
    if (out / f"{RESULT}.json").exists():
        raise ConfigError(f"{out} holds a result already; give another folder")
    data = build_both(places, recipe, out)
    steps = recipe.steps or steps_of(recipe, data)
    outcomes = [
        run(data[split], replace(recipe, split=split, steps=steps), out / split, cpu)
        for split in SPLITS
    ]
    write(outcomes, recipe, places, out)
    return outcomes


def build_both(places: Sequence[str], recipe: Recipe, out: Path) -> dict[str, Segments]:
    """The same tokens, split either way."""
    vocabulary = make_vocabulary(places, recipe, out)
    whole = tokenise(places, vocabulary, out / "tokens")
    copies = duplicates(whole.files)
    files = tuple(file for file, copy in zip(whole.files, copies, strict=True) if not copy)
    kept = replace(whole, files=files, dropped=len(whole.files) - len(files))
    data = {}
    for split in SPLITS:
        folder = out / split / "segments"
        print(summary(write_windows(kept, vocabulary, replace(recipe, split=split), folder)))
        data[split] = Segments.load(folder)
    return data


def steps_of(recipe: Recipe, data: Mapping[str, Segments]) -> int:
    """As many steps as the smaller training set takes."""
    from autocoder.train.finetune.loop import total_steps

    return min(total_steps(recipe, len(segments.train), 1) for segments in data.values())


def run(segments: Segments, recipe: Recipe, out: Path, cpu: bool) -> Outcome:
    """One of the two trainings."""
    from autocoder.train.finetune.evaluation import Evaluation
    from autocoder.train.finetune.finetuning import Options, finetune

    print(f"\nsplit by {recipe.split}:")
    progress = finetune(segments, recipe, out, Options(cpu=cpu))
    return Outcome(
        split=recipe.split,
        train_windows=len(segments.train),
        dev_windows=len(segments.dev),
        dev_tokens_seen=seen_share(segments.train, segments.dev, len(segments.tokens)),
        steps=progress.step,
        best_step=progress.best_step,
        dev_loss=progress.best_loss,
        dev_perplexity=Evaluation(progress.best_loss, {}).perplexity,
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes side by side, as a Markdown table with one sentence on the difference."""
    rows = [
        "| split | train windows | dev windows | dev tokens trained on | best step | dev loss "
        "| dev perplexity |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows += [
        f"| by {o.split} | {o.train_windows:,} | {o.dev_windows:,} | {o.dev_tokens_seen:.1%} "
        f"| {o.best_step} of {o.steps} | {o.dev_loss:.3f} | {o.dev_perplexity:.2f} |"
        for o in outcomes
    ]
    window, file = outcomes
    ratio = file.dev_perplexity / window.dev_perplexity
    return "\n".join(
        [
            *rows,
            "",
            "The same recipe on the same files: measured on files it has not seen, the model's "
            f"perplexity is {ratio:.2f} times what the split by window shows.",
        ]
    )


def write(outcomes: Sequence[Outcome], recipe: Recipe, places: Sequence[str], out: Path) -> None:
    """contamination.json, .md and .png in `out`."""
    from autocoder.train.finetune.curve import draw_comparison
    from autocoder.train.finetune.logs import LOG, read_log

    record: dict[str, Any] = {
        "places": list(places),
        "recipe": recipe.to_record(),
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    logs = {f"split by {split}": read_log(out / split / LOG) for split in SPLITS}
    draw_comparison(logs, out / f"{RESULT}.png", "Dev loss: the same files, split two ways")
    text = f"# Contamination\n\n{table(outcomes)}\n\n![dev loss]({RESULT}.png)\n"
    (out / f"{RESULT}.md").write_text(text, encoding="utf-8")
    (out / f"{RESULT}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
