"""A parcel of many parts, of a folder with more in it, and with parts that did not arrive."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from autocoder.daemon.errors import ConfigError
from autocoder.train.pretrain.model import CodeModel, ModelConfig, load, save
from autocoder.train.pretrain.parcel import main as parcel

TINY = ModelConfig(400, 32, 2, 4, 2, 64, 64)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    save(CodeModel(TINY), tmp_path / "run")
    return tmp_path / "run"


def packed(run: Path, mib: float = 0.005) -> list[Path]:
    parts = run.parent / "parts"
    assert parcel(["pack", str(run), str(parts), "--part-mib", str(mib)]) == 0
    return sorted(parts.iterdir(), key=lambda path: (len(path.name), path.name))


def open_parts(run: Path, name: str = "again") -> Path:
    assert parcel(["open", str(run.parent / "parts"), str(run.parent / name)]) == 0
    return run.parent / name


def test_more_than_a_hundred_parts_arrive_as_few_do(run: Path) -> None:
    assert [path.name for path in packed(run, 0.05)] == ["part-00"]
    few = (open_parts(run, "few") / "model.safetensors").read_bytes()
    names = [path.name for path in packed(run, 0.0002)]
    assert names[0] == "part-00" and names[100] == "part-100"
    assert (open_parts(run) / "model.safetensors").read_bytes() == few


def test_parts_of_an_earlier_parcel_are_removed_and_nothing_else(run: Path) -> None:
    assert len(packed(run, 0.002)) > 2
    (run.parent / "parts/part-of-mine").write_text("stays")
    assert {path.name for path in packed(run, 1)} == {"part-00", "part-of-mine"}
    open_parts(run)


def test_sub_folders_stay_behind(run: Path) -> None:
    (run / "segments").mkdir()
    (run / "segments/windows.npy").write_text("training data")
    packed(run)
    again = open_parts(run)
    assert {path.name for path in again.iterdir()} == {"config.json", "model.safetensors"}
    load(again)


def test_a_part_that_did_not_arrive_or_not_whole_is_named(run: Path) -> None:
    paths = packed(run)
    assert len(paths) > 4
    whole = paths[2].read_bytes()
    paths[2].unlink()
    with pytest.raises(ConfigError, match="no part-02 in"):
        open_parts(run)
    paths[2].write_bytes(whole[:-5])
    with pytest.raises(ConfigError, match="part-02 is shorter"):
        open_parts(run)
    paths[2].write_bytes(whole)
    paths[-1].write_bytes(paths[-1].read_bytes()[:-5])
    with pytest.raises(ConfigError, match=f"{paths[-1].name}, the last part"):
        open_parts(run)
    paths[-1].unlink()
    with pytest.raises(ConfigError, match=f"{paths[-2].name}, the last part"):
        open_parts(run)
    assert not (run.parent / "again").exists()


def test_bytes_changed_on_the_way_are_noticed(run: Path) -> None:
    path = packed(run)[1]
    content = bytearray(path.read_bytes())
    content[2000] ^= 255
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        open_parts(run)


def test_a_checkpoint_that_is_there_is_not_overwritten(run: Path) -> None:
    packed(run)
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="run is there already"):
        open_parts(run, "run")
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("mib", ["0", "-1", "nan"])
def test_parts_of_no_size_are_refused(run: Path, mib: str) -> None:
    with pytest.raises(ConfigError, match=f"--part-mib {mib} is no size"):
        parcel(["pack", str(run), str(run.parent / "parts"), "--part-mib", mib])


def test_no_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    for folder in (tmp_path, tmp_path / "nope"):
        with pytest.raises(ConfigError, match=f"no float32 weights in {folder}"):
            parcel(["pack", str(folder), str(tmp_path / "parts")])
