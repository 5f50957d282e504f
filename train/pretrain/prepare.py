"""Document shards become window shards, over all cores, as the documents arrive.

A shard `NNNN.jsonl.xz` of documents yields, for each epoch, SLICES files `eE-sNNNN-JJ.npy` of
windows (rows, length) uint16; every epoch draws new holes. Shards are unpacked beside the windows,
so that every slice can look other files up. The same seed gives the same files,
whatever the number of cores. A file appears whole or not at all, and never among those of another
origin (`origin.py`). Knows samples and files; knows no model.
"""

import json
import lzma
import os
import random
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.prompt import Context, PromptBuilder
from autocoder.train.pretrain import origin
from autocoder.train.pretrain.neighbours import neighbours_of
from autocoder.train.pretrain.origin import Origin, is_there, unpacked
from autocoder.train.pretrain.renaming import Renaming
from autocoder.train.pretrain.samples import Mixture, form_of, holes_of, plain_sample
from autocoder.train.pretrain.vocabulary import read_tokenizer
from autocoder.train.pretrain.windows import Packer

Document = dict[str, Any]  # language, text; of a corpus also repo, path, licence, test, standalone

SLICES = 32
WAIT_S = 0.5


@dataclass(frozen=True)
class Job:
    """One slice of one shard for one epoch."""

    shard: Path
    out: Path
    tokenizer: Path
    epoch: int
    part: int
    length: int
    seed: int
    mixture: Mixture

    @property
    def target(self) -> Path:
        return self.out / f"e{self.epoch}-s{shard_name(self.shard)}-{self.part:02}.npy"


def shard_name(shard: Path) -> str:
    return shard.name.removesuffix(".xz").removesuffix(".jsonl")


def documents(shard: Path, part: int = 0, parts: int = 1) -> Iterator[Document]:
    """Every `parts`-th document of one shard from number `part` on, in order.

    An unpacked `NNNN.jsonl` beside the shard is read instead: all slices would unpack it anew.
    """
    plain = unpacked(shard)
    try:
        with plain.open("rb") if plain.exists() else lzma.open(shard, "rb") as lines:
            for number, line in enumerate(lines):
                if number % parts == part:
                    yield _document(line)
    except (lzma.LZMAError, EOFError, ValueError) as error:
        raise ConfigError(f"{shard} is damaged ({error}); make it anew") from error
    except OSError as error:
        raise ConfigError(f"no shard can be read from {shard} ({error.strerror})") from error


def _document(line: bytes) -> Document:
    document = json.loads(line)
    fields = document if isinstance(document, dict) else {}
    for name in ("language", "text"):
        if not isinstance(fields.get(name), str):
            raise ValueError(f"a document without {name!r}")
    return document


def unpack(shard: Path, folder: Path) -> Path:
    """The shard as plain JSONL: the one beside it, else written into the windows' folder (once)."""
    if unpacked(shard).exists():
        return unpacked(shard)
    target = folder / unpacked(shard).name
    if target.exists():
        if not origin.knows(folder, shard):
            raise ConfigError(f"{target} is not what {shard} holds; delete it, or move it away")
        return target
    hidden = target.with_suffix(".part")
    try:
        with lzma.open(shard, "rb") as packed, hidden.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 2**20)
    except (lzma.LZMAError, EOFError, OSError) as error:
        hidden.unlink(missing_ok=True)
        raise ConfigError(
            f"{shard} cannot be unpacked into {folder} ({error}); if it is damaged, make it anew"
        ) from error
    origin.add(folder, shard)
    hidden.rename(target)
    return target


def texts_by_language(shards: Iterable[Path], limit: int) -> dict[str, list[str]]:
    """Documents from the shards, at most about `limit` bytes of each language."""
    found: dict[str, list[str]] = defaultdict(list)
    sizes: dict[str, int] = defaultdict(int)
    for shard in shards:
        for document in documents(shard):
            language, text = document["language"], document["text"]
            if sizes[language] < limit:
                found[language].append(text)
                sizes[language] += len(text.encode())
    return dict(found)


def run(job: Job) -> int:
    """Write one slice; returns its number of windows."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if job.target.exists():
        return 0
    tokenizer = Tokenizer.from_file(str(job.tokenizer))
    tokenizer.encode_special_tokens = True  # a literal `<eos>` in source text is text
    builder = PromptBuilder(tokenizer, form_of(job.mixture))
    chance = random.Random(f"{job.seed}:{job.epoch}:{shard_name(job.shard)}:{job.part}")
    packer, renaming = Packer(job.length), Renaming()
    for document in documents(job.shard, job.part, SLICES):
        _add(_renamed(document, renaming, job, chance), packer, builder, job, chance)
    rows = np.stack(packer.windows) if packer.windows else np.zeros((0, job.length), np.uint16)
    hidden = job.target.with_suffix(".part")
    with hidden.open("wb") as out:
        np.save(out, rows)
    hidden.rename(job.target)
    return len(rows)


def _renamed(document: Document, renaming: Renaming, job: Job, chance: random.Random) -> Document:
    """The document as it is or, in the mixture's share of cases, with other names."""
    mixture, text, language = job.mixture, document["text"], document["language"]
    if not (mixture.renamed_share or mixture.renamed_alone):
        return document
    if chance.random() >= mixture.renamed(bool(document.get("standalone"))):
        renaming.see(text, language)
        return document
    return document | {"text": renaming.rename(text, language, chance)}


def _add(
    document: Document,
    packer: Packer,
    builder: PromptBuilder,
    job: Job,
    chance: random.Random,
) -> None:
    text, language, mixture = document["text"], document["language"], job.mixture
    if chance.random() >= mixture.hole_share:
        packer.add_plain(plain_sample(text, language, builder))
        return
    others = partial(_other_files, document, job, chance)
    for sample in holes_of(text, language, builder, mixture, chance, others):
        packer.add_hole(sample)


def _other_files(document: Document, job: Job, chance: random.Random) -> Context:
    files = neighbours_of(job.shard)
    wanted = chance.randint(1, job.mixture.context_files)
    return [files.read(place) for place in files.of(document, wanted, chance)]


def prepare(
    shards: list[Path],
    out: Path,
    tokenizer: Path,
    *,
    epochs: int,
    length: int,
    seed: int = 0,
    mixture: Mixture | None = None,
    workers: int | None = None,
    first_epoch: int = 0,
) -> None:
    """Make every epoch of every shard, in order, waiting for shards that are not there yet.

    The first slice that fails ends it: its error is raised, and no further slice is begun.
    """
    read_tokenizer(tokenizer)
    made = Origin(tokenizer, tuple(shards), length, seed, mixture or Mixture())
    origin.begin(out, made)
    with ProcessPoolExecutor(workers or os.cpu_count() or 1) as pool:
        pending = []
        try:
            for epoch in range(first_epoch, first_epoch + epochs):
                for shard in shards:
                    plain = _arrived(shard, out, made)
                    for part in range(SLICES):
                        job = Job(plain, out, tokenizer, epoch, part, length, seed, made.mixture)
                        pending.append(pool.submit(run, job))
            for each in as_completed(pending):
                each.result()
        except BaseException:  # training would wait in vain for what failed
            pool.shutdown(cancel_futures=True)
            raise


def _arrived(shard: Path, out: Path, made: Origin) -> Path:
    """A shard unpacked and recorded, once it is there."""
    while not is_there(shard):
        time.sleep(WAIT_S)
    origin.check(out, made)
    plain = unpack(shard, out)
    if not origin.knows(out, shard):
        origin.add(out, shard)
    return plain
