"""The last lines of what happened, for "Autocoder: Log". Never the user's text. Knows no views."""

from __future__ import annotations

import time
from collections import deque
from typing import Callable

KEPT = 500
LONGEST = 500


class Log:
    """Lines with their time; what the user should know is also said, once each."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._said: set[str] = set()

    def add(self, text: str) -> None:
        """Keep a line."""
        self._lines.append(time.strftime("%H:%M:%S ") + " ".join(text.split())[:LONGEST])

    def warn(self, text: str) -> None:
        """Keep a line, and say it unless that was done before."""
        self.add(text)
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def lines(self) -> list[str]:
        """All that is kept, oldest first."""
        return list(self._lines)
