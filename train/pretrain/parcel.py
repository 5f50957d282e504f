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
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.export.quantise import Quantised, quantise, trained_block

WEIGHTS = "model.safetensors"
PART = "part-{:02}"
NUMBERED = re.compile(r"part-(\d\d+)")


def pack(checkpoint: Path, out: Path, bits: int, part_bytes: int) -> list[Path]:
    """Write a checkpoint as parts of at most `part_bytes`; returns their paths.

    Sub-folders stay behind (training data). Raises ConfigError where it has no float32 weights
    (numpy reads no bfloat16).
    """
    tensors, block = _weights(checkpoint)
    stored: dict[str, np.ndarray] = {"bits": np.array(bits)}
    for name, value in tensors.items():
        if value.ndim == 2:
            grid = quantise(value, bits, block)
            stored |= {f"{name}:packed": grid.packed, f"{name}:scales": grid.scales}
        else:
            stored[name] = value
    for path in sorted(checkpoint.iterdir()):
        if path.name != WEIGHTS and path.is_file():
            stored[f"file:{path.name}"] = np.frombuffer(path.read_bytes(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **stored)
    return _split(buffer.getbuffer(), out, part_bytes)


def _weights(checkpoint: Path) -> tuple[dict[str, np.ndarray], int]:
    """The tensors of a checkpoint, and how many weights share a scale."""
    try:
        tensors = load_file(str(checkpoint / WEIGHTS))
        return tensors, trained_block(json.loads((checkpoint / "config.json").read_text()))
    except (OSError, ValueError, TypeError, AttributeError, SafetensorError) as error:
        raise ConfigError(f"no float32 weights in {checkpoint}: {error}") from error


def _split(data: memoryview, out: Path, size: int) -> list[Path]:
    """Write the parts, and remove those that an earlier, larger parcel had beyond them."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, start in enumerate(range(0, len(data), size)):
        paths.append(out / PART.format(number))
        paths[-1].write_bytes(data[start : start + size])
    for number, path in _numbered(out).items():
        if number >= len(paths):
            path.unlink()
    return paths


def _numbered(parts: Path) -> dict[int, Path]:
    """The parts of a folder by number, in order."""
    found = {path: NUMBERED.fullmatch(path.name) for path in parts.glob("part-*")}
    return dict(sorted((int(match[1]), path) for path, match in found.items() if match))


def unpack(parts: Path, checkpoint: Path) -> None:
    """The checkpoint of a folder of parts, with float32 weights that lie on the grid.

    Raises ConfigError where a part is missing or damaged, or `checkpoint` holds anything.
    """
    if checkpoint.exists() and (not checkpoint.is_dir() or any(checkpoint.iterdir())):
        raise ConfigError(f"{checkpoint} is there already; give another folder, or delete that one")
    paths = _whole(parts)
    try:
        tensors, files = _opened(b"".join(path.read_bytes() for path in paths))
    except (zipfile.BadZipFile, EOFError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{paths[-1]}, the last part, is truncated, others should follow it, or a part is "
            f"damaged ({error}); fetch them again"
        ) from error
    checkpoint.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (checkpoint / Path(name).name).write_bytes(content)
    save_file(tensors, str(checkpoint / WEIGHTS), metadata={"format": "pt"})


def _whole(parts: Path) -> list[Path]:
    """The parts in order. Raises ConfigError for one that is missing or shorter than the others."""
    found = _numbered(parts)
    missing = set(range(max(found, default=0) + 1)) - set(found)
    if missing:
        raise ConfigError(f"no {PART.format(min(missing))} in {parts}; fetch it again")
    paths = list(found.values())
    sizes = [path.stat().st_size for path in paths]
    for path, size in zip(paths[:-1], sizes, strict=False):
        if size < max(sizes):
            raise ConfigError(f"{path} is shorter than other parts; fetch it again, or all of them")
    return paths


def _opened(data: bytes) -> tuple[dict[str, np.ndarray], Mapping[str, bytes]]:
    """The tensors and the other files of joined parts."""
    stored = np.load(io.BytesIO(data))
    bits, tensors, files = int(stored["bits"]), {}, {}
    for name in stored.files:
        if name.endswith(":packed"):
            own = name.removesuffix(":packed")
            tensors[own] = Quantised(bits, stored[name], stored[f"{own}:scales"]).dequantised()
        elif name.startswith("file:"):
            files[name.removeprefix("file:")] = stored[name].tobytes()
        elif name != "bits" and not name.endswith(":scales"):
            tensors[name] = stored[name]
    return tensors, files


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
    if not 0 < options.part_mib < 2**20:
        raise ConfigError(f"--part-mib {options.part_mib:g} is no size; give one above 0")
    size = max(1, int(options.part_mib * 2**20))
    paths = pack(options.source, options.target, options.bits, size)
    print(json.dumps({path.name: path.stat().st_size for path in paths}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AutocoderError as error:
        sys.exit(f"parcel: {error}")
