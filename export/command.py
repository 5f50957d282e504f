"""`autocoder export CHECKPOINT OUT`: a Hugging Face checkpoint becomes a verified model folder.

With `--unpack` the other way: a model folder (`bundled`: the shipped one) becomes a checkpoint to
fine-tune from. Knows arguments and printed lines; `exporting.py` does the work.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from autocoder.daemon.errors import ConfigError


def main(arguments: Sequence[str]) -> int:
    """Run `autocoder export …`; returns the exit status. Raises AutocoderError when refused."""
    options = _parser().parse_args(arguments)
    if options.unpack:
        return _unpack(options)
    from autocoder.export.exporting import Settings, export
    from autocoder.export.verify import Bounds

    settings = Settings(
        name=options.name,
        quantisation=options.quantise,
        block=options.block,
        context=options.context,
        licence=options.licence,
        sample=_read(options.sample),
        bounds=Bounds(options.verify_tolerance, options.verify_rounding, options.max_loss),
    )
    model = export(options.checkpoint, options.out, settings)
    size = sum(path.stat().st_size for path in model.path.iterdir())
    print(f"{model.path}: {model.name}, {model.quantisation}, {size / 2**20:.1f} MiB")
    report = model.results["export"]
    print(
        f"largest logit difference from torch: {report['exact']['largest']} exact, "
        f"{report['cpu']['largest']} as shipped (CPU); loss on the sample {report['loss']:+.2%}"
    )
    return 0


def _unpack(options: argparse.Namespace) -> int:
    from autocoder.export.unpack import BUNDLED, unpack

    source = None if options.checkpoint == BUNDLED else Path(options.checkpoint)
    model = unpack(source, options.out, dtype=options.dtype)
    print(f"{options.out}: {model.name} as a Hugging Face checkpoint in {options.dtype}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="autocoder export", description=__doc__)
    parser.add_argument("checkpoint", help="Hugging Face folder, or the name of a hub model")
    parser.add_argument("out", type=Path, help="folder to write; must not exist")
    parser.add_argument(
        "--unpack", action="store_true", help="take a model folder (or `bundled`) back apart"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="of --unpack"
    )
    parser.add_argument("--name", help="the model's name (default: the checkpoint folder's)")
    parser.add_argument(
        "--quantise", choices=("int4", "int8", "none"), default="int4", help="weights (int4)"
    )
    parser.add_argument(
        "--block", type=int, choices=(32, 64, 128), default=32, help="weights with one scale (32)"
    )
    parser.add_argument("--context", type=int, help="cap on the context, in tokens")
    parser.add_argument("--licence", help="the weights' licence, for the manifest")
    parser.add_argument("--sample", type=Path, help="text to measure the quantisation's loss on")
    parser.add_argument(
        "--verify-tolerance",
        type=float,
        default=1e-3,
        help="largest logit difference of the exact graph, as a share of the largest logit",
    )
    parser.add_argument(
        "--verify-rounding",
        type=float,
        default=0.08,
        help="the same for the shipped graphs, whose activations are int8 or float16",
    )
    parser.add_argument(
        "--max-loss", type=float, default=0.10, help="how much worse than the original (0.10)"
    )
    return parser


def _read(path: Path | None) -> str | None:
    try:
        return None if path is None else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the sample {path}: {error}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
