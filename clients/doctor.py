"""`autocoder doctor`: what is installed, what works, and what to do about what does not.

Each check is a function that returns one Finding. Imports no runtime and no model: what the daemon
says of them is asked from the daemon. Exit status 1 where there is a problem.
"""

import argparse
import json
import platform
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import autocoder
from autocoder.clients.once import ask_living, wanted
from autocoder.clients.replies import completion
from autocoder.daemon import lifecycle
from autocoder.daemon.connection import connected
from autocoder.daemon.endpoint import endpoint, prepared
from autocoder.daemon.engine_runtime import RUNTIMES, conflicting_runtimes, is_installed
from autocoder.daemon.errors import AutocoderError, DaemonError
from autocoder.daemon.identity import meant
from autocoder.daemon.model_folder import load
from autocoder.daemon.protocol import Complete, Message, Status

ANSWER_S, SUGGESTION_S = 10.0, 60.0
SLOW_COLD_MS, SLOW_WARM_MS = 2000.0, 150.0
SAMPLE = 'def mean(numbers):\n    """The arithmetic mean."""\n    return sum(numb'


@dataclass(frozen=True)
class Finding:
    """One line of the report; `remedy` says what to do where `problem` holds."""

    name: str
    text: str
    problem: bool = False
    remedy: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder doctor`; 1 where there is a problem."""
    parser = argparse.ArgumentParser(
        prog="autocoder doctor",
        description="Say what is installed, what works, and what to do about what does not. "
        "Starts the daemon where none runs, and replaces none.",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--model", metavar="DIR", help="model folder (default: as for all clients)")
    options = parser.parse_args(arguments)
    found = list(examine(options.model))
    print(as_json(found) if options.json else "\n".join(as_lines(found)))
    return int(any(finding.problem for finding in found))


def examine(model: str | None) -> Iterator[Finding]:
    """Every check in order; those that need a daemon only where one can be had."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", python),
        ("autocoder", package),
        ("runtime", runtime),
        ("model", lambda: model_folder(model)),
        ("folder", socket_folder),
    ]
    healthy = True
    for name, check in checks:
        finding = _guarded(name, check)
        healthy &= not finding.problem
        yield finding
    if healthy:
        yield from daemon(model)


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except AutocoderError as error:
        text, _, remedy = str(error).partition("; ")
        return Finding(name, text, True, remedy or text)


# What is installed


def python() -> Finding:
    """Which Python runs."""
    version, system = platform.python_version(), f"{platform.system()} {platform.machine()}"
    text = f"{version} at {sys.executable}, {system}"
    return Finding("python", text, values={"version": version, "executable": sys.executable})


def package() -> Finding:
    """Which autocoder is imported."""
    folder = str(Path(autocoder.__file__).parent)
    values = {"version": autocoder.__version__, "folder": folder}
    return Finding("autocoder", f"{autocoder.__version__} in {folder}", values=values)


def runtime() -> Finding:
    """Which ONNX Runtime is installed: exactly one of the two packages works."""
    versions = {name: metadata.version(name) for name in RUNTIMES if is_installed(name)}
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    if conflicting_runtimes():
        remedy = (
            f"they overwrite each other. Run: pip uninstall -y {' '.join(RUNTIMES)}; "
            "then pip install 'autocoder[cpu]', or 'autocoder[cuda]' for an NVIDIA GPU"
        )
        return Finding("runtime", text, True, remedy, versions)
    if not versions:
        remedy = "Run: pip install 'autocoder[cpu]', or 'autocoder[cuda]' for an NVIDIA GPU"
        return Finding("runtime", "no ONNX Runtime is installed", True, remedy)
    return Finding("runtime", text, values=versions)


def model_folder(model: str | None) -> Finding:
    """The model that clients mean, with every file's hash checked."""
    found = load(meant(model, endpoint())[0])
    megabytes = sum((found.path / name).stat().st_size for name in found.files) / 2**20
    text = (
        f"{found.name} ({found.sha256[:12]}), {megabytes:.1f} MiB, {found.quantisation}, "
        f"context {found.context} tokens, licence {found.licence}, in {found.path}"
    )
    values = {
        "name": found.name,
        "sha256": found.sha256,
        "folder": str(found.path),
        "mib": round(megabytes, 1),
        "licence": found.licence,
        "context": found.context,
    }
    return Finding("model", text, values=values)


def socket_folder() -> Finding:
    """The folder of the daemon's socket."""
    place = prepared(endpoint())
    mode = f"{stat.S_IMODE(place.folder.stat().st_mode):04o}"
    values = {"folder": str(place.folder), "mode": mode, "log": str(place.log)}
    return Finding("folder", f"{place.folder}, mode {mode}", values=values)


# What the daemon says


def daemon(model: str | None) -> Iterator[Finding]:
    """The daemon (started where none runs), its provider, and how quick it is."""
    place = endpoint()
    before = lifecycle.running(place)
    try:
        if before is not None:
            _status()  # a hung one is not asked for suggestions
        quickness = _guarded("latency", lambda: latency(model, cold=before is None))
        if lifecycle.running(place) is None:
            yield replace(quickness, name="daemon")
            return
        reply = _status()
    except AutocoderError as error:
        yield Finding("daemon", str(error), True, _UNWELL)
        return
    yield _daemon(reply, model, ran_before=before == reply["pid"])
    if reply["state"] != "failed":
        yield _provider(reply)
        yield quickness


_UNWELL = "run `autocoder daemon stop`, and see `autocoder daemon logs`"


def _status() -> Message:
    with connected(endpoint().address) as connection:
        return connection.ask(Status(), ANSWER_S)


def latency(model: str | None, *, cold: bool) -> Finding:
    """Two suggestions, the second a keystroke later, as a client sees them."""
    started = time.perf_counter()
    if cold:
        lifecycle.ensure(wanted("doctor", model))
    _suggest(SAMPLE)
    first_ms = 1000 * (time.perf_counter() - started)
    second_ms = min(_timed(SAMPLE + typed) for typed in ("e", "er", "ers"))
    start = "with the daemon's start" if cold else "from a running daemon"
    text = f"first suggestion {first_ms:.0f} ms ({start}), a keystroke later {second_ms:.0f} ms"
    values = {"first_ms": round(first_ms, 1), "next_ms": round(second_ms, 1), "cold": cold}
    if first_ms > SLOW_COLD_MS or second_ms > SLOW_WARM_MS:
        remedy = "this is slow: close what else uses the processor, or grant more --threads"
        return Finding("latency", text, True, remedy, values)
    return Finding("latency", text, values=values)


def _timed(prefix: str) -> float:
    started = time.perf_counter()
    _suggest(prefix)
    return 1000 * (time.perf_counter() - started)


def _suggest(prefix: str) -> None:
    """Ask whatever daemon runs. Raises DaemonError, ModelError, ProtocolError."""
    place = endpoint()
    pid = lifecycle.running(place)
    if pid is None:
        raise DaemonError("the daemon ended; see `autocoder daemon logs`")
    request = Complete(prefix=prefix, document="doctor.py", language="python")
    with connected(place.address) as connection:
        completion(ask_living(connection, request, place, pid, SUGGESTION_S))


def _daemon(reply: Message, model: str | None, *, ran_before: bool) -> Finding:
    begun = "already ran" if ran_before else "was started"
    served = f"{reply['model']['name']} ({reply['model']['sha256'][:12]})"
    text = (
        f"process {reply['pid']} {begun}, serves {served} from {reply['model']['folder']}, "
        f"{reply['memory_mb']:.0f} MB, state {reply['state']}{_doomed(reply, model)}"
    )
    names = ("pid", "version", "model", "state", "memory_mb", "uptime_s", "threads")
    values = {name: reply[name] for name in names}
    if reply["problem"]:
        why, _, remedy = str(reply["problem"]).partition("; ")
        return Finding("daemon", f"{text}: {why}", True, remedy or _UNWELL, values)
    return Finding("daemon", text, values=values)


def _doomed(reply: Message, model: str | None) -> str:
    """That the next client has it replaced, and why; "" where it is the one that clients mean."""
    _, ours = meant(model, endpoint())
    if reply["version"] != autocoder.__version__:
        why = f"it is version {reply['version']}"
    elif reply["model"]["sha256"] != ours.sha256:
        why = f"who names no other model means {ours.name}"
        why = f"who says --model {model} means {ours.name}" if model else why
    else:
        return ""
    return f"; the next client replaces it, for {why}"


def _provider(reply: Message) -> Finding:
    why = f" ({reply['reason']})" if reply["reason"] else ""
    text = f"{reply['provider']}, {reply['threads']} threads{why}"
    values = {name: reply[name] for name in ("provider", "reason", "threads")}
    return Finding("provider", text, values=values)


# The report


def as_json(found: Sequence[Finding]) -> str:
    """The report as JSON: {"ok": bool, "findings": [...]}."""
    ok = not any(finding.problem for finding in found)
    return json.dumps({"ok": ok, "findings": [asdict(finding) for finding in found]}, indent=2)


def as_lines(found: Sequence[Finding]) -> Iterator[str]:
    """The report for people."""
    for finding in found:
        yield f"{'!!' if finding.problem else 'ok'} {finding.name:<10} {finding.text}"
        if finding.problem and finding.remedy != finding.text:
            yield f"   {'':<10} -> {finding.remedy}"
    problems = sum(finding.problem for finding in found)
    tried = any(finding.name == "daemon" for finding in found)
    yield f"problems: {problems}" + ("" if tried else "; the daemon was not tried")
