"""The mean of checkpoints of one model: of its last two stages, for instance.

What several stages end at lies in one valley, and its middle is often better than its rims
(Wortsman et al., "Model Soups", 2022). A mean lies on no grid; `gptq.py` puts it there. Tokenizer,
prompt form and card are the last checkpoint's.

    python -m autocoder.train.pretrain.average STAGE4/final STAGE5/final -o MEAN
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from autocoder.daemon.errors import AutocoderError, ConfigError

WEIGHTS = "model.safetensors"


def mean(checkpoints: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of each tensor. Raises ConfigError where names or shapes differ."""
    parts = [_weights(folder) for folder in checkpoints]
    for folder, part in zip(checkpoints, parts, strict=True):
        if _shapes(part) != _shapes(parts[0]):
            raise ConfigError(f"{folder} is another model than {checkpoints[0]}: shapes differ")
    return {name: _mean([part[name] for part in parts]) for name in parts[0]}


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    stacked = torch.stack([tensor.float() for tensor in tensors])
    return stacked.mean(0).to(tensors[-1].dtype).contiguous()


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in weights.items()}


def _weights(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"{folder} has no whole {WEIGHTS} ({error}); give a checkpoint"
        ) from error


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(prog="autocoder.train.pretrain.average", description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    if options.output.exists():
        raise ConfigError(f"{options.output} is there already; give another folder")
    weights = mean(options.checkpoints)
    shutil.copytree(options.checkpoints[-1], options.output)
    save_file(weights, options.output / WEIGHTS, metadata={"format": "pt"})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AutocoderError as error:
        sys.exit(f"autocoder.train.pretrain.average: {error}")
