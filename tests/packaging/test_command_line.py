"""The front door: help, unknown words, and what it must not import."""

import subprocess
import sys


def autocoder(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "autocoder", *words], capture_output=True, text=True, timeout=60
    )


def test_help_lists_every_command_and_each_command_helps() -> None:
    from autocoder.__main__ import COMMANDS

    text = autocoder("--help").stdout
    for name in COMMANDS:
        assert f"  {name}" in text


def test_an_unknown_command_exits_2_and_says_what_there_is() -> None:
    answer = autocoder("compleet")
    assert answer.returncode == 2
    assert "compleet" in answer.stderr and "complete" in answer.stderr


def test_version() -> None:
    from autocoder import __version__

    assert autocoder("--version").stdout == f"autocoder {__version__}\n"


def test_the_clients_import_neither_torch_nor_the_runtime() -> None:
    code = (
        "import sys, autocoder.clients.complete, autocoder.clients.bridge, autocoder.clients.repl, "
        "autocoder.clients.editor.command, autocoder.clients.doctor\n"
        "print([m for m in ('torch', 'transformers', 'onnxruntime', 'onnx') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert answer.stdout.strip() == "[]", answer.stderr
