"""The command line of `autocoder eval`: what it refuses at once, and what it promises."""

import re

import pytest

from autocoder.train.evaluate.command import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("lines rows.jsonl --limit -3", "--limit: '-3' will not do; give a whole number from 1"),
        ("lines rows.jsonl --limit 0", "--limit: '0'"),
        ("lines rows.jsonl --prefix-tokens -5", "--prefix-tokens: '-5'.* from 0 on"),
        ("lines rows.jsonl --suffix-tokens many", "--suffix-tokens: 'many'"),
        ("rename --limit 0", "--limit: '0'"),
        ("holes src --per-file 0", "--per-file: '0'"),
        ("perplexity src --window 1", "--window: '1' .* from 2 on"),
        ("perplexity src --limit-bytes 0", "--limit-bytes: '0'"),
        ("memory src --prompts -1", "--prompts: '-1'"),
        ("report src -o out --functions 0", "--functions: '0'"),
    ],
)
def test_numbers_that_measure_nothing_are_refused(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.parametrize("name", ["perplexity", "holes", "report"])
def test_the_seed_promises_other_files_of_folders_only(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "the files of a folder in another order (a JSONL keeps its own)" in told
