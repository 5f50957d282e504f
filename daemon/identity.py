"""Which model a daemon serves: the folder that was told, and what its manifest says of it.

Reads no weights, so `hello` can be answered while the model still loads.
"""

import os
from pathlib import Path

from autocoder.daemon.protocol import ModelInfo


def told(model: str | None) -> Path | None:
    """The model folder that the user named, by option or $AUTOCODER_MODEL; None: any will do."""
    name = model or os.environ.get("AUTOCODER_MODEL")
    return Path(name).expanduser().resolve() if name else None


def model_info(folder: Path | None) -> ModelInfo:
    """What the manifest of a folder (None: the bundled one) says. Raises ModelError."""
    from autocoder.daemon import model_folder

    return model_folder.load(folder or model_folder.bundled()).info
