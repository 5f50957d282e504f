"""Where a growing text must end: before a line break too many, or before a stop string.

Works on UTF-8 bytes, where a line feed is never part of another character, so that a text can be
cut while its last character is still unfinished. Knows no tokens and no model.
"""

from dataclasses import dataclass

BLANK = b" \t\r\n"
LEADING_BREAKS = 3  # two empty lines, as Python puts between functions, and a new one


@dataclass(frozen=True)
class StopRules:
    """`max_lines` lines (0: any number) and the `stops`, of which the first found counts.

    With `next_line`, line breaks before the first visible character do not count: behind
    `def f(x):` the one line wanted is the next one.
    """

    max_lines: int = 0
    stops: tuple[bytes, ...] = ()
    next_line: bool = True

    def cut(self, text: bytes) -> tuple[int, str] | None:
        """The length to keep of `text` and why ("line" or "stop"), or None to go on."""
        cuts = [(self._line_end(text), "line"), *((text.find(s), "stop") for s in self.stops)]
        return min((found for found in cuts if found[0] >= 0), default=None)

    def _line_end(self, text: bytes) -> int:
        """Where line `max_lines` ends, or -1 while it does not."""
        if not self.max_lines:
            return -1
        start = len(text) - len(text.lstrip(BLANK)) if self.next_line else 0
        if text.count(b"\n", 0, start) > LEADING_BREAKS:
            return 0
        return _find_nth(text, b"\n", self.max_lines, start)


def _find_nth(text: bytes, wanted: bytes, number: int, start: int) -> int:
    at = start - 1
    for _ in range(number):
        at = text.find(wanted, at + 1)
        if at == -1:
            return -1
    return at


def cursor_ends_line(suffix: str) -> bool:
    """Whether nothing visible follows the cursor on its line."""
    return not suffix.partition("\n")[0].strip()
