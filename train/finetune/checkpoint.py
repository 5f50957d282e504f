"""What a run leaves on disk: the best model so far, and the state from which it goes on exactly.

Everything is written under a temporary name and renamed, so a kill at any moment leaves either the
old file or the new one. Knows folders and tensors; knows no data.
"""

import json
import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.prompt import CONTROL, PREFIX, PromptFormat
from autocoder.train.finetune.recipe import Recipe
from autocoder.train.finetune.windows import Segments

STATE, PROMPT, CARD, SUMMARY = "state.pt", "prompt.json", "card.json", "autocoder.json"
RESUMABLE = ("log_every", "precision")  # settings that may differ when a run goes on


@dataclass
class Progress:
    """How far a run is. `without_gain` counts evaluations since the best one."""

    step: int = 0
    best_loss: float = float("inf")
    best_step: int = 0
    without_gain: int = 0
    stopped: str = ""  # why the run ended, "" while it goes on


def prompt_of(segments: Segments) -> PromptFormat:
    """How the fine-tuned model wants its prompt: control code, then the text so far.

    Only languages with training windows get their control code.
    """
    trained = {name for name, n in segments.record["languages"].items() if n["train_windows"]}
    controls = {k: v for k, v in segments.record["controls"].items() if k in trained}
    end = segments.record["end"]
    return PromptFormat((), (CONTROL, PREFIX), controls, end, (end,))


def save_best(model: Any, segments: Segments, record: Mapping[str, Any], out: Path) -> None:
    """Write the model folder that `autocoder export` takes: weights, config, tokenizer, prompt."""
    part = out / ".best.part"
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    shutil.copytree(segments.folder / "tokenizer", part, dirs_exist_ok=True)
    prompt = prompt_of(segments).to_manifest()
    card = {"training": record["training"], "results": record["results"]}
    for name, content in ((PROMPT, prompt), (CARD, card), (SUMMARY, {"prompt": prompt, **record})):
        (part / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for path in part.iterdir():
        os.replace(path, out / path.name)
    part.rmdir()


@dataclass(frozen=True)
class Live:
    """What a state is taken from and restored into. `data` is the data set's digest."""

    model: Any
    optimizer: Any
    accelerator: Accelerator
    recipe: Recipe
    data: str


def save_state(out: Path, live: Live, progress: Progress) -> None:
    """Write all that `restore` needs. Call it in every process, after the best model is written:
    a kill in between then repeats steps instead of losing the best."""
    chances = gather_object([_chance()])
    if live.accelerator.is_main_process:
        part = out / f".{STATE}.part"
        content = {
            "model": live.accelerator.unwrap_model(live.model).state_dict(),
            "optimizer": live.optimizer.state_dict(),
            "progress": asdict(progress),
            "recipe": live.recipe.to_record(),
            "data": live.data,
            "chances": chances,
        }
        torch.save(content, part)
        os.replace(part, out / STATE)
    live.accelerator.wait_for_everyone()


def restore(out: Path, live: Live) -> Progress:
    """Bring model, optimiser and random numbers to where the run was; returns its progress, a
    fresh one where no state was saved yet.

    Raises ConfigError where the run was of another recipe, data set or number of processes.
    """
    if not (out / STATE).is_file():
        return Progress()
    content = torch.load(out / STATE, map_location="cpu", weights_only=True)
    _same_run(content, live)
    live.accelerator.unwrap_model(live.model).load_state_dict(content["model"])
    live.optimizer.load_state_dict(content["optimizer"])
    _set_chance(content["chances"][live.accelerator.process_index])
    return Progress(**content["progress"])


def _same_run(content: Mapping[str, Any], live: Live) -> None:
    now, then = live.recipe.to_record(), content["recipe"]
    for key in now.keys() - set(RESUMABLE):
        if now[key] != then.get(key):
            raise ConfigError(
                f"the run to resume had {key} = {then.get(key)!r}, the recipe says {now[key]!r}; "
                "give the same recipe, or another --out for a new run"
            )
    if content["data"] != live.data:
        raise ConfigError("the run to resume was on other data; give the same --data")
    if len(content["chances"]) != live.accelerator.num_processes:
        raise ConfigError(
            f"the run to resume had {len(content['chances'])} processes, now there are "
            f"{live.accelerator.num_processes}; start as many as before"
        )


def _chance() -> dict[str, Any]:
    """The state of this process's random numbers (the order of the data needs none)."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_chance(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def seed_everything(seed: int) -> None:
    """Seed what may draw numbers: torch on every device, and Python for libraries' sake."""
    random.seed(seed)
    torch.manual_seed(seed)
