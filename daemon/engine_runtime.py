"""Which ONNX Runtime is installed: exactly one package of two that share one module's name.

Imports it only when asked, so that `doctor` can tell what is wrong. Standard library only.
"""

import importlib
from importlib import metadata
from typing import Any

from autocoder.daemon.errors import ModelError

RUNTIMES = ("onnxruntime", "onnxruntime-gpu")


def conflicting_runtimes() -> tuple[str, ...]:
    """The ONNX Runtime packages installed, if more than one: they overwrite each other's files."""
    found = tuple(name for name in RUNTIMES if is_installed(name))
    return found if len(found) > 1 else ()


def is_installed(package: str) -> bool:
    """Is a distribution of this name installed?"""
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


def import_runtime() -> Any:
    """The module `onnxruntime`. Raises ModelError where it is missing, broken or doubled."""
    both = conflicting_runtimes()
    if both:
        raise ModelError(
            f"{' and '.join(both)} are installed together and overwrite each other; "
            f"run `pip uninstall -y {' '.join(both)}`, then install autocoder[cpu] or [cuda]"
        )
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ModelError(
            f"ONNX Runtime does not load ({error}); install autocoder[cpu], "
            "or autocoder[cuda] for an NVIDIA GPU"
        ) from error
