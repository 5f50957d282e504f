"""`autocoder complete` as a script calls it, and the cursor it is told."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autocoder.clients.cursor import LONGEST_PREFIX, LONGEST_SUFFIX, around, offset
from autocoder.daemon.errors import ConfigError

if TYPE_CHECKING:
    from conftest import FakeDaemon

Answer = subprocess.CompletedProcess[str]


def complete(fake: "FakeDaemon", *words: str, text: str = "", options: str = "") -> Answer:
    command = fake.autocoder("complete", *words, options=options)
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)


def test_standard_input_in_the_suggestion_alone_out(fake_daemon: "FakeDaemon") -> None:
    answer = complete(fake_daemon, text="for i in ran")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "ge(10):", "")


def test_no_suggestion_is_status_1_and_silence(fake_daemon: "FakeDaemon") -> None:
    answer = complete(fake_daemon, text="nothing known")
    assert (answer.returncode, answer.stdout, answer.stderr) == (1, "", "")


def test_a_file_at_a_cursor(fake_daemon: "FakeDaemon", tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("é = \nimport numpy as \n\n", encoding="utf-8")
    assert complete(fake_daemon, str(source), "--at", "2:17").stdout == "np"
    assert complete(fake_daemon, str(source), "--at", "1:5").stdout == "'ü'"
    assert complete(fake_daemon, str(source)).returncode == 1


def test_json_tells_everything(fake_daemon: "FakeDaemon") -> None:
    answer = complete(fake_daemon, "--json", text="é = ")
    found = json.loads(answer.stdout)
    assert found["suggestions"][0]["text"] == "'ü'"
    assert found["suggestions"][0]["probability"] == 0.5
    assert set(found["ms"]) == {"queued", "prompt", "decode", "total"}
    nothing = complete(fake_daemon, "--json", text="nothing known")
    assert nothing.returncode == 1 and json.loads(nothing.stdout)["suggestions"] == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--at", "9:1"], "the text has lines 1 to 2"),
        (["--at", "0:1"], "the text has lines 1 to 2"),
        (["--at", "1:14"], "line 1 has columns 1 to 13"),
        (["--at", "1:0"], "line 1 has columns 1 to 13"),
        (["--at", "5"], "give LINE:COL"),
        (["--at=-1:2"], "give LINE:COL"),
        (["--max-lines", "65"], "max_lines is 65"),
        (["--max-tokens", "0"], "max_tokens is 0"),
        (["--temperature", "9"], "temperature is 9"),
        (["--temperature", "nan"], "temperature is nan"),
        (["--candidates", "0"], "candidates is 0"),
        (["--stop", ""], "stop is ['']"),
        (["--stop", ";"] * 17, "at most 16"),
        (["no-such-file.py"], "cannot read no-such-file.py"),
        (["--model", "/no/model"], "/no/model"),
    ],
)
def test_what_the_user_can_mend_is_status_2_and_one_line(
    fake_daemon: "FakeDaemon", words: list[str], complaint: str
) -> None:
    answer = complete(fake_daemon, *words, text="for i in ran\n")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert complaint in answer.stderr
    assert answer.stderr.startswith("autocoder complete: ") and answer.stderr.count("\n") == 1


def test_it_ends_before_each_text_that_it_is_told_to_stop_at(fake_daemon: "FakeDaemon") -> None:
    command = ("--stop", "10", "--stop", "):")
    answer = complete(fake_daemon, *command, text="for i in ran")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "ge(", "")
    assert complete(fake_daemon, *command, text="import numpy as ").stdout == "np"


def test_a_file_that_is_no_text(fake_daemon: "FakeDaemon", tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"\xff\xfe\x00")
    answer = complete(fake_daemon, str(tmp_path / "a.py"))
    assert answer.returncode == 2 and "not UTF-8" in answer.stderr


def test_a_model_that_cannot_be_loaded(fake_daemon: "FakeDaemon") -> None:
    answer = complete(fake_daemon, text="x", options="--broken damaged")
    assert (answer.returncode, answer.stderr) == (2, "autocoder complete: damaged\n")


def test_a_large_file_is_cut_to_what_is_of_use(fake_daemon: "FakeDaemon", tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("x = 1\n" * 1_500_000 + "for i in ran")
    assert complete(fake_daemon, str(source)).stdout == "ge(10):"


def test_on_a_terminal_the_line_is_ended(fake_daemon: "FakeDaemon", tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("for i in ran")
    ours, theirs = pty.openpty()
    command = fake_daemon.autocoder("complete", str(source))
    assert subprocess.run(command, stdout=theirs, timeout=60).returncode == 0
    os.close(theirs)
    assert os.read(ours, 100) == b"ge(10):\r\n"
    os.close(ours)


def test_no_heavy_import(fake_daemon: "FakeDaemon") -> None:
    fake_daemon.start()
    command = [sys.executable, "-X", "importtime", "-m", "autocoder", "complete"]
    answer = subprocess.run(command, input="for i in ran", capture_output=True, text=True)
    assert answer.stdout == "ge(10):"
    for name in ("torch", "transformers", "onnxruntime", "numpy", "tokenizers", "asyncio"):
        assert f" {name}\n" not in answer.stderr


def test_lines_and_columns_count_from_1_in_characters() -> None:
    text = "aé\r\n\U0001f600b\n"
    assert [offset(text, at) for at in ("1:1", "1:3", "2:1", "2:2", "2:3", "3:1")] == [
        0, 2, 4, 5, 6, 7,
    ]  # fmt: skip
    assert offset("", "1:1") == 0
    for at in ("1:4", "2:4", "3:2", "4:1"):
        with pytest.raises(ConfigError, match=at):
            offset(text, at)


def test_a_request_carries_no_more_than_is_of_use() -> None:
    prefix, suffix = around("a" * 200_000 + "b" * 200_000, 200_000)
    assert prefix == "a" * LONGEST_PREFIX and suffix == "b" * LONGEST_SUFFIX
    assert around("abc", 1) == ("a", "bc")


def test_an_unknown_language_is_named_with_those_there_are(fake_daemon: "FakeDaemon") -> None:
    answer = complete(fake_daemon, "--language", "klingon", text="x")
    assert answer.returncode == 2
    assert "klingon" in answer.stderr and "python, java" in answer.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_output_that_cannot_be_written_is_one_line(fake_daemon: "FakeDaemon") -> None:
    command = fake_daemon.autocoder("complete")
    with open("/dev/full", "wb") as full:
        answer = subprocess.run(
            command, input=b"for i in ran", stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert answer.returncode == 1
    assert answer.stderr.startswith(b"autocoder complete: ") and b"Traceback" not in answer.stderr
