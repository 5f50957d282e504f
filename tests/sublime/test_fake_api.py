"""The fake Sublime agrees with the published stubs, and the plugin needs nothing newer than it may.

The stubs describe build 4200 and tell since which build a thing exists.
"""

import ast
import inspect
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import sublime
import sublime_plugin

from autocoder.clients.sublime_command import PLUGIN

STUBS = Path(sysconfig.get_path("purelib"))
OLDEST_BUILD, OLDEST_PYTHON = 4107, (3, 8)
SOURCES = sorted(PLUGIN.rglob("*.py"))
# Methods newer than Python 3.8, which vermin cannot tell on a variable.
NEWER = {
    "removeprefix", "removesuffix", "is_relative_to", "readlink", "with_stem", "hardlink_to",
    "bit_count", "is_junction", "full_match", "add_note",
}  # fmt: skip


def stub(module: str) -> ast.Module:
    return ast.parse((STUBS / f"{module}-stubs" / "__init__.pyi").read_text())


STUB = {"sublime": stub("sublime"), "sublime_plugin": stub("sublime_plugin")}
FAKE = {"sublime": sublime, "sublime_plugin": sublime_plugin}


def names(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """What a module or class of the stubs defines."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def parameters(node: ast.FunctionDef) -> list[tuple[str, bool, bool]]:
    """Of a function of the stubs: name, whether it may be left out, whether it is keyword-only."""
    plain = [*node.args.posonlyargs, *node.args.args]
    first = len(plain) - len(node.args.defaults)
    rows = [(one.arg, i >= first, False) for i, one in enumerate(plain)]
    extra = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return rows + [(one.arg, default is not None, True) for one, default in extra]


def fake_parameters(function: object) -> list[tuple[str, bool, bool]]:
    found = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return [(p.name, p.default is not p.empty, p.kind is p.KEYWORD_ONLY) for p in found]


def public(thing: object) -> dict[str, object]:
    return {name: value for name, value in vars(thing).items() if not name.startswith("_")}


def fake_functions() -> Iterator[tuple[str, str, object]]:
    """Each function and method of the fake: where it is, its name, itself."""
    for module, fake in FAKE.items():
        for name, value in public(fake).items():
            if getattr(value, "__module__", None) != module:
                continue
            if inspect.isfunction(value):
                yield module, name, value
            elif inspect.isclass(value):
                for method, code in vars(value).items():
                    private = method.startswith("_") and not method.endswith("__")
                    if inspect.isfunction(code) and not private and method != "__repr__":
                        yield f"{module}.{name}", method, code


FUNCTIONS = {f"{where}.{name}": (where, name, code) for where, name, code in fake_functions()}


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_each_fake_function_has_the_stubs_parameters(function: str) -> None:
    where, name, code = FUNCTIONS[function]
    module, _, holder = where.partition(".")
    found = names(STUB[module].body)
    if holder:
        declared = found[holder]
        assert isinstance(declared, ast.ClassDef)
        found = names(declared.body)
    node = found[name]
    assert isinstance(node, ast.FunctionDef)
    assert fake_parameters(code) == parameters(node)


def test_the_fake_is_not_empty_and_its_constants_are_the_stubs() -> None:
    assert len(FUNCTIONS) > 80
    known = names(STUB["sublime"].body)
    for name, value in public(sublime).items():
        if name.isupper():
            assert name in known
            assert isinstance(value, int)


def test_fake_classes_have_the_stubs_bases() -> None:
    for name, value in public(sublime_plugin).items():
        if inspect.isclass(value):
            node = names(STUB["sublime_plugin"].body)[name]
            assert isinstance(node, ast.ClassDef)
            bases = [base.__name__ for base in value.__bases__ if base is not object]
            assert bases == [ast.unparse(base) for base in node.bases]


# --- the plugin -----------------------------------------------------------------------------------


def test_the_listeners_hooks_are_sublimes() -> None:
    hooks = names(names(STUB["sublime_plugin"].body)["EventListener"].body)  # type: ignore[attr-defined]
    tree = ast.parse((PLUGIN / "plugin.py").read_text())
    listener = names(tree.body)["AutocoderListener"]
    assert isinstance(listener, ast.ClassDef)
    methods = names(listener.body)
    assert {"on_modified", "on_selection_modified", "on_query_context", "on_revert"} <= set(methods)
    for name, node in methods.items():
        assert name in hooks
        if isinstance(node, ast.FunctionDef):
            assert parameters(node) == parameters(hooks[name])  # type: ignore[arg-type]


def without_annotations(tree: ast.AST) -> ast.AST:
    """What runs: with `from __future__ import annotations` no annotation does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return tree


def since() -> dict[str, int]:
    """The build in which each function, constant and method of the stubs appeared.

    A method's name stands for the oldest of its namesakes; a part of an enumeration for the whole.
    """
    found: dict[str, int] = {}

    def note(name: str, node: ast.AST, outer: int) -> int:
        text = (isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)) or ""
        told = re.search(r"^\.\. since:: (\d+)", text, re.M)
        build = max(outer, int(told[1]) if told else 0)
        found[name] = min(build, found.get(name, build))
        return build

    for module in STUB.values():
        for name, node in names(module.body).items():
            build = note(name, node, 0)
            for inner, code in names(node.body if isinstance(node, ast.ClassDef) else []).items():
                note(inner, code, build)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_of_the_api_is_newer_than_build_4107(path: Path) -> None:
    builds = since()
    assert builds["PhantomLayout"] == 4132
    assert builds["KEEP_ON_SELECTION_MODIFIED"] == 0
    used = {
        node.attr
        for node in ast.walk(without_annotations(ast.parse(path.read_text())))
        if isinstance(node, ast.Attribute)
    }
    assert {name: builds[name] for name in used if builds.get(name, 0) > OLDEST_BUILD} == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_syntax_and_the_library_are_python_3_8s(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=OLDEST_PYTHON)
    if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree)):
        assert "from __future__ import annotations" in path.read_text()
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert used & NEWER == set()
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imports:
        if isinstance(node, ast.ImportFrom) and node.level:
            continue  # the plugin's own
        module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        top = (module or "").split(".")[0]
        assert top in FAKE or top in sys.stdlib_module_names


def vermin(folder: Path) -> "subprocess.CompletedProcess[str]":
    run = [sys.executable, "-c", "import vermin; vermin.main()", "--no-tips", "--no-config-file"]
    target = [f"--target={OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]}-", "--processes=1", str(folder)]
    return subprocess.run([*run, *target], capture_output=True, text=True)


def test_vermin_finds_nothing_newer_than_python_3_8() -> None:
    done = vermin(PLUGIN)
    assert done.returncode == 0, done.stdout
    assert "Minimum required versions: 3." in done.stdout


def test_vermin_would_find_it(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("import math\nprint(math.lcm(2, 3))\n")
    assert vermin(tmp_path).returncode == 1


def test_the_package_asks_for_the_newer_plugin_host() -> None:
    assert (PLUGIN / ".python-version").read_text() == "3.8\n"  # 4205 runs it under 3.14


def test_only_the_hooks_are_loaded_as_plugins() -> None:
    assert [path.name for path in PLUGIN.glob("*.py")] == ["plugin.py"]
