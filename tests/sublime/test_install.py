"""`autocoder sublime`, and where the plugin then finds the program."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from autocoder.__main__ import main as autocoder
from autocoder.clients import sublime_command, vim_command
from autocoder.daemon.errors import ConfigError

PLUGIN = sublime_command.PLUGIN


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an empty folder of packages, as a Sublime that was started once leaves it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "SUBLIME_PACKAGES"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / ".config" / "sublime-text" / "Packages"
    folder.mkdir(parents=True)
    return folder


def files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {p.relative_to(folder).as_posix() for p in found if "__pycache__" not in p.parts}


def test_install_and_uninstall(packages, capsys):
    assert sublime_command.main(["--install"]) == 0
    assert (packages / "Autocoder").resolve() == PLUGIN
    assert f"installed: {packages / 'Autocoder'}" in capsys.readouterr().out
    assert sublime_command.main(["--install"]) == 0  # once more is no error
    assert sublime_command.main(["--uninstall"]) == 0
    assert list(packages.iterdir()) == []
    assert PLUGIN.is_dir()
    capsys.readouterr()
    assert sublime_command.main(["--uninstall"]) == 0
    assert "not installed" in capsys.readouterr().out


def test_a_copy_can_be_replaced_and_taken_away(packages):
    for _ in range(2):
        sublime_command.main(["--install", "--copy"])
        assert not (packages / "Autocoder").is_symlink()
        copied = files(packages / "Autocoder")
        assert copied - files(PLUGIN) == {sublime_command.COPY_MARK}
        assert files(PLUGIN) <= copied
    sublime_command.main(["--install"])
    assert (packages / "Autocoder").is_symlink()
    sublime_command.main(["--install", "--copy"])
    sublime_command.main(["--uninstall"])
    assert list(packages.iterdir()) == []


def test_what_is_not_ours_is_not_touched(packages, capsys):
    own = packages / "Autocoder"
    own.mkdir()
    (own / "mine.py").write_text("x = 1\n")
    for arguments in (["--install"], ["--install", "--copy"]):
        with pytest.raises(ConfigError, match="was not installed by us; move it away"):
            sublime_command.main(arguments)
    assert sublime_command.main(["--uninstall"]) == 0
    assert "not installed" in capsys.readouterr().out
    assert (own / "mine.py").read_text() == "x = 1\n"


def test_a_link_of_somebody_elses_is_not_touched_and_one_to_a_gone_environment_is_replaced(
    packages, tmp_path
):
    link = packages / "Autocoder"
    link.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="was not installed by us"):
        sublime_command.main(["--install"])
    link.unlink()
    link.symlink_to(tmp_path / "gone/site-packages/autocoder/clients/sublime")
    sublime_command.main(["--install"])
    assert link.resolve() == PLUGIN


def test_what_else_is_in_the_companions_folder_stays(packages):
    sublime_command.main(["--install"])
    (packages / "Autocoder Command" / "mine.txt").write_text("mine")
    sublime_command.main(["--uninstall"])
    assert [path.name for path in packages.rglob("*")] == ["Autocoder Command", "mine.txt"]


def test_a_folder_given_goes_before_the_environments_and_that_before_the_one_found(
    packages, tmp_path, monkeypatch
):
    named, given = tmp_path / "named", tmp_path / "given"
    named.mkdir()
    given.mkdir()
    sublime_command.main(["--install", "--packages", str(given)])
    monkeypatch.setenv("SUBLIME_PACKAGES", str(named))
    sublime_command.main(["--install"])
    assert (given / "Autocoder").is_symlink() and (named / "Autocoder").is_symlink()
    assert list(packages.iterdir()) == []


@pytest.mark.parametrize(
    ("platform", "folder"),
    [
        ("linux", ".config/sublime-text"),
        ("linux", ".config/sublime-text-3"),
        ("darwin", "Library/Application Support/Sublime Text"),
        ("darwin", "Library/Application Support/Sublime Text 3"),
    ],
)
def test_the_folder_is_found_on_linux_and_macos(packages, tmp_path, monkeypatch, platform, folder):
    shutil.rmtree(tmp_path / ".config")
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(ConfigError, match=r"no Packages folder .* --packages DIR"):
        sublime_command.main(["--install"])
    (tmp_path / folder / "Packages").mkdir(parents=True)
    sublime_command.main(["--install"])
    assert (tmp_path / folder / "Packages" / "Autocoder" / "plugin.py").exists()


def test_configuration_moved_by_xdg(packages, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    (tmp_path / "xdg" / "sublime-text" / "Packages").mkdir(parents=True)
    sublime_command.main(["--install"])
    assert (tmp_path / "xdg/sublime-text/Packages/Autocoder").is_symlink()


def test_windows_is_told_so(packages, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigError, match="not on Windows"):
        sublime_command.main(["--install"])


def test_the_path_and_the_command_line(packages, capsys):
    assert autocoder(["sublime", "--path"]) == 0
    assert Path(capsys.readouterr().out.strip()) == PLUGIN
    assert autocoder(["sublime", "--install", "--packages", "/nowhere"]) == 2
    assert "no Packages folder of Sublime Text at /nowhere" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        autocoder(["sublime"])


# --- the archive ----------------------------------------------------------------------------------


def test_the_archive_holds_the_package_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert sublime_command.main(["--package"]) == 0
    assert "`Installed Packages`" in capsys.readouterr().out
    archive = zipfile.ZipFile(tmp_path / "Autocoder.sublime-package")
    assert archive.testzip() is None
    assert set(archive.namelist()) == files(PLUGIN)
    needed = {"plugin.py", "core/__init__.py", ".python-version", "Main.sublime-menu",
              "Autocoder.sublime-settings", "Default.sublime-keymap", "messages/install.txt",
              "Default.sublime-commands", "messages.json"}  # fmt: skip
    assert needed <= set(archive.namelist())


def test_two_archives_of_the_same_are_the_same_bytes(tmp_path):
    one, two = (tmp_path / f"{name}.sublime-package" for name in ("one", "two"))
    for target in (one, two):
        sublime_command.main(["--package", str(target)])
    assert one.read_bytes() == two.read_bytes()


def test_an_archive_needs_a_folder_or_its_ending(tmp_path):
    with pytest.raises(ConfigError, match=r"ends in \.sublime-package"):
        sublime_command.main(["--package", str(tmp_path / "x.zip")])


# --- what Sublime makes of it ---------------------------------------------------------------------


def suggests(editor):
    editor.open()
    editor.type("for i in ran")
    return editor.wait(lambda: editor.screen() == "for i in ran⟨ge(10):⟩")


def test_the_archive_works_as_a_package(start, bridge, tmp_path):
    bridge.says(("ran", "ge(10):"))
    sublime_command.main(["--package", str(tmp_path)])
    editor = start(bridge.command, package=tmp_path / "Autocoder.sublime-package")
    assert suggests(editor)
    assert editor.press("tab")[0] == "autocoder_accept"


def test_the_link_and_its_companion_work_and_name_this_environments_program(
    start, bridge, packages, monkeypatch
):
    monkeypatch.setattr(sublime_command, "command", lambda: bridge.command)
    bridge.says(("ran", "ge(10):"))
    sublime_command.main(["--install"])
    editor = start("", package=packages / "Autocoder")
    (editor.world.user / "Autocoder.sublime-settings").unlink()
    editor.world.settings.clear()
    editor.world.packages["Autocoder Command"] = packages / "Autocoder Command"
    assert suggests(editor)


def test_the_companion_names_this_environments_program(packages):
    sublime_command.main(["--install"])
    text = (packages / "Autocoder Command" / "Autocoder.sublime-settings").read_text()
    mark, line = text.splitlines()
    assert mark.startswith("// Written by `autocoder sublime --install`")
    assert json.loads(line) == {"command": vim_command.command()}


# --- where the program is looked for --------------------------------------------------------------


@pytest.fixture
def executable(start, bridge):
    """The module of the loaded plugin that looks for the program."""
    start(bridge.command)
    return sys.modules["Autocoder.core.executable"]


def program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_a_command_is_a_path_words_or_a_list(executable, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    spaced = program(tmp_path / "my programs" / "autocoder")
    plain = program(tmp_path / "autocoder")
    end = ["bridge", "--client", "sublime"]
    assert executable.bridge_command(spaced) == [spaced, *end]
    assert executable.bridge_command("~/autocoder") == [plain, *end]
    assert executable.bridge_command(f"{plain} --model x") == [plain, "--model", "x", *end]
    assert executable.bridge_command([spaced, "-v"]) == [spaced, "-v", *end]


def test_it_is_found_on_path_or_in_likely_places(executable, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(executable, "LIKELY", ["~/.local/bin"])
    monkeypatch.setattr(executable, "__file__", str(tmp_path / "executable.py"))
    with pytest.raises(FileNotFoundError, match="no executable 'autocoder'"):
        executable.bridge_command("")
    local = program(tmp_path / ".local" / "bin" / "autocoder")
    assert executable.bridge_command("")[0] == local
    on_path = program(tmp_path / "bin" / "autocoder")
    assert executable.bridge_command(None)[0] == on_path


def test_a_plugin_in_an_environment_finds_the_program_of_it(executable, tmp_path, monkeypatch):
    inside = tmp_path / "env/lib/python3.11/site-packages/autocoder/clients/sublime/core"
    inside.mkdir(parents=True)
    monkeypatch.setattr(executable, "__file__", str(inside / "executable.py"))
    monkeypatch.setattr(executable, "LIKELY", [])
    beside = program(tmp_path / "env" / "bin" / "autocoder")
    assert executable.bridge_command("")[0] == beside


def test_installed_from_a_wheel_the_program_is_found_by_the_link(executable, tmp_path, monkeypatch):
    inside = tmp_path / "env/lib/python3.11/site-packages/autocoder/clients/sublime"
    shutil.copytree(PLUGIN, inside)
    link = tmp_path / "Packages" / "Autocoder"
    link.parent.mkdir()
    link.symlink_to(inside)
    beside = program(tmp_path / "env" / "bin" / "autocoder")
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['bridge_command']('')[0])"
    run = [sys.executable, "-c", code, str(link / "core" / "executable.py")]
    done = subprocess.run(run, capture_output=True, text=True, env={**os.environ, "PATH": ""})
    assert done.stdout.strip() == beside, done.stderr
