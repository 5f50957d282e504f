"""What the windows of a folder were made of, recorded beside them in `made-of.json`.

Windows of another tokenizer, corpus, length, seed or mixture are refused by name, whether they are
to be made or to be trained on. Shards that are not there yet are held to the record once they are.
Knows files; knows no window.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autocoder.daemon.errors import ConfigError
from autocoder.train.pretrain.samples import Mixture

RECORD = "made-of.json"


@dataclass(frozen=True)
class Origin:
    """`length` counts the tokens of a window; some of the shards may still be to come."""

    tokenizer: Path
    shards: tuple[Path, ...]
    length: int
    seed: int
    mixture: Mixture


def unpacked(shard: Path) -> Path:
    """Where the unpacked form of a shard would lie beside it."""
    return shard.with_suffix("") if shard.suffix == ".xz" else shard


def is_there(shard: Path) -> bool:
    return shard.exists() or unpacked(shard).exists()


def begin(folder: Path, origin: Origin) -> None:
    """Make the folder and record what its windows will be made of, before the first of them.

    Raises ConfigError where it holds windows of something else, or of nobody knows what.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if check(folder, origin):
        return
    if any(folder.glob("e*-s*-*.npy")):
        raise ConfigError(f"{folder} holds windows without a record of their origin; {_remedy()}")
    _write(folder, {"settings": _settings(origin), "shards": {}})


def add(folder: Path, shard: Path) -> None:
    """Record a shard that is there, before anything is made of it."""
    record = recorded(folder)
    assert record is not None, "begin() comes first"
    record["shards"][unpacked(shard).name] = _sizes(shard)
    _write(folder, record)


def knows(folder: Path, shard: Path) -> bool:
    """Whether what lies beside the windows was made of this very shard."""
    record = recorded(folder)
    then = record["shards"].get(unpacked(shard).name) if record else None
    return then is not None and _same(then, _sizes(shard))


def check(folder: Path, origin: Origin) -> bool:
    """Raise ConfigError where the folder's windows are of something else, saying what differs.

    False where nothing is recorded.
    """
    record = recorded(folder)
    if record is None:
        return False
    now = _settings(origin)
    then = {f"mixture {k}": v for k, v in asdict(Mixture()).items()} | record["settings"]
    for name in sorted(now.keys() & then.keys()):
        if now[name] != then[name]:
            _refuse(folder, name, then[name], now[name])
    for shard in filter(is_there, origin.shards):
        sizes = record["shards"].get(unpacked(shard).name)
        if sizes is not None and not _same(sizes, _sizes(shard)):
            _refuse(folder, f"bytes of {shard}", sizes, _sizes(shard))
    return True


def recorded(folder: Path) -> dict[str, Any] | None:
    """The record of a folder of windows, None where there is none."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {"settings": dict(record["settings"]), "shards": dict(record["shards"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); {_remedy()}") from error


def _refuse(folder: Path, name: str, then: object, now: object) -> None:
    raise ConfigError(
        f"the windows in {folder} were made with {name} = {then}, now it is {now}; {_remedy()}"
    )


def _remedy() -> str:
    return "give another folder by --windows, or delete that one"


def _settings(origin: Origin) -> dict[str, Any]:
    mixture = {f"mixture {name}": value for name, value in asdict(origin.mixture).items()}
    digest = hashlib.sha256(origin.tokenizer.read_bytes()).hexdigest()[:16]
    return {"tokenizer": digest, "length": origin.length, "seed": origin.seed, **mixture}


def _sizes(shard: Path) -> dict[str, int]:
    """The bytes of each form of a shard: it may be unpacked later, or packed."""
    forms = {shard, unpacked(shard)}
    return {path.name: path.stat().st_size for path in sorted(forms) if path.exists()}


def _same(then: dict[str, int], now: dict[str, int]) -> bool:
    common = then.keys() & now.keys()
    return bool(common) and all(then[name] == now[name] for name in common)


def _write(folder: Path, record: dict[str, Any]) -> None:
    hidden = folder / f"{RECORD}.{os.getpid()}.part"
    hidden.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    hidden.rename(folder / RECORD)
