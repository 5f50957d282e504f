"""Imports go only downwards, and only train/ and export/ know torch (docs/architecture.md)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = {"clients": {"clients", "daemon"}, "daemon": {"daemon"}}
HEAVY = {"torch", "transformers", "optimum", "accelerate", "onnx", "datasets"}
MODEL_SIDE = {"autocoder.daemon.engine", "autocoder.daemon.completer", "autocoder.daemon.sampling"}


def modules(folder: str) -> list[Path]:
    return [p for p in sorted((ROOT / folder).rglob("*.py")) if "sublime" not in p.parts]


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name"
            found |= {f"{node.module}"} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("layer", sorted(LAYERS))
def test_layers_import_downwards_and_nothing_heavy(layer: str) -> None:
    for path in modules(layer):
        for name in imported(path):
            top, *rest = name.split(".")
            assert top not in HEAVY, f"{path} imports {name}"
            if top == "autocoder" and rest and path.parts[-2] != "autocoder":
                assert rest[0] in LAYERS[layer] | {"__version__"}, f"{path} imports {name}"


def test_clients_never_touch_the_model_side() -> None:
    for path in modules("clients"):
        if path != ROOT / "clients/bench/passes.py":  # it times that side
            assert not imported(path) & MODEL_SIDE, path


def test_the_engine_knows_no_text_and_no_sockets() -> None:
    for path in (ROOT / "daemon").glob("engine*.py"):
        names = imported(path)
        assert not {n for n in names if n.split(".")[0] in ("zmq", "tokenizers")}, path
        assert not names & {"autocoder.daemon.protocol", "autocoder.daemon.server"}, path
