"""Prefill and decoding against other engines: same weights, same threads, rounds interleaved.

    python tests/benchmarks/compare.py [MODEL_FOLDER] [--only autocoder "llama.cpp Q4_0"] [--json]

Each round lets every contender, one after the other, prefill a text and then decode greedily; the
table has the medians, and how many times as fast as llama.cpp Q4_0 each is, round by round.
`--check` compares instead what they compute: nats per token of a text, and the greedy tokens.
Needs `tests/benchmarks/requirements.txt`; engines that are not installed are left out by --only.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
from contenders import CONTENDERS, Contender, Row, Setting, opened
from tokenizers import Tokenizer

from autocoder.daemon.model_folder import bundled, load

RIVAL = "llama.cpp Q4_0"
SETTLED_S = 0.1
TEXT = Path(__file__).parents[2] / "train/pretrain/model.py"


def main(arguments: Sequence[str]) -> int:
    """Time or check the contenders."""
    options = parser().parse_args(arguments)
    folder = options.folder or bundled()
    with tempfile.TemporaryDirectory() as scratch:
        capacity = max(options.contexts) + options.tokens + 8
        setting = Setting.of(folder, capacity, options.threads, options.scratch or Path(scratch))
        ids = text_ids(folder, max(options.contexts))
        engines = dict(opened(options.only, setting))
        report = checked(engines, ids) if options.check else timed(engines, ids, options)
    print(json.dumps(report) if options.json else "\n".join(table(report)))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("folder", nargs="?", type=Path, help="model folder (default: the bundled)")
    made.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    made.add_argument("--contexts", type=int, nargs="+", default=[512], help="tokens (512)")
    made.add_argument("--tokens", type=int, default=32, help="tokens decoded per round (32)")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--scratch", type=Path, help="keep converted models here")
    made.add_argument("--check", action="store_true", help="compare logits, not times")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def text_ids(folder: Path, count: int) -> list[int]:
    """Tokens of a real source file, repeated where it is too short."""
    tokenizer = Tokenizer.from_file(str(load(folder, check_hashes=False).tokenizer))
    ids: list[int] = tokenizer.encode(TEXT.read_text(), add_special_tokens=False).ids
    return (ids * (count // len(ids) + 1))[:count]


def timed(
    engines: dict[str, Contender], ids: list[int], options: argparse.Namespace
) -> dict[str, Any]:
    """Every engine's prefill and decoding, in turns."""
    rows = []
    for context in options.contexts:
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
        for number in range(options.rounds + 1):
            for name, engine in engines.items():
                sleep(SETTLED_S)  # the last one's threads spin on for a while
                found = one_round(engine, ids[:context], options.tokens)
                if number:  # the first round warms up, compiles, faults pages in
                    took[name].append(found)
        rows += [row(name, context, took) for name in engines]
    return {"threads": options.threads, "rounds": options.rounds, "rows": rows}


def one_round(engine: Contender, ids: list[int], tokens: int) -> tuple[float, float]:
    """Milliseconds of the prefill, and of one token behind it."""
    started = perf_counter()
    logits = engine.prefill(ids)
    prefilled = perf_counter()
    for _ in range(tokens):
        logits = engine.step(int(logits.argmax()))
    ended = perf_counter()
    return 1000 * (prefilled - started), 1000 * (ended - prefilled) / tokens


def row(name: str, context: int, took: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Medians, and the median of each round's ratio to the rival's."""
    prefills, decodes = zip(*took[name], strict=True)
    found = {
        "engine": name,
        "context": context,
        "prefill_ms": round(statistics.median(prefills), 2),
        "decode_ms": round(statistics.median(decodes), 3),
        "rounds": [[round(p, 2), round(d, 3)] for p, d in took[name]],
    }
    if RIVAL in took:
        pairs = list(zip(took[RIVAL], took[name], strict=True))
        for index, key in enumerate(("prefill_ratio", "decode_ratio")):
            found[key] = round(statistics.median(r[index] / o[index] for r, o in pairs), 3)
    return found


def checked(engines: dict[str, Contender], ids: list[int]) -> dict[str, Any]:
    """Nats per token over the text, and the greedy tokens behind its first half."""
    rows: list[dict[str, Any]] = []
    for name, engine in engines.items():
        losses = [nats(engine.prefill(ids[:1]), ids[1])]
        losses += [nats(engine.step(a), b) for a, b in pairwise(ids[1:])]
        half = len(ids) // 2
        logits, chosen = engine.prefill(ids[:half]), []
        for _ in range(64):
            chosen.append(int(logits.argmax()))
            logits = engine.step(chosen[-1])
        rows.append({"engine": name, "nats": round(statistics.mean(losses), 5), "greedy": chosen})
    first = rows[0]["greedy"]
    for each in rows:
        pairs = zip(first, each["greedy"], strict=True)
        each["greedy_same"] = next((i for i, (a, b) in enumerate(pairs) if a != b), len(first))
    return {"tokens": len(ids) - 1, "rows": rows}


def nats(logits: Row, token: int) -> float:
    """Minus the log-probability of `token`."""
    wide = logits.astype(np.float64)
    top = wide.max()
    return float(top + np.log(np.exp(wide - top).sum()) - wide[token])


def table(report: dict[str, Any]) -> list[str]:
    """A Markdown table."""
    if "threads" not in report:
        head = f"| engine | nats per token of {report['tokens']} | first greedy tokens alike |"
        rows = [f"| {r['engine']} | {r['nats']} | {r['greedy_same']} |" for r in report["rows"]]
        return [head, "| --- | ---: | ---: |", *rows]
    lines = [
        f"{report['threads']} threads, median of {report['rounds']} interleaved rounds",
        "",
        f"| engine | context | prefill ms | ms/token | × {RIVAL}: prefill, decode |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for r in report["rows"]:
        ratio = f"{r['prefill_ratio']:.2f}, {r['decode_ratio']:.2f}" if "decode_ratio" in r else ""
        place = f"| {r['engine']} | {r['context']} | {r['prefill_ms']:.0f}"
        lines.append(f"{place} | {r['decode_ms']:.2f} | {ratio} |")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
