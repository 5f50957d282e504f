"""From how many tokens on a pass is faster on the prefill graph than on the one for single tokens.

    python tests/benchmarks/prefill_graph.py [MODEL_FOLDER] [--threads 1] [--rounds 5]

Prints, for passes of 1 to 512 tokens that end at 512 tokens of context, milliseconds on both graphs
(best of interleaved passes, for the machine may be busy) and their ratio. Needs the `[cpu]` and
`[train]` extras, no torch.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from autocoder.daemon import model_folder
from autocoder.export.decoder_session import DecoderSession

CONTEXT = 512
LENGTHS = (1, 2, 4, 8, 12, 16, 32, 64, 128, 512)


def main() -> None:
    """Time both graphs in turns and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=model_folder.bundled())
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    model = model_folder.load(chosen.folder)
    names = ("cpu", "cpu-prefill")
    sessions = [DecoderSession(model.graph(n), 1024, threads=chosen.threads) for n in names]
    print(f"{chosen.threads} threads\n| tokens | {' ms | '.join(names)} ms | ratio |")
    print("|---:|---:|---:|---:|")
    for length in LENGTHS:
        single, prefill = best(sessions, length, chosen.rounds)
        print(f"| {length} | {single:.2f} | {prefill:.2f} | {single / prefill:.2f} |", flush=True)


def best(sessions: list[DecoderSession], length: int, rounds: int) -> list[float]:
    """Milliseconds of the fastest pass of `length` tokens on each session."""
    ids = np.random.default_rng(0).integers(6, 600, CONTEXT).tolist()
    passes = max(1, min(20, 128 // length))
    times: list[list[float]] = [[] for _ in sessions]
    for _ in range(rounds):
        for found, session in zip(times, sessions, strict=True):
            for _ in range(passes):
                start = time.perf_counter()
                session.feed(ids[:length], [length - 1], at=CONTEXT - length)
                found.append(1000 * (time.perf_counter() - start))
    return [min(found) for found in times]


if __name__ == "__main__":
    main()
