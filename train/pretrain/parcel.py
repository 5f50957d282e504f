"""A checkpoint in a few small files, for a way that carries no large ones.

    python -m autocoder.train.pretrain.parcel pack RUN/final PARTS --bits 4
    python -m autocoder.train.pretrain.parcel open PARTS CHECKPOINT

Matrices are stored on the grid of blocks (export/quantise.py): with 4 bits a model that was
trained through that grid arrives as it will ship, with 8 bits weights to go on from lose about what
bfloat16 would. Vectors stay float32. Knows files and numpy; trains nothing.
"""

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.export.quantise import Quantised, quantise, trained_block

WEIGHTS = "model.safetensors"
PART = "part-{:02}"


def pack(checkpoint: Path, out: Path, bits: int, part_bytes: int) -> list[Path]:
    """Write a checkpoint as parts of at most `part_bytes`; returns their paths.

    Raises ConfigError where it has no float32 weights (numpy reads no bfloat16).
    """
    try:
        tensors = load_file(str(checkpoint / WEIGHTS))
    except (OSError, TypeError, AttributeError) as error:
        raise ConfigError(f"no float32 weights in {checkpoint}: {error}") from error
    stored: dict[str, np.ndarray] = {"bits": np.array(bits)}
    block = trained_block(json.loads((checkpoint / "config.json").read_text()))
    for name, value in tensors.items():
        if value.ndim == 2:
            grid = quantise(value, bits, block)
            stored |= {f"{name}:packed": grid.packed, f"{name}:scales": grid.scales}
        else:
            stored[name] = value
    for path in sorted(checkpoint.iterdir()):
        if path.name != WEIGHTS:
            stored[f"file:{path.name}"] = np.frombuffer(path.read_bytes(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **stored)
    return _split(buffer.getbuffer(), out, part_bytes)


def _split(data: memoryview, out: Path, size: int) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, start in enumerate(range(0, len(data), size)):
        paths.append(out / PART.format(number))
        paths[-1].write_bytes(data[start : start + size])
    return paths


def unpack(parts: Path, checkpoint: Path) -> None:
    """The checkpoint of a folder of parts, with float32 weights that lie on the grid."""
    paths = sorted(parts.glob(PART.replace("{:02}", "*")))
    if not paths:
        raise ConfigError(f"no {PART.format(0)} in {parts}")
    stored = np.load(io.BytesIO(b"".join(path.read_bytes() for path in paths)))
    bits, tensors = int(stored["bits"]), {}
    checkpoint.mkdir(parents=True, exist_ok=True)
    for name in stored.files:
        if name.endswith(":packed"):
            own = name.removesuffix(":packed")
            tensors[own] = Quantised(bits, stored[name], stored[f"{own}:scales"]).dequantised()
        elif name.startswith("file:"):
            (checkpoint / name.removeprefix("file:")).write_bytes(stored[name].tobytes())
        elif name != "bits" and not name.endswith(":scales"):
            tensors[name] = stored[name]
    save_file(tensors, str(checkpoint / WEIGHTS), metadata={"format": "pt"})


def main(arguments: Sequence[str]) -> int:
    """Pack or open; returns the exit status."""
    parser = argparse.ArgumentParser(prog="autocoder.train.pretrain.parcel", description=__doc__)
    parser.add_argument("what", choices=("pack", "open"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--bits", type=int, choices=(4, 8), default=4)
    parser.add_argument("--part-mib", type=float, default=15.9)
    options = parser.parse_args(arguments)
    if options.what == "open":
        unpack(options.source, options.target)
        print(json.dumps({"checkpoint": str(options.target)}))
        return 0
    size = int(options.part_mib * 2**20)
    paths = pack(options.source, options.target, options.bits, size)
    print(json.dumps({path.name: path.stat().st_size for path in paths}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AutocoderError as error:
        sys.exit(f"parcel: {error}")
