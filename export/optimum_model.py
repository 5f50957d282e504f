"""Optimum traces a torch model to ONNX with a KV cache: where our passes begin.

A small model takes a second, most of it importing. Knows nothing of the graph's contents.
"""

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto


def trace(model: Any) -> ModelProto:
    """The ONNX form (task text-generation-with-past) of a float32 torch model, in memory."""
    from optimum.exporters.onnx import onnx_export_from_model

    logging.getLogger("optimum").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's remarks on transformers' own branches
        onnx_export_from_model(
            model,
            Path(folder),
            task="text-generation-with-past",
            do_validation=False,
            no_post_process=False,
        )
        return onnx.load(Path(folder) / "model.onnx")
