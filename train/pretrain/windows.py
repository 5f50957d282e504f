"""Samples are packed into windows of equal length, without padding and without cutting a hole.

Where the next hole does not fit into what is left of a window, plain text fills the gap: it may be
cropped anywhere and goes on, behind its control code, in a later gap or window. Knows token ids.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

KEPT_FOR_GAPS = 4  # windows' worth of plain text that waits for gaps


class Packer:
    """Collects samples; `windows` are the whole ones so far, (length,) uint16 each."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.windows: list[NDArray[np.uint16]] = []
        self._open: list[int] = []
        self._plain: deque[tuple[int, list[int]]] = deque()  # (control code, the text's tokens)
        self._waiting = 0

    def add_plain(self, sample: list[int]) -> None:
        """Keep `<control> TEXT <eos>` for gaps, and for windows of its own once enough waits."""
        self._plain.append((sample[0], sample[1:]))
        self._waiting += len(sample)
        while self._waiting > KEPT_FOR_GAPS * self.length:
            self._fill_gap()

    def add_hole(self, sample: list[int]) -> None:
        """Place a hole whole. One longer than a window is dropped."""
        if len(sample) > self.length:
            return
        if len(sample) > self.length - len(self._open):
            self._fill_gap()
        if len(sample) > self.length - len(self._open):  # no plain text waits: give up the gap
            self._open += sample[: self.length - len(self._open)]
            self._close_if_full()
            return
        self._open += sample
        self._close_if_full()

    def _fill_gap(self) -> None:
        """Complete the open window with plain text, as far as there is any."""
        while self._plain and len(self._open) < self.length:
            control, text = self._plain.popleft()
            room = self.length - len(self._open) - 1
            self._open += [control, *text[:room]]
            self._waiting -= 1 + len(text)
            if len(text) > room:
                self._plain.appendleft((control, text[room:]))
                self._waiting += 1 + len(text) - room
        self._close_if_full()

    def _close_if_full(self) -> None:
        if len(self._open) == self.length:
            self.windows.append(np.asarray(self._open, np.uint16))
            self._open = []
