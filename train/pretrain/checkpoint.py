"""Training states on disk: written beside, then renamed, so that a killed run leaves the last one.

`step-NNNNNN.pt` holds everything that the next step depends on. Knows files; knows no schedule.
"""

from pathlib import Path
from typing import Any

import torch

from autocoder.daemon.errors import ConfigError


def save_state(folder: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write the state after `step` steps; older ones beyond `keep` are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:06}.pt"
    hidden = path.with_suffix(".part")
    torch.save({"step": step, **state}, hidden)
    hidden.rename(path)
    for old in sorted(folder.glob("step-*.pt"))[:-keep]:
        old.unlink()
    return path


def newest_state(folder: Path) -> dict[str, Any] | None:
    """The newest state of a folder, on the CPU, or None. Raises ConfigError if it is damaged."""
    paths = sorted(folder.glob("step-*.pt"))
    if not paths:
        return None
    try:
        return dict(torch.load(paths[-1], map_location="cpu", weights_only=True))
    except Exception as error:
        raise ConfigError(f"{paths[-1]} cannot be read ({error}); delete it to go on") from error
