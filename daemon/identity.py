"""Which model a daemon serves: the folder that was told, and what its manifest says of it.

Reads no weights, so `hello` can be answered while the model still loads.
"""

import os
from pathlib import Path

from autocoder.daemon.model_folder import VARIABLE, bundled, load
from autocoder.daemon.protocol import ModelInfo


def told(model: str | None) -> Path | None:
    """The model folder that the user named, by option or $AUTOCODER_MODEL; None: any will do."""
    name = model or os.environ.get(VARIABLE)
    return Path(name).expanduser().resolve() if name else None


def model_info(folder: Path | None) -> ModelInfo:
    """What the manifest of a folder (None: the bundled one) says. Raises ModelError."""
    return load(folder or bundled(), check_hashes=False).info
