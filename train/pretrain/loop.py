"""The training loop: batches in, checkpoints and a log out; one process per GPU, or one CPU.

Gradients are summed over the processes in one flat all-reduce, which leaves the model free to be
compiled as a whole. Knows the recipe; does not know where batches come from.
"""

import csv
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from tqdm import tqdm

from autocoder.daemon.errors import ConfigError
from autocoder.train.pretrain import checkpoint, resume, schedule
from autocoder.train.pretrain.documents import attention_for
from autocoder.train.pretrain.fake_quantise import on_grid, quantised_parameters
from autocoder.train.pretrain.model import CodeModel, losses, save
from autocoder.train.pretrain.muon import Muon
from autocoder.train.pretrain.recipe import Recipe, Training
from autocoder.train.pretrain.release import complete

LOG_EVERY = 20
SETTLED = 10  # steps after which everything is compiled
BLOCKS = re.compile(r"(?:^|\.)(?:layers|h)\.\d+\.")  # parameters of the blocks: Llama's, GPT-2's
PLAN_EVERY = 50  # steps between looks at the clock, where a recipe gives minutes
Evaluation = Callable[[CodeModel], dict[str, float]]


@dataclass(frozen=True)
class Place:
    """Where this process runs."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        return self.rank == 0


class Trainer:
    """A model, its optimisers, and the step they have reached.

    `controls` are the ids of the control codes, with which every document of a window begins;
    `begun` names further things that a run to go on with must share; with a `tokenizer` the saved
    weights become whole checkpoints.
    """

    def __init__(
        self,
        model: CodeModel,
        recipe: Recipe,
        place: Place,
        out: Path,
        controls: Sequence[int] = (),
        *,
        begun: Mapping[str, str] | None = None,
        tokenizer: Path | None = None,
    ) -> None:
        self.model = model.to(place.device)
        self.recipe, self.place, self.out = recipe, place, out
        self.training = recipe.training
        self.settings = resume.settings(recipe) | dict(begun or {})
        self.tokenizer = tokenizer
        self.spent_s = 0.0
        self._settled: tuple[int, float] | None = None
        self.step = 0
        self.fast = place.device.type == "cuda"
        within = recipe.training.within_documents
        self.attention = attention_for(place.device, controls, within)
        self.loss = torch.compile(self._loss) if self.fast else self._loss
        self.optimisers = optimisers(self.model, recipe.training, self.fast)
        self.matrices = quantised_parameters(self.model)
        self.parameters = list(self.model.parameters())

    def _loss(self, windows: torch.Tensor, found: Any) -> torch.Tensor:
        with torch.autocast(self.place.device.type, torch.bfloat16, enabled=self.fast):
            return losses(self.model, windows, self.attention.attend(found)).mean()

    def run(self, batches: Iterator[NDArray[np.uint16]], evaluate: Evaluation | None) -> None:
        """Train to the recipe's last step, logging, evaluating and saving on the way."""
        log = Log(self.out / "log.csv", self.place.leads)
        bar = tqdm(total=self.training.steps, initial=self.step, disable=not self.place.leads)
        began, done = time.perf_counter(), 0
        started = began - self.spent_s
        while self.step < self.training.steps:
            self.spent_s = time.perf_counter() - started
            if self.step % PLAN_EVERY == 0:
                self._agree()
                self._plan()
                bar.total = self.training.steps
            training = self.training
            if self.step == schedule.decay_start(training):
                self.save_weights("stable")
                self.save_state()
                began, done = time.perf_counter(), 0
            loss = self.one_step(self._next(batches))
            done += 1
            bar.update()
            if self.step == SETTLED:  # compiling is over: its time is not the steps' time
                self._settled = (self.step, time.perf_counter())
            if self.step % LOG_EVERY == 0 or self.step == training.steps:
                tokens = training.batch * self.recipe.data.length
                rate = tokens * done / (time.perf_counter() - began)
                row = self._row(float(loss), rate)
                bar.set_postfix(loss=row["loss"], rate=f"{rate:.3g}/s")
                log.add(row)
                began, done = time.perf_counter(), 0
            last = self.step == training.steps
            if evaluate and (self.step % training.evaluate_every == 0 or last):
                self._evaluate(evaluate, log)
                began, done = time.perf_counter(), 0
            if self.step % training.checkpoint_every == 0 or last:
                self.save_state()
                began, done = time.perf_counter(), 0
        self.save_weights("final")
        bar.close()

    def _next(self, batches: Iterator[NDArray[np.uint16]]) -> NDArray[np.uint16]:
        rows = next(batches, None)
        if rows is None:
            raise ConfigError(
                f"the windows ended after {self.step} of {self.training.steps} steps; "
                "raise `epochs` in the recipe, or give more documents"
            )
        return rows

    def _agree(self) -> None:
        """Rounding may let the processes' weights drift apart: all take the first one's."""
        if self.place.world > 1:
            for parameter in self.parameters:
                dist.broadcast(parameter.data, 0)

    def _plan(self) -> None:
        """Set the number of steps by the clock, before the decay begins."""
        training = self.training
        if not training.minutes or self._settled is None:
            return
        if self.step >= schedule.decay_start(training):
            return
        at, when = self._settled
        speed = (time.perf_counter() - when) / (self.step - at)
        steps = self.step + (training.minutes * 60 - self.spent_s) / speed
        shared = torch.tensor(float(max(steps, self.step + 1)), device=self.place.device)
        if self.place.world > 1:
            dist.broadcast(shared, 0)
        self.training = replace(training, steps=int(shared))

    def _row(self, loss: float, rate: float) -> dict[str, Any]:
        tokens = self.step * self.recipe.training.batch * self.recipe.data.length
        lr = self.optimisers[0].param_groups[0]["lr"]
        return {
            "step": self.step,
            "tokens": tokens,
            "loss": round(loss, 4),
            "lr": f"{lr:.3g}",
            "tokens_per_s": int(rate),
        }

    def one_step(self, rows: NDArray[np.uint16]) -> torch.Tensor:
        """One optimiser step over this process's share of the batch; the mean loss, a tensor."""
        training = self.training
        self._set_rates(schedule.share(self.step, training))
        windows = torch.from_numpy(rows.astype(np.int64)).to(self.place.device, non_blocking=True)
        parts = windows.split(training.micro_batch)
        total = torch.zeros((), device=self.place.device)
        with on_grid(self.matrices, self._quantising(), training.quantisation_block):
            for part in parts:
                found = self.attention.prepare(part[:, :-1])
                loss = self.loss(part, found) * (len(part) / len(windows))
                loss.backward()
                total += loss.detach()
        self._share_gradients(total)
        torch.nn.utils.clip_grad_norm_(self.parameters, training.clip, foreach=True)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return total

    def _quantising(self) -> bool:
        training = self.training
        decaying = self.step >= schedule.decay_start(training)
        return training.quantise_always or (training.quantise and decaying)

    def _set_rates(self, share: float) -> None:
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["peak_lr"] * share

    def _share_gradients(self, total: torch.Tensor) -> None:
        if self.place.world == 1:
            return
        grads = [p.grad for p in self.parameters]
        flat = torch.cat([g.flatten() for g in grads] + [total.view(1)])
        dist.all_reduce(flat)
        flat /= self.place.world
        start = 0
        for grad in grads:
            grad.copy_(flat[start : start + grad.numel()].view_as(grad))
            start += grad.numel()
        total.copy_(flat[-1])

    def _evaluate(self, evaluate: Evaluation, log: "Log") -> None:
        """The dev set's figures for the weights as they are and, in the decay, on the grid."""
        row = {"step": self.step, **evaluate(self.model)}
        if self._quantising() or self.step == self.training.steps:
            with on_grid(self.matrices, block=self.training.quantisation_block):
                row |= {f"{name} q4": value for name, value in evaluate(self.model).items()}
        if self.place.leads:
            tqdm.write(str(row))
            log.note(row)

    def record(self) -> dict[str, Any]:
        """What a model card tells of the run."""
        cuda = self.place.device.type == "cuda"
        kind = torch.cuda.get_device_name() if cuda else "CPU"
        return {
            "tokens": self.step * self.training.batch * self.recipe.data.length,
            "steps": self.step,
            "minutes": round(self.spent_s / 60, 1),
            "hardware": f"{self.place.world} × {kind}",
            "parameters": sum(p.numel() for p in self.parameters),
        }

    def save_weights(self, name: str) -> None:
        """A checkpoint in Hugging Face's form, below the run's folder."""
        if not self.place.leads:
            return
        save(self.model, self.out / name, self.training.quantisation_block)
        if self.tokenizer:
            complete(self.out / name, self.tokenizer, self.recipe, self.record())

    def save_state(self) -> None:
        """All that the next step depends on."""
        if self.place.leads:
            state = {
                "model": self.model.state_dict(),
                "steps": self.training.steps,
                "settings": self.settings,
                "spent_s": self.spent_s,
                "optimisers": [each.state_dict() for each in self.optimisers],
            }
            checkpoint.save_state(self.out / "states", self.step, state)

    def resume(self) -> bool:
        """Go on from the newest state of the run's folder; False where there is none.

        Raises ConfigError where that run was of another recipe.
        """
        state = checkpoint.newest_state(self.out / "states")
        if state is None:
            return False
        resume.check(state.get("settings"), self.settings)
        try:
            self._load(state)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ConfigError(
                f"the state in {self.out} does not fit the recipe ({error}); {resume.REMEDY}"
            ) from error
        return True

    def _load(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        for optimiser, record in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(record)
        self.step = int(state["step"])
        self.spent_s = float(state["spent_s"])
        self.training = replace(self.training, steps=int(state["steps"]))


def optimisers(
    model: torch.nn.Module, training: Training, fast: bool
) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for the rest."""
    named = model.named_parameters()
    blocks = [p for name, p in named if p.ndim == 2 and BLOCKS.search(name)]
    chosen = {id(p) for p in blocks}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    muon = Muon(blocks, training.muon_lr, weight_decay=training.weight_decay, compile=fast)
    adam = torch.optim.AdamW(
        rest, training.adam_lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0, fused=fast
    )
    for optimiser in (muon, adam):
        for group in optimiser.param_groups:
            group["peak_lr"] = group["lr"]
    return [muon, adam]


class Log:
    """Appends rows to a CSV, and evaluations to the JSONL beside it."""

    def __init__(self, path: Path, enabled: bool) -> None:
        self.path, self.enabled = path, enabled
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, row: dict[str, Any]) -> None:
        if not self.enabled:
            return
        new = not self.path.exists()
        with self.path.open("a", newline="") as out:
            writer = csv.DictWriter(out, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)

    def note(self, row: dict[str, Any]) -> None:
        import json

        with self.path.with_name("evaluations.jsonl").open("a") as out:
            out.write(json.dumps(row) + "\n")
