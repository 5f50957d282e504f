"""A model is a folder: `manifest.json`, a tokenizer, graphs and their weights. Reads and checks it.

Knows what docs/architecture.md says such a folder holds, and nothing of tokens or tensors.
Standard library only, so that a client can name a model at no cost.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autocoder.daemon.errors import ModelError
from autocoder.daemon.prompt import PromptFormat
from autocoder.daemon.protocol import ModelInfo

VERSION = 1
MANIFEST = "manifest.json"
VARIABLE = "AUTOCODER_MODEL"
_REMEDY = "install autocoder again, or export the model again with `autocoder export`"


@dataclass(frozen=True)
class Architecture:
    """The sizes of a decoder. `kind` is the family: "llama", "gpt2" or "qwen2"."""

    kind: str
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    hidden: int
    vocab: int


@dataclass(frozen=True)
class ModelFolder:
    """A checked model folder. `context` is in tokens; `sha256` identifies the whole model."""

    path: Path
    name: str
    architecture: Architecture
    context: int
    prompt: PromptFormat
    quantisation: str
    graphs: Mapping[str, str]
    files: Mapping[str, str]
    sizes: Mapping[str, int]
    licence: str
    training: Mapping[str, Any]
    results: Mapping[str, Any]
    sha256: str

    @property
    def tokenizer(self) -> Path:
        """The `tokenizers` file."""
        return self.path / "tokenizer.json"

    @property
    def info(self) -> ModelInfo:
        """What `hello` tells of the model."""
        return ModelInfo(
            name=self.name,
            sha256=self.sha256,
            folder=str(self.path),
            languages=tuple(sorted(self.prompt.controls)),
            context=self.context,
            fills_holes=bool(self.prompt.parts),
        )

    def check_hashes(self) -> None:
        """Raises ModelError where a file is not the one that was exported."""
        for name, digest in self.files.items():
            _check_file(self.path / name, None, digest)

    def graph(self, provider: str) -> Path:
        """The graph for "cpu" or "cuda". Raises ModelError where the model has none."""
        if provider not in self.graphs:
            raise ModelError(f"the model in {self.path} has no graph for {provider!r}; {_REMEDY}")
        return self.path / self.graphs[provider]


def bundled() -> Path:
    """Where the package's own model lies."""
    return Path(__file__).parent / "model"


def chosen() -> Path:
    """The model to use: `$AUTOCODER_MODEL`, else the bundled one."""
    return Path(os.environ.get(VARIABLE) or bundled()).expanduser()


def load(path: Path | None = None, *, check_hashes: bool = True) -> ModelFolder:
    """Read a model folder (default: the chosen one) and check it.

    Every listed file must be there in its recorded size; with `check_hashes` its SHA-256 must
    agree too, which costs about a millisecond per megabyte. Raises ModelError, with the remedy.
    """
    folder = chosen() if path is None else path
    record = _read_manifest(folder)
    model = _parse(folder, record)
    for name, digest in model.files.items():
        _check_file(folder / name, model.sizes.get(name), digest if check_hashes else None)
    return model


def manifest_hash(record: Mapping[str, Any]) -> str:
    """One SHA-256 for a whole model: of the manifest, which holds the hash of every file."""
    return hashlib.sha256(canonical(record)).hexdigest()


def canonical(record: Mapping[str, Any]) -> bytes:
    """The manifest as bytes that do not depend on the order or spacing of its fields."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise ModelError(
            f"no model folder at {folder}; give the folder that `autocoder export` wrote "
            f"(in ${VARIABLE}, say), or install autocoder again"
        )
    try:
        record = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder} has no {MANIFEST}: it is no model folder; {_REMEDY}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {folder / MANIFEST}: {error}; {_REMEDY}") from error
    if not isinstance(record, dict):
        raise ModelError(f"{folder / MANIFEST} holds no JSON object; {_REMEDY}")
    return record


def _parse(folder: Path, record: dict[str, Any]) -> ModelFolder:
    version = record.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ModelError(
            f"the model in {folder} has manifest version {version}, this autocoder reads up to "
            f"{VERSION}; upgrade autocoder: pip install --upgrade autocoder"
        )
    if version != VERSION:
        raise ModelError(f"{folder / MANIFEST} has version {version!r}, not {VERSION}; {_REMEDY}")
    try:
        return _fields(folder, record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{folder / MANIFEST} lacks or garbles a field ({error}); {_REMEDY}"
        ) from error


def _fields(folder: Path, record: dict[str, Any]) -> ModelFolder:
    sizes: dict[str, Any] = {
        key: value if key == "kind" else int(value) for key, value in record["architecture"].items()
    }
    files = {_plain_name(name): str(digest) for name, digest in record["files"].items()}
    graphs = {str(provider): _plain_name(name) for provider, name in record["graphs"].items()}
    for name in ("tokenizer.json", *graphs.values()):
        if name not in files:
            raise ValueError(f"{name} has no hash under files")
    return ModelFolder(
        path=folder,
        name=str(record["name"]),
        architecture=Architecture(**sizes),
        context=int(record["context"]),
        prompt=PromptFormat.from_manifest(record["prompt"]),
        quantisation=str(record["quantisation"]),
        graphs=graphs,
        files=files,
        sizes={str(name): int(size) for name, size in record.get("sizes", {}).items()},
        licence=str(record.get("licence", "")),
        training=dict(record.get("training", {})),
        results=dict(record.get("results", {})),
        sha256=manifest_hash(record),
    )


def _plain_name(name: Any) -> str:
    """A file's name that stays within the folder."""
    if not isinstance(name, str) or Path(name).name != name:
        raise ValueError(f"{name!r} is no plain file name")
    return name


def _check_file(path: Path, size: int | None, digest: str | None) -> None:
    try:
        found = path.stat().st_size
    except OSError:
        raise ModelError(f"the model lacks the file {path}; {_REMEDY}") from None
    if size is not None and found != size:
        raise ModelError(f"{path} has {found} bytes, not {size}: it is damaged; {_REMEDY}")
    if digest is not None and file_hash(path) != digest:
        raise ModelError(f"{path} is not the file that was exported (wrong SHA-256); {_REMEDY}")
