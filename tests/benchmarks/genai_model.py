"""The same weights as an onnxruntime-genai folder: int4 blocks of 32, for the CPU.

    python tests/benchmarks/genai_model.py daemon/model OUT

Its model builder wants transformers 5, optimum-onnx wants 4: run this in an environment with
`onnxruntime-genai onnx onnx_ir torch transformers>=5`, and hand the folder that holds OUT (named
`genai`) to `compare.py --scratch`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from checkpoint import write_checkpoint
from folder_weights import read

GRID = (
    "int4_block_size=32",
    "int4_accuracy_level=4",
    "int4_is_symmetric=true",
    "int4_op_types_to_quantize=MatMul/Gather",
)


def build(checkpoint: Path, out: Path, cache: Path) -> None:
    """Run the model builder's own command line."""
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    what = ["-i", str(checkpoint), "-o", str(out), "-p", "int4", "-e", "cpu", "-c", str(cache)]
    subprocess.run([*builder, *what, "--extra_options", *GRID], check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        source = write_checkpoint(read(Path(sys.argv[1])), Path(scratch) / "checkpoint")
        build(source, Path(sys.argv[2]), Path(scratch) / "cache")
