"""The one command line: `autocoder COMMAND …`.

Knows which module answers which command and imports only that one, so that `autocoder edit`
never pays for what `autocoder train` needs. Every such module offers
`main(arguments: Sequence[str]) -> int` and raises `AutocoderError` for what a user can mend.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from autocoder import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "edit": ("autocoder.clients.editor.command", "edit a file with ghost text"),
    "repl": ("autocoder.clients.repl", "type code at a prompt and see it continued"),
    "complete": ("autocoder.clients.complete", "print one suggestion, for scripts"),
    "bridge": ("autocoder.clients.bridge", "newline-delimited JSON on stdio, for thin editors"),
    "vim": ("autocoder.clients.vim_command", "install the plugin for Vim and Neovim"),
    "sublime": ("autocoder.clients.sublime_command", "install the plugin for Sublime Text 4"),
    "daemon": ("autocoder.daemon.command", "run|start|stop|status|logs of the resident daemon"),
    "bench": ("autocoder.clients.bench.command", "measure how fast suggestions are here"),
    "doctor": ("autocoder.clients.doctor", "say what is installed, what works, and how to mend it"),
    "train": ("autocoder.train.command", "corpus, tokenizer, pre-training, fine-tuning"),
    "export": ("autocoder.export.command", "turn a checkpoint into a model folder for the daemon"),
    "eval": ("autocoder.train.evaluate.command", "measure a model"),
}


def usage() -> str:
    """The help text: one line per command."""
    rows = "\n".join(f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items())
    return f"usage: autocoder COMMAND …\n\n{rows}\n\nautocoder COMMAND --help says more."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status (2: the user can mend it, 130: interrupted)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"autocoder {__version__}")
        return 0
    if words[0] not in COMMANDS:
        print(f"autocoder: no command {words[0]!r}\n\n{usage()}", file=sys.stderr)
        return 2
    return _run(words[0], words[1:])


def _run(name: str, arguments: list[str]) -> int:
    from autocoder.daemon.errors import AutocoderError

    try:
        return int(importlib.import_module(COMMANDS[name][0]).main(arguments))
    except AutocoderError as error:
        print(f"autocoder {name}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        return _missing(name, error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _forget_output()
        return 141
    except OSError as error:  # a full disk, an unwritable output
        _forget_output()
        print(f"autocoder {name}: {error}", file=sys.stderr)
        return 1


def _forget_output() -> None:
    """What waits for an output that is gone must not raise again when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _missing(name: str, error: ModuleNotFoundError) -> int:
    if (error.name or "").startswith("autocoder"):
        raise error
    from autocoder.daemon.engine_runtime import is_installed

    runtime = "cuda" if is_installed("onnxruntime-gpu") else "cpu"  # one that is there stays
    extras = f"{runtime},train" if name in ("train", "export", "eval") else runtime
    print(
        f"autocoder {name}: the Python package {error.name!r} is not installed. "
        f"Install it, and what else this needs, with: pip install 'autocoder[{extras}]'",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
