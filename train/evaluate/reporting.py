"""Runs the measurements of a report one after the other, and writes each as soon as it is there.

What can be wrong with files and folders is checked before the first measurement. Knows options;
how a report looks is the affair of `autocoder.train.evaluate.report`.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from autocoder.daemon.model_folder import bundled, chosen
from autocoder.train.evaluate.documents import check_source
from autocoder.train.evaluate.measurements import (
    given_rows,
    hole_rows,
    load_model,
    memory_prompts,
    memory_result,
    perplexity_result,
    rename_result,
    rows_result,
)
from autocoder.train.evaluate.outputs import check_folder
from autocoder.train.evaluate.report import LINES, MEMORY, PERPLEXITY, RENAME, write

Result = dict[str, Any]
Draw = Callable[[Mapping[str, Result], Path], dict[str, list[str]]]


def report(options: argparse.Namespace) -> tuple[dict[str, Result], Path]:
    """All results, and the Markdown file that has them; it is rewritten after every measurement."""
    sections, draw, model = _sections(options), _drawing(), model_name(options)
    results: dict[str, Result] = {}
    pictures: dict[str, list[str]] = {}
    path = options.output
    for name, measure in sections.items():
        results[name] = measure()
        pictures |= draw({name: results[name]}, options.output)
        path = write(results, options.output, model=model, pictures=pictures)
    return results, path


def _sections(options: argparse.Namespace) -> dict[str, Callable[[], Result]]:
    """Every measurement by its name, ready to run, its input read and checked: what is quick first,
    then what needs the model."""
    for source in filter(None, (options.source, options.corpus, options.unseen)):
        check_source(source)
    names = [f"{LINES}:{name}" for name in section_names(options.rows)]
    rows = dict(zip(names, map(given_rows, options.rows), strict=True))
    check_folder(options.output)
    rows = {LINES: hole_rows(options), **rows}
    model = load_model(options)
    sections = {PERPLEXITY: partial(perplexity_result, model, options)}
    sections |= {name: partial(rows_result, model, found) for name, found in rows.items()}
    sections[RENAME] = partial(rename_result, model, options.functions)
    if options.corpus:
        asked = memory_prompts(model, options)
        sections[MEMORY] = partial(memory_result, model, asked, options.corpus)
    return sections


def section_names(files: Sequence[Path]) -> list[str]:
    """A name for each file: its stem; where two are alike, the folder's name before it, and where
    sections or their pictures would still be called alike, a number behind it."""
    stems = [file.stem for file in files]
    names: list[str] = []
    taken = {"faults"}  # as pictures are called; see `plots.draw`
    for file, stem in zip(files, stems, strict=True):
        alone = stems.count(stem) == 1
        name = plain = stem if alone else f"{file.absolute().parent.name}-{stem}"
        numbered = (f"{plain}-{number}" for number in count(2))
        while taken & {name, f"{name}-faults"}:
            name = next(numbered)
        names.append(name)
        taken |= {name, f"{name}-faults"}
    return names


def model_name(options: argparse.Namespace) -> str:
    """What the report's heading calls the model."""
    folder = options.checkpoint or options.model or chosen()
    if not (options.checkpoint or options.model) and folder == bundled():
        return "the bundled model"
    return Path(os.path.abspath(folder)).name


def _drawing() -> Draw:
    """What draws PNGs beside the report; draws none where matplotlib is missing."""
    try:
        from autocoder.train.evaluate.plots import draw
    except ModuleNotFoundError as error:
        print(f"no plots: {error.name} is missing (autocoder[train] brings it)", file=sys.stderr)
        return lambda results, folder: {}
    return draw
