"""`autocoder edit FILE`: opens a file in the full-screen editor."""

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from autocoder.clients.client import Client
from autocoder.clients.editor.editor import Editor
from autocoder.clients.editor.file import open_file
from autocoder.clients.editor.recovery import log_file
from autocoder.daemon.errors import ConfigError
from autocoder.daemon.languages import LANGUAGES


def parser() -> argparse.ArgumentParser:
    """The command line."""
    names = [row.name for row in LANGUAGES]
    made = argparse.ArgumentParser(
        prog="autocoder edit", description="Edit a file with ghost text. F1 lists the keys."
    )
    made.add_argument("file", metavar="FILE", type=Path, help="the file; a missing one is begun")
    made.add_argument("--language", choices=names, help="default: by the file's ending")
    made.add_argument("--line", type=int, default=1, metavar="N", help="put the cursor there")
    made.add_argument("--no-suggestions", action="store_true", help="a plain editor; F4 changes it")
    made.add_argument("--model", metavar="DIR", help="model folder; default: the bundled model")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the editor; the exit status."""
    options = parser().parse_args(arguments)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("the editor needs a terminal; in scripts use `autocoder complete`")
    _log_to_file()
    editor = Editor(open_file(options.file), Client("edit", model=options.model), options.language)
    if options.no_suggestions:
        editor.suggester.enable(False)
    editor.go_to_line(options.line)
    return _leave_at_once(editor.run())


def _leave_at_once(status: int) -> int:
    """Leaving waits for nothing, not even for a thread that still waits for a daemon to start."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        logging.shutdown()
        os._exit(status)
    return status


def _log_to_file() -> None:
    """The screen is the editor's; what goes wrong is told in `edit.log` of the state folder."""
    try:
        os.makedirs(log_file().parent, mode=0o700, exist_ok=True)
        handler: logging.Handler = logging.FileHandler(log_file(), delay=True)
    except OSError:
        handler = logging.NullHandler()
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
