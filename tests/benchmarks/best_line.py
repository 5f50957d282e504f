"""What the search for the likeliest line costs a typist: with it and without, in one process.

    chrt -r 1 python tests/benchmarks/best_line.py [--steps 8] [--least 0.05]

130 keys in each of three places of textwrap.py, one after the other, every key asking; the settings
in turn, twice.
"""

import argparse
import math
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

from autocoder.clients.bench.samples import quantile
from autocoder.daemon import best_line, model_folder
from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.loading import load_completer
from autocoder.daemon.protocol import Complete

PLACES, KEYS = (3000, 7000, 11000), 130


def requests(document: str) -> Iterator[Complete]:
    """One line at every key, as an editor asks."""
    text = Path(textwrap.__file__).read_text(encoding="utf-8")
    for start in PLACES:
        for at in range(start, start + KEYS):
            yield Complete(
                text[:at],
                text[start + KEYS :],
                language="python",
                document=document,
                path="textwrap.py",
                max_lines=1,
            )


def milliseconds(completer: ModelCompleter, document: str) -> list[float]:
    found = []
    for request in requests(document):
        began = perf_counter()
        completer.complete(request, lambda: False)
        found.append(1000 * (perf_counter() - began))
    return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=best_line.MOST_STEPS)
    parser.add_argument("--least", type=float, default=math.exp(best_line.LEAST))
    options = parser.parse_args(arguments)
    best_line.MOST_STEPS, best_line.LEAST = options.steps, math.log(options.least)
    completer = load_completer(model_folder.load(None).path)
    for round_ in range(2):
        for searches in (False, True):
            completer.searches = searches
            took = milliseconds(completer, f"{round_} {searches}")
            p50, p95 = quantile(took, 0.5), quantile(took, 0.95)
            print(f"{'searched' if searches else 'greedy':8}  p50 {p50:5.1f} ms  p95 {p95:5.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
