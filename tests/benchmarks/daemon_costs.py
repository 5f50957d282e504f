"""What a daemon costs: the first suggestion from nothing, memory, and idle processor time.

    python tests/benchmarks/daemon_costs.py [--rounds 5] [--idle 30] [--json]

`cold start`: from no daemon to the printed suggestion of `autocoder complete FILE` (a prompt of
less than 128 tokens), the whole command with Python's own start; and the same seen from a client
that runs already. `memory`: the daemon's resident set after that, and after prompts of the full
budget in three documents; and that of a process which runs the engine on 1,024 tokens. `idle`: the
daemon's share of one processor while nobody asks.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autocoder.clients.bench.passage import default_file
from autocoder.clients.bench.private_daemon import private_daemon
from autocoder.clients.once import ask_living
from autocoder.daemon import lifecycle
from autocoder.daemon.connection import connected
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.protocol import Complete

SOURCE = """def square(number: int) -> int:
    return number * number


for i in ran"""
ENGINE = """
import resource, sys
from autocoder.clients.bench.passes import go_on, open_model
from autocoder.daemon.engine import Engine
from autocoder.daemon.statistics import resident_mb
model = open_model(None, "cpu", 2, 1100)
engine = Engine(model.graph, sequences=1, chunk=model.chunk)
sequence, _, logits = engine.prefill([40 + i % 9000 for i in range(1024)], go_on)
sequence.extend([41], go_on)
print(resident_mb(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main(arguments: Sequence[str]) -> int:
    """Measure everything once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="cold starts (5)")
    parser.add_argument("--idle", type=float, default=30.0, help="idle seconds (30)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    report = cold_starts(options.rounds) | daemon_memory_and_idle(options.idle) | engine_memory()
    if options.json:
        print(json.dumps(report))
    else:
        print("\n".join(f"{name:<32} {value}" for name, value in report.items()))
    return 0


def cold_starts(rounds: int) -> dict[str, Any]:
    """Seconds from no daemon to a suggestion."""
    commands, clients = [], []
    with tempfile.TemporaryDirectory(prefix="ac-", dir="/tmp") as name:
        os.environ["AUTOCODER_RUNTIME_DIR"] = name
        place = Endpoint(Path(name))
        source = Path(name) / "squares.py"
        source.write_text(SOURCE)
        for _ in range(rounds):
            lifecycle.stop(place)
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "autocoder", "complete", str(source)],
                check=True,
                capture_output=True,
            )
            commands.append(time.perf_counter() - started)
            lifecycle.stop(place)
            clients.append(first_answer(place))
        lifecycle.stop(place)
    return {
        "cold_start_command_s": round(statistics.median(commands), 3),
        "cold_start_client_s": round(statistics.median(clients), 3),
    }


def first_answer(place: Endpoint) -> float:
    """Seconds from a request to a daemon that does not run yet, to its answer."""
    started = time.perf_counter()
    greeting = lifecycle.ensure(lifecycle.Wanted("bench"), place=place)
    with connected(place.address) as connection:
        request = Complete(SOURCE, document="squares.py", language="python")
        ask_living(connection, request, place, greeting.pid, 60)
    return time.perf_counter() - started


def daemon_memory_and_idle(seconds: float) -> dict[str, Any]:
    """Resident megabytes, and the share of a processor while idle."""
    text = default_file().read_text()
    with private_daemon() as daemon:
        with connected(daemon.place.address) as connection:
            ask = Complete(SOURCE, document="a.py", language="python")
            connection.ask(ask, 60)
            time.sleep(2)  # what is opened behind the first answer
            small = daemon.status()["memory_mb"]
            for number in range(3):
                cut = len(text) * (number + 2) // 5
                document = f"{number}.py"
                asked = Complete(text[:cut], text[cut:], document=document, language="python")
                reply = connection.ask(asked, 60)
        full = daemon.status()["memory_mb"]
        time.sleep(3)
        before = daemon.cpu_s()
        time.sleep(seconds)
        after = daemon.cpu_s()
    idle = None if before is None or after is None else round((after - before) / seconds, 5)
    return {
        "memory_after_first_mb": small,
        "memory_three_documents_mb": full,
        "prompt_tokens": reply["prompt_tokens"],
        "idle_cpu_share": idle,
        "idle_s": seconds,
    }


def engine_memory() -> dict[str, Any]:
    """The resident set of a process that runs the engine on 1,024 tokens."""
    found = subprocess.run([sys.executable, "-c", ENGINE], check=True, capture_output=True)
    now, peak = found.stdout.split()
    return {"engine_1024_mb": round(float(now), 1), "engine_1024_peak_mb": round(float(peak), 1)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
