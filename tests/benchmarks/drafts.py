"""Decoding with and without drafts: the daemon's completer, in this process, its guesses switched.

    python tests/benchmarks/drafts.py [FILE …] [--rounds 5] [--json]

Three kinds of text, greedy, until the suggestion ends or 48 tokens: `real`: holes in source files,
from a line's middle to wherever the model ends; `repeated`: a passage that stands there three times
and begins anew; `worst`: the holes again, but each guess is a wrong one that looks like a sure one.
Milliseconds per generated token, decoding alone, medians over interleaved rounds. The texts that
come out must be equal.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autocoder.daemon import guessing
from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.drafting import LONGEST_MATCH, Drafter, Guess
from autocoder.daemon.loading import load_completer
from autocoder.daemon.protocol import Complete, Completion

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "train/pretrain/model.py", ROOT / "clients/client.py", ROOT / "export/rewrite.py"]
HOLES = 4  # in each file
PASSAGES = 8
LASTING = 8  # tokens of a continuation at least, a line: the first pass guesses nothing
CHARACTERS = 500  # of a passage at least, to the end of a line


def main(arguments: Sequence[str]) -> int:
    """Time the three kinds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=FILES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    completer = load_completer(None, "cpu", options.threads)
    kinds = {
        "real": real(options.files),
        "repeated": lasting(completer, repeated(options.files)),
        "worst": real(options.files),
    }
    rows = [measured(completer, kind, asked, options.rounds) for kind, asked in kinds.items()]
    print(json.dumps(rows) if options.json else "\n".join(table(rows)))
    return 0


class Misled(Drafter):
    """Guesses something else each time, and looks quite sure."""

    def guesses(self, most: int) -> list[Guess]:
        wrong = tuple(40 + token % 97 for token in range(self._end, self._end + most))
        return [Guess(wrong, LONGEST_MATCH)]


def request(prefix: str, suffix: str = "") -> Complete:
    """One suggestion of any number of lines."""
    return Complete(
        prefix, suffix, document="bench.py", language="python", max_lines=0, max_tokens=48
    )


def real(files: Sequence[Path]) -> list[Complete]:
    """Holes in the middle of lines, evenly spread; three lines of each file are missing."""
    found = []
    for path in files:
        text = path.read_text()
        for number in range(HOLES):
            line = text.find("\n", len(text) * (number + 1) // (HOLES + 1)) + 1
            at = line + (text.find("\n", line) - line) // 2
            end = at
            for _ in range(3):
                end = text.find("\n", end + 1)
            found.append(request(text[:at], text[end:]))
    return found


def repeated(files: Sequence[Path]) -> list[Complete]:
    """Definitions from each file, three times, and the first third of it once more."""
    found = []
    for path in files:
        text = path.read_text()
        for number in range(PASSAGES):
            start = text.find("\n\n\n", len(text) * number // PASSAGES) + 3
            passage = text[start : text.find("\n", start + CHARACTERS) + 1]
            if len(passage) >= CHARACTERS:  # none begins behind the last definition
                found.append(request(passage * 3 + passage[: len(passage) // 3]))
    return found


def lasting(completer: ModelCompleter, asked: Sequence[Complete]) -> list[Complete]:
    """Those that are not ended at once."""
    found = [(each, run(completer, each, False, Drafter)) for each in asked]
    return [each for each, answer in found if answer.generated_tokens >= LASTING]


def measured(
    completer: ModelCompleter, kind: str, asked: Sequence[Complete], rounds: int
) -> dict[str, Any]:
    """Milliseconds per token of both ways, and how much was guessed right."""
    took: dict[bool, list[float]] = {False: [], True: []}
    last: Completion | None = None
    for number in range(rounds + 1):
        drafter = Misled if kind == "worst" else Drafter
        found: dict[bool, list[Completion]] = {guesses: [] for guesses in took}
        for each in asked:
            for guesses, completions in found.items():
                completions.append(run(completer, each, guesses, drafter))
        texts = [[[s.text for s in c.suggestions] for c in found[guesses]] for guesses in took]
        if texts[0] != texts[1]:
            raise SystemExit(f"{kind}: guesses changed what comes out: {texts}")
        if number:
            for guesses, completions in found.items():
                tokens = sum(c.generated_tokens for c in completions)
                took[guesses].append(sum(c.ms.decode for c in completions) / tokens)
        last = found[True][-1]
    assert last is not None
    drafted = sum(c.drafted_tokens for c in found[True])
    accepted = sum(c.accepted_tokens for c in found[True])
    pairs = list(zip(took[False], took[True], strict=True))
    return {
        "kind": kind,
        "plain_ms": round(statistics.median(took[False]), 3),
        "drafts_ms": round(statistics.median(took[True]), 3),
        "ratio": round(statistics.median(plain / drafts for plain, drafts in pairs), 3),
        "accepted_share": round(accepted / drafted, 3) if drafted else None,
        "tokens": sum(c.generated_tokens for c in found[True]),
    }


def run(
    completer: ModelCompleter, asked: Complete, guesses: bool, drafter: type[Drafter]
) -> Completion:
    """One answer, from nothing: the very same prompt would otherwise be known by heart."""
    completer.guesses = guesses
    guessing.Drafter = drafter  # type: ignore[misc]
    completer._engine._pool.clear()
    completer._guessing = guessing.Guessing(completer._engine)
    return completer.complete(asked, lambda: False)


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A Markdown table."""
    head = ["| text | plain ms/token | with drafts | times as fast | guesses right | tokens |"]
    head.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    return head + [
        f"| {r['kind']} | {r['plain_ms']:.2f} | {r['drafts_ms']:.2f} | {r['ratio']:.2f} | "
        f"{r['accepted_share'] or 0:.0%} | {r['tokens']} |"
        for r in rows
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
