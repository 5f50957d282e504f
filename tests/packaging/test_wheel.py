"""The wheel holds what an installed autocoder needs, and lands nothing bare in site-packages."""

import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files in a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, timeout=240)
    [wheel] = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def package_folders() -> dict[str, Path]:
    """Each listed package and the folder it comes from."""
    roots = PROJECT["tool"]["setuptools"]["package-dir"]
    folders = {}
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        root = max((r for r in roots if f"{package}.".startswith(f"{r}.")), key=len)
        folders[package] = ROOT / roots[root] / package[len(root) :].strip(".").replace(".", "/")
    return folders


def required(extra: str) -> set[str]:
    """The names of all distributions that an extra brings, as far as they are installed here."""
    texts = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"][extra],
    ]
    waiting = [Requirement(text) for text in texts]
    found: set[str] = set()
    asked: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        found.add(name)
        for chosen in ("", *wanted.extras):
            if (name, chosen) not in asked:
                asked.add((name, chosen))
                waiting += brought(name, chosen)
    return found


def brought(name: str, extra: str) -> list[Requirement]:
    """What an installed distribution requires for itself (""), or for one of its extras."""
    try:
        requirements = [Requirement(text) for text in metadata.requires(name) or ()]
    except metadata.PackageNotFoundError:
        return []
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": extra})]


def test_the_extra_for_training_goes_with_either_runtime() -> None:
    pytest.importorskip("torch")
    assert {"onnxruntime", "onnxruntime-gpu"} & required("train") == set()
    assert {"torch", "optimum-onnx", "optimum", "onnx"} <= required("train")
    assert "onnxruntime" in required("cpu") and "onnxruntime-gpu" not in required("cpu")
    assert "onnxruntime-gpu" in required("cuda") and "onnxruntime" not in required("cuda")


def test_every_python_module_of_the_folders_is_in_the_wheel(names: set[str]) -> None:
    for package, folder in package_folders().items():
        for module in folder.glob("*.py"):
            assert f"{package.replace('.', '/')}/{module.name}" in names


def test_every_folder_with_modules_is_a_listed_package() -> None:
    listed = set(package_folders().values())
    for top in ("clients", "daemon", "export", "train"):
        found = {path.parent for path in (ROOT / top).rglob("__init__.py")}
        found -= {folder for folder in found if "sublime" in folder.parts}  # data to us
        assert found <= listed


def test_model_recipes_and_corpus_manifest_are_in_the_wheel(names: set[str]) -> None:
    for folder, package in (
        ("daemon/model", "autocoder/daemon/model"),
        ("train/recipes", "autocoder/train/recipes"),
    ):
        wanted = {f"{package}/{path.name}" for path in (ROOT / folder).iterdir()}
        assert wanted and wanted <= names
    assert "autocoder/daemon/model/manifest.json" in names
    assert "autocoder/train/corpus/manifest.tsv" in names


def test_the_plugins_of_the_editors_are_in_the_wheel(names: set[str]) -> None:
    for editor in ("vim", "sublime"):
        files = (path for path in (ROOT / "clients" / editor).rglob("*") if path.is_file())
        whole = {p.relative_to(ROOT).as_posix() for p in files if "__pycache__" not in p.parts}
        assert {f"autocoder/{name}" for name in whole} <= names
    assert "autocoder/clients/sublime/.python-version" in names
    assert not {name for name in names if name.endswith(".pyc")}


def test_nothing_bare_lands_in_site_packages(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.startswith("autocoder-")} == {"autocoder"}


def test_licence_and_notice_travel(names: set[str]) -> None:
    assert {Path(n).name for n in names if "/licenses/" in n} >= {"LICENSE", "NOTICE"}


def test_the_bundled_model_is_small_enough() -> None:
    size = sum(path.stat().st_size for path in (ROOT / "daemon" / "model").iterdir())
    assert size <= 40 * 1024 * 1024
