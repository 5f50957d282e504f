"""Writes a sample of the training split with equal bytes of every language, for the tokenizer."""

import argparse
from pathlib import Path

import numpy as np

from autocoder.train.corpus.index import Index, Reader
from autocoder.train.corpus.selection import Selection
from autocoder.train.corpus.shards import shuffled


def write_sample(
    index: Index, selection: Selection, path: Path, options: argparse.Namespace
) -> None:
    """Write random documents, up to `options.sample_mb` of text a language, shuffled together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = shuffled(selection.rows("train"), options.seed)
    rows = sampled_rows(index, order, int(options.sample_mb * 1e6))
    partial = path.with_name(path.name + ".partial")
    with Reader(index) as reader, partial.open("wb") as output:
        output.writelines(map(reader.line, rows))
    partial.replace(path)


def sampled_rows(index: Index, order: np.ndarray, size: int) -> np.ndarray:
    """The first rows of an order that make `size` bytes of each language."""
    taken = np.zeros(len(order), bool)
    languages = index.columns["language"][order]
    sizes = index.columns["bytes"][order]
    for language in np.unique(languages):
        own = languages == language
        taken |= own & (np.cumsum(sizes * own) <= size)
    return order[taken]
