"""Which model is meant: the folder that was told or chosen, and what its manifest says of it.

Reads no weights, so `hello` can be answered while the model still loads.
"""

import os
from pathlib import Path

from autocoder.daemon.choice import recorded
from autocoder.daemon.endpoint import Endpoint
from autocoder.daemon.errors import ModelError
from autocoder.daemon.model_folder import VARIABLE, bundled, load
from autocoder.daemon.protocol import ModelInfo


def told(model: str | None) -> Path | None:
    """The model folder that the user named, by option or $AUTOCODER_MODEL; None: none was."""
    name = model or os.environ.get(VARIABLE)
    return Path(name).expanduser().resolve() if name else None


def meant(model: str | None, place: Endpoint) -> tuple[Path, ModelInfo]:
    """The model that a client means, its folder and its identity.

    It is `model`, else $AUTOCODER_MODEL, else what `daemon start` chose at `place`, else the
    bundled one. Raises ModelError where there is none.
    """
    folder = told(model)
    if folder is not None:
        return folder, model_info(folder)
    chosen = recorded(place).get("model")
    if chosen is None:
        return bundled(), model_info(None)
    try:
        return Path(chosen), model_info(Path(chosen))
    except ModelError as error:
        remedy = "`autocoder daemon start` chose it, `autocoder daemon stop` forgets the choice"
        raise ModelError(f"{error}; {remedy}") from error


def model_info(folder: Path | None) -> ModelInfo:
    """What the manifest of a folder (None: the bundled one) says. Raises ModelError."""
    return load(folder or bundled(), check_hashes=False).info
