"""Runs one shell command in a real terminal and waits until its editor shows ghost text.

Usage: python .ci/first_command.py 'COMMAND'. Exit status 0 when grey text stood right of the cursor
after typing; 1, with the last screen printed, when it did not come in time.
"""

import os
import pty
import select
import signal
import sys
import time

import pyte

COLUMNS, ROWS = 100, 40
PATIENCE_S = 900  # pip may have to fetch; ghost text itself gets GHOST_S
GHOST_S = 20


class Terminal:
    """A child process behind a pseudo-terminal, and what its screen shows."""

    def __init__(self, command: str) -> None:
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        self.child, self.fd = pty.fork()
        if self.child == 0:
            os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS))
            os.execvp("bash", ["bash", "-euo", "pipefail", "-c", command])
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def read(self, seconds: float) -> None:
        """Feed what arrives within `seconds` to the screen, answering cursor position requests."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                return
            data = os.read(self.fd, 65536)
            if b"\x1b[6n" in data:
                os.write(self.fd, b"\x1b[1;1R")
            self.stream.feed(data)

    def wait_for(self, seen: object, seconds: float) -> bool:
        """Read until `seen()` holds; False when `seconds` have passed first."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                self.read(0.1)
            except OSError:
                return False
            if seen():  # type: ignore[operator]
                return True
        return False

    def shows(self, text: str) -> bool:
        return any(text in line for line in self.screen.display)

    def ghost(self) -> str:
        """The text right of the cursor, if it is drawn in another colour than the typed text."""
        row, at = self.screen.cursor.y, self.screen.cursor.x
        cells = self.screen.buffer[row]
        if at == 0 or cells[at].fg == cells[at - 1].fg:
            return ""
        return "".join(cells[x].data for x in range(at, COLUMNS)).rstrip()


def main(command: str) -> int:
    terminal = Terminal(command)
    try:
        if not terminal.wait_for(lambda: terminal.shows("A first tour"), PATIENCE_S):
            return failed(terminal, "the editor did not open the file")
        os.write(terminal.fd, b"\x1b[1;5F")  # Ctrl-End
        terminal.read(0.5)
        for key in "for i in ran":
            os.write(terminal.fd, key.encode())
            terminal.read(0.08)
        if not terminal.wait_for(terminal.ghost, GHOST_S):
            return failed(terminal, "no ghost text")
        print("ghost text after 'for i in ran':", terminal.ghost())
        return 0
    finally:
        os.kill(terminal.child, signal.SIGKILL)
        os.waitpid(terminal.child, 0)


def failed(terminal: Terminal, why: str) -> int:
    print(f"{why}; the screen was:", *terminal.screen.display, sep="\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
