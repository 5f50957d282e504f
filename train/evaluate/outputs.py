"""Where results are written: checked before anything is measured, and replaced as a whole.

Knows paths and text; knows no results.
"""

import os
from pathlib import Path
from tempfile import TemporaryFile

from autocoder.daemon.errors import ConfigError


def check_folder(folder: Path) -> None:
    """Make the folder. Raises ConfigError where files cannot be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write into {folder} ({error}); give another -o") from error


def check_file(path: Path) -> None:
    """Raises ConfigError where no file can be at `path`. Leaves what is there as it is."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file as -o")
    if not path.parent.is_dir():
        raise ConfigError(f"no folder {path.parent} for {path.name}; make it, or give another -o")


def replace(path: Path, text: str) -> None:
    """Write `text` so that `path` holds the old text or the new one, and never a part."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
