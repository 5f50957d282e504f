"""Windows are never taken for those of another tokenizer, corpus or recipe."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from autocoder.daemon.errors import ConfigError
from autocoder.train.pretrain.order import Source, prefetched
from autocoder.train.pretrain.origin import RECORD, Origin
from autocoder.train.pretrain.prepare import prepare
from autocoder.train.pretrain.samples import Mixture
from autocoder.train.pretrain.tokenizer import train
from tests.train.test_pretrain_data import PYTHON, write_shard


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    """The arguments of a preparing, by name."""
    write_shard(tmp_path / "corpus/0000.jsonl.xz", 40)
    train([PYTHON] * 9, 400).save(str(tmp_path / "tokenizer.json"))
    return {
        "shards": [tmp_path / "corpus/0000.jsonl.xz"],
        "out": tmp_path / "windows",
        "tokenizer": tmp_path / "tokenizer.json",
        "epochs": 1,
        "length": 33,
        "workers": 1,
    }


def source_of(made: dict[str, Any], **changes: Any) -> Source:
    names = tuple(shard.name.removesuffix(".jsonl.xz") for shard in made["shards"])
    mixture = made.get("mixture", Mixture())
    origin = Origin(made["tokenizer"], tuple(made["shards"]), made["length"], 0, mixture)
    return Source(made["out"], names, 1, **{"patience_s": 0.1, "made_of": origin} | changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 65}, "length = 33, now it is 65"),
        ({"seed": 3}, "seed = 0, now it is 3"),
        ({"mixture": Mixture(hole_share=0.1)}, "mixture hole_share = 0.6, now it is 0.1"),
    ],
)
def test_other_windows_are_refused_and_left_as_they_are(
    made: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    prepare(**made)
    before = contents(made["out"])
    with pytest.raises(ConfigError, match=message + ".*delete that one"):
        prepare(**made | changes)
    assert contents(made["out"]) == before
    prepare(**made)
    assert contents(made["out"]) == before
    if "seed" not in changes:
        with pytest.raises(ConfigError, match=message):
            next(iter(source_of(made | changes)))


def test_another_tokenizer_is_refused(made: dict[str, Any], tmp_path: Path) -> None:
    prepare(**made)
    train([PYTHON] * 9, 320).save(str(tmp_path / "other.json"))
    other = made | {"tokenizer": tmp_path / "other.json"}
    with pytest.raises(ConfigError, match="made with tokenizer = "):
        prepare(**other)
    with pytest.raises(ConfigError, match="made with tokenizer = "):
        next(iter(source_of(other)))


def test_another_corpus_is_refused_though_its_shards_have_the_same_names(
    made: dict[str, Any], tmp_path: Path
) -> None:
    prepare(**made)
    write_shard(tmp_path / "other/0000.jsonl.xz", 90)
    other = made | {"shards": [tmp_path / "other/0000.jsonl.xz"]}
    with pytest.raises(ConfigError, match=r"bytes of .*other/0000\.jsonl\.xz"):
        prepare(**other)
    with pytest.raises(ConfigError, match=r"bytes of .*other/0000\.jsonl\.xz"):
        next(iter(source_of(other)))


def test_an_unpacked_shard_of_another_corpus_is_not_read(made: dict[str, Any]) -> None:
    made["out"].mkdir()
    (made["out"] / "0000.jsonl").write_text("of something else\n")
    with pytest.raises(ConfigError, match=r"0000\.jsonl is not what .* holds; delete it"):
        prepare(**made)
    assert (made["out"] / "0000.jsonl").read_text() == "of something else\n"


def test_windows_without_a_record_are_not_added_to(made: dict[str, Any]) -> None:
    prepare(**made)
    (made["out"] / RECORD).unlink()
    with pytest.raises(ConfigError, match="without a record of their origin"):
        prepare(**made)


def test_a_damaged_record_is_named(made: dict[str, Any]) -> None:
    made["out"].mkdir()
    (made["out"] / RECORD).write_text("{}")
    with pytest.raises(ConfigError, match=f"{RECORD} cannot be read"):
        prepare(**made)


def test_windows_of_an_older_version_are_read_with_a_word(made: dict[str, Any]) -> None:
    prepare(**made)
    (made["out"] / RECORD).unlink()
    heard: list[str] = []
    assert len(list(source_of(made, tell=heard.append))) == 1
    assert heard == [f"what the windows in {made['out']} were made of is recorded nowhere"]
    longer = made | {"length": 65}
    with pytest.raises(ConfigError, match=r"shape \(33,\), the recipe's length needs \(65,\)"):
        next(iter(source_of(longer, tell=heard.append)))


def test_a_shard_may_come_while_the_training_reads_the_first(
    made: dict[str, Any], tmp_path: Path
) -> None:
    both = made | {"shards": [*made["shards"], tmp_path / "corpus/0001.jsonl.xz"]}
    prepare(**made)
    windows = iter(source_of(both))
    assert next(windows).shape[1] == 33
    write_shard(both["shards"][1], 50)
    prepare(**both)
    assert next(windows).shape[1] == 33
    recorded = json.loads((made["out"] / RECORD).read_text())["shards"]
    assert list(recorded) == ["0000.jsonl", "0001.jsonl"]


def test_shards_may_be_unpacked_or_removed_after_their_windows_are_made(
    made: dict[str, Any],
) -> None:
    prepare(**made)
    shard = made["shards"][0]
    (shard.parent / "0000.jsonl").write_bytes(lzma.decompress(shard.read_bytes()))
    prepare(**made)
    shard.unlink()
    (shard.parent / "0000.jsonl").unlink()
    assert len(list(source_of(made))) == 1


def test_a_damaged_window_file_is_named(made: dict[str, Any]) -> None:
    prepare(**made)
    path = made["out"] / "e0-s0000-07.npy"
    for content in (path.read_bytes()[:-9], b"", b"no array"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"e0-s0000-07\.npy is damaged .*--prepare"):
            next(iter(source_of(made)))


def test_waiting_is_told_once(made: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from autocoder.train.pretrain import order

    monkeypatch.setattr(order, "SILENT_S", 0.2)
    heard: list[str] = []
    waiting = source_of(made, patience_s=1.0, tell=heard.append)
    with pytest.raises(ConfigError, match="did not come"):
        next(prefetched(iter(waiting)))
    assert len(heard) == 1 and "e0-s0000-00.npy: `--prepare` makes it" in heard[0]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"nothing packed"])
def test_a_damaged_shard_is_named(made: dict[str, Any], damage: Any) -> None:
    shard = made["shards"][0]
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(ConfigError, match=r"0000\.jsonl\.xz cannot be unpacked .*make it anew"):
        prepare(**made)
    assert not list(made["out"].glob("0000*"))
