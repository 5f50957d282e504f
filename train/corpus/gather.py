"""Gets every repository and cleans it, in parallel, unless the cache has it already.

What cannot be had, is damaged or lacks files is said on standard error while the rest goes on.
Knows where repositories come from, and nothing of what becomes of the cleaned folders.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import cache as once
from multiprocessing import get_context
from pathlib import Path

from autocoder.daemon.errors import AutocoderError
from autocoder.train.corpus import decontamination
from autocoder.train.corpus.cache import cache_folder, damage, is_done, unreadable
from autocoder.train.corpus.cleaning import clean_repository
from autocoder.train.corpus.manifest import Repository
from autocoder.train.corpus.source import clone, find_mirror, local_repository, path_of


def clean_all(
    repositories: Sequence[Repository], options: argparse.Namespace, cache: Path
) -> dict[Repository, str]:
    """Clean every repository in parallel; returns those left out, with the reason."""
    missing: dict[Repository, str] = {}
    rows = to_be_cleaned(repositories, cache, lists_of(options.decontamination).digest)
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(obtain_and_clean, row, options, cache): row for row in rows}
        for job in progress(jobs):
            if isinstance(error := job.exception(), AutocoderError):
                missing[jobs[job]] = str(error)
                say(f"left out {jobs[job].name}: {error}")
            elif count := unreadable(job.result()):
                say(
                    f"{jobs[job].name}: {count} of its files could not be read and are left out; "
                    "make them readable (fetch them into the mirror), and run again"
                )
    return missing


def to_be_cleaned(
    repositories: Sequence[Repository], cache: Path, lists: str
) -> Iterator[Repository]:
    """Those that were not cleaned before, or whose cleaned folder is of no use any more."""
    for row in repositories:
        folder = cache_folder(cache, row)
        if folder.is_dir() and (fault := damage(folder)):
            say(f"{folder} is damaged ({fault}); cleaning {row.name} again")
        if not is_done(folder, row, lists):
            yield row


def progress(jobs: dict[Future[Path], Repository]) -> Iterator[Future[Path]]:
    from tqdm import tqdm

    with tqdm(total=len(jobs), unit="repository", desc="clean", dynamic_ncols=True) as bar:
        for job in as_completed(jobs):
            bar.set_postfix_str(jobs[job].name)
            bar.update()
            yield job


def say(text: str) -> None:
    """A line among the bars of progress."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def obtain_and_clean(repository: Repository, options: argparse.Namespace, cache: Path) -> Path:
    """Find or clone a repository, and clean it. Runs in a process of its own."""
    directory = on_this_disk(repository, options.mirror)
    if directory is None and options.offline:
        raise AutocoderError("not among the mirrors; fetch it there, or run without --offline.")
    directory = directory or clone(repository, cache / "clones")
    return clean_repository(repository, directory, cache, lists_of(options.decontamination))


def on_this_disk(repository: Repository, mirror: Path | None) -> Path | None:
    """The plain folder, the repository that a file: URL names, or its mirror if there is one."""
    if repository.is_folder:
        return path_of(repository.url)
    if repository.url.startswith("file:"):
        return local_repository(repository.url)
    return find_mirror(mirror, repository.name) if mirror else None


@once
def lists_of(folder: Path) -> decontamination.Contamination:
    return decontamination.load(folder)
