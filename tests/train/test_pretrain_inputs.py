"""Input that is damaged, missing or of another kind is named, with what mends it."""

import json
import lzma
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.prompt import PromptFormat
from autocoder.train.pretrain.mix import main as mix
from autocoder.train.pretrain.prepare import documents
from autocoder.train.pretrain.sow import main as sow
from autocoder.train.pretrain.tokenizer import main as tokenizer
from autocoder.train.pretrain.tokenizer import train
from autocoder.train.pretrain.tokenizer_sizes import reached
from autocoder.train.pretrain.vocabulary import control_ids, read_tokenizer
from tests.train.test_pretrain_data import PYTHON, write_shard


def sample(path: Path, *lines: str) -> str:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no JSON", "sample, line 2 is no JSON with a `text`"),
        ('{"other": 1}', "sample, line 2 is no JSON with a `text`"),
        ("[1]", "sample, line 2 is no JSON with a `text`"),
        ('{"text": 1}', "sample, line 2: `text` is no string"),
    ],
)
def test_a_bad_line_of_the_sample_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = sample(tmp_path / "sample", json.dumps({"text": PYTHON}), line)
    with pytest.raises(ConfigError, match=message):
        tokenizer([path, "-o", str(tmp_path / "tokenizer.json")])


@pytest.mark.parametrize("lines", [(), ('{"text": ""}',)])
def test_a_sample_without_text_makes_no_tokenizer(tmp_path: Path, lines: tuple[str, ...]) -> None:
    path = sample(tmp_path / "sample", *lines)
    with pytest.raises(ConfigError, match="holds no text"):
        tokenizer([path, "-o", str(tmp_path / "tokenizer.json")])
    assert not (tmp_path / "tokenizer.json").exists()


def test_a_vocabulary_below_the_bytes_is_refused_and_one_not_reached_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [sample(tmp_path / "sample", json.dumps({"text": PYTHON}))]
    words += ["-o", str(tmp_path / "tokenizer.json"), "--vocabulary"]
    with pytest.raises(ConfigError, match=r"287 is too small.* 288"):
        tokenizer([*words, "287"])
    assert tokenizer([*words, "9000"]) == 0
    size = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).get_vocab_size()
    assert f"only {size} of 9000 tokens" in capsys.readouterr().err
    assert tokenizer([*words, "288"]) == 0
    assert "only" not in capsys.readouterr().err


def test_only_vocabularies_that_were_reached_are_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert reached([300, 400, 9000], 450) == [300, 400]
    assert "only 450 of 9000" in capsys.readouterr().err
    for sizes in ([9000], [100, 400]):
        with pytest.raises(ConfigError, match="--sizes from 288 to 450"):
            reached(sizes, 450)


def test_a_tokenizer_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(ConfigError, match=r"no tokenizer can be read from .*tokenizer\.json"):
        read_tokenizer(path)
    path.write_text("{}")
    with pytest.raises(ConfigError, match=r"no tokenizer can be read from .*tokenizer\.json"):
        read_tokenizer(path)
    made = train([PYTHON] * 9, 300)
    made.save(str(path))
    assert control_ids(read_tokenizer(path, 300), PromptFormat(), path) == [1, 2]
    with pytest.raises(ConfigError, match=r"vocab_size = 299 is too small.* 300 tokens"):
        read_tokenizer(path, 299)


def test_ids_that_windows_cannot_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    Tokenizer(models.WordLevel({"a": 0, "b": 65_536}, "a")).save(str(path))
    with pytest.raises(ConfigError, match="ids up to 65536; windows hold up to 65535"):
        read_tokenizer(path)


def test_a_tokenizer_without_control_codes_is_named(tmp_path: Path) -> None:
    bare = Tokenizer(models.WordLevel({"a": 0}, "a"))
    with pytest.raises(ConfigError, match=r"t\.json has no token '<python>'"):
        control_ids(bare, PromptFormat(), Path("t.json"))


def test_a_shard_that_is_missing_a_folder_or_of_other_lines_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl.xz", tmp_path):
        with pytest.raises(ConfigError, match=f"no shard can be read from {path}"):
            list(documents(path))
    path = tmp_path / "0000.jsonl.xz"
    for line, lacking in (("[]", "language"), ('{"language": "python"}', "text")):
        path.write_bytes(lzma.compress(line.encode()))
        with pytest.raises(ConfigError, match=f"is damaged .*without '{lacking}'"):
            list(documents(path))


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    for name, count in (("first", 3), ("second", 30)):
        write_shard(tmp_path / f"{name}/0000.jsonl.xz", count)
    return [str(tmp_path / "first"), str(tmp_path / "second")]


@pytest.mark.parametrize("command", [mix, sow])
def test_a_corpus_is_never_overwritten_by_what_is_made_of_it(
    folders: list[str], tmp_path: Path, command: object
) -> None:
    words = ["--times", "1"] if command is sow else []
    for folder in ("first", "second"):
        before = (tmp_path / folder / "0000.jsonl.xz").read_bytes()
        with pytest.raises(ConfigError, match="would be read and overwritten"):
            command([*folders, "-o", str(tmp_path / folder), *words])  # type: ignore[operator]
        assert (tmp_path / folder / "0000.jsonl.xz").read_bytes() == before


@pytest.mark.parametrize("command", [mix, sow])
@pytest.mark.parametrize("name", ["0000.jsonl.xz", "0007.jsonl.xz", "0000.jsonl"])
def test_shards_are_not_written_among_others(
    folders: list[str], tmp_path: Path, command: object, name: str
) -> None:
    words = ["--times", "1"] if command is sow else []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(b"mine")
    with pytest.raises(ConfigError, match=rf"holds shards already \({name}\)"):
        command([*folders, "-o", str(tmp_path / "out"), *words])  # type: ignore[operator]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    assert (tmp_path / "out" / name).read_bytes() == b"mine"
