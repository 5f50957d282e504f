"""A bar on standard error while something takes long; silent where that is no terminal."""

import sys
import time

WIDTH, EVERY_S = 30, 0.2


class Progress:
    """`step()` once for each of `total` steps; use as a context."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total = name, max(1, total)
        self._done, self._drawn = 0, 0.0
        self._visible = sys.stderr.isatty()
        self._started = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._visible:
            print(f"\r{' ' * 79}\r", end="", file=sys.stderr, flush=True)

    def step(self) -> None:
        """One step is done."""
        self._done += 1
        now = time.monotonic()
        if self._visible and now - self._drawn >= EVERY_S:
            self._drawn = now
            print(f"\r{self._line(now)}", end="", file=sys.stderr, flush=True)

    def _line(self, now: float) -> str:
        share = min(1.0, self._done / self._total)
        left = (now - self._started) * (1 - share) / max(share, 1e-9)
        bar = "█" * round(share * WIDTH)
        return f"{self._name} {bar:░<{WIDTH}} {share:4.0%}, {left:.0f} s left "[:79].ljust(79)
