"""What the daemon counts for `status`: requests, latencies, feedback, clients. Keeps no text."""

import resource
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

from autocoder.daemon.protocol import EVENTS

SAMPLES = 512
RECENT_S = 60.0


class Statistics:
    """Counters since the daemon's start."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.requests: Counter[str] = Counter()
        self.feedback: Counter[str] = Counter()
        self._latencies_ms: deque[float] = deque(maxlen=SAMPLES)
        self._seen: dict[bytes, float] = {}

    def saw(self, client: bytes, now: float) -> None:
        """A message came from this client."""
        self._seen[client] = now
        if len(self._seen) > 1000:
            self._seen = {c: at for c, at in self._seen.items() if now - at <= RECENT_S}

    def took(self, milliseconds: float) -> None:
        """A completion was answered so long after it arrived."""
        self._latencies_ms.append(milliseconds)

    def fields(self, now: float) -> dict[str, Any]:
        """The part of a `status` reply that is counted here."""
        return {
            "uptime_s": round(now - self.started, 3),
            "requests": {name: self.requests[name] for name in ("complete", "cancelled", "errors")},
            "latency_ms": self._latency(),
            "memory_mb": round(resident_mb(), 1),
            "clients": sum(now - at <= RECENT_S for at in self._seen.values()),
            "feedback": {event: self.feedback[event] for event in EVENTS},
        }

    def _latency(self) -> dict[str, float | int | None]:
        ordered = sorted(self._latencies_ms)
        return {
            "p50": _quantile(ordered, 0.5),
            "p95": _quantile(ordered, 0.95),
            "count": len(ordered),
        }


def _quantile(ordered: list[float], share: float) -> float | None:
    """The nearest-rank quantile, or None of nothing."""
    return round(ordered[round(share * (len(ordered) - 1))], 3) if ordered else None


def resident_mb() -> float:
    """The resident set of this process in MiB; where /proc is missing, its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)
