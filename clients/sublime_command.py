"""`autocoder sublime`: put the plugin where Sublime Text finds it, take it away, or pack it.

The plugin itself stays in the installed package; Sublime gets a link to it, so that upgrading the
package upgrades the plugin. A small generated package beside the link holds one setting, which
names this environment's `autocoder`: an editor started from a desktop would not find it on PATH.
Knows folders of Sublime; knows nothing of what the plugin does.
"""

import argparse
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from autocoder.clients.vim_command import command
from autocoder.daemon.errors import ConfigError

PLUGIN = Path(__file__).resolve().parent / "sublime"
NAME, COMMAND_NAME = "Autocoder", "Autocoder Command"
ARCHIVE = f"{NAME}.sublime-package"
COPY_MARK = "copied-by-autocoder.txt"
SETTINGS = f"{NAME}.sublime-settings"
MARK = "// Written by `autocoder sublime --install`; `autocoder sublime --uninstall` removes it."
MOMENT = (2020, 1, 1, 0, 0, 0)  # of every file in the archive: equal contents, equal bytes


def main(arguments: Sequence[str]) -> int:
    """Run the command. Raises ConfigError where something of the user's is in the way."""
    options = _parser().parse_args(list(arguments))
    if options.path:
        print(PLUGIN)
    elif options.package is not None:
        print(pack(Path(options.package)))
    elif sys.platform == "win32":
        raise ConfigError("the Sublime Text plugin runs on Linux and macOS, not on Windows")
    elif options.uninstall:
        print(uninstall(packages_folder(options.packages)))
    else:
        print(install(packages_folder(options.packages), options.copy))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autocoder sublime", description="Install the plugin for Sublime Text 4."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--install", action="store_true", help="link the plugin into Sublime")
    what.add_argument("--uninstall", action="store_true", help="take it away again")
    what.add_argument("--path", action="store_true", help="print the plugin's folder")
    what.add_argument(
        "--package",
        nargs="?",
        const=".",
        metavar="TO",
        help=f"write {ARCHIVE} to a folder (here) or under another name",
    )
    parser.add_argument("--copy", action="store_true", help="with --install: copy, do not link")
    parser.add_argument(
        "--packages",
        metavar="DIR",
        help="Sublime's folder of packages (else $SUBLIME_PACKAGES, else it is found)",
    )
    return parser


def packages_folder(given: str | None) -> Path:
    """Sublime's folder of packages: `given`, $SUBLIME_PACKAGES, or the one in use.

    Raises ConfigError where there is none.
    """
    named = given or os.environ.get("SUBLIME_PACKAGES")
    folders = [Path(named).expanduser()] if named else _likely_folders()
    for folder in folders:
        if folder.is_dir():
            return folder
    looked = ", ".join(map(str, folders))
    raise ConfigError(
        f"no Packages folder of Sublime Text at {looked}. Start Sublime Text once, or give the "
        "folder that its menu Preferences > Browse Packages opens: --packages DIR"
    )


def _likely_folders() -> list[Path]:
    """A Sublime Text 4 that was upgraded from 3 goes on using the older folder."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
        names = ("Sublime Text", "Sublime Text 3")
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        names = ("sublime-text", "sublime-text-3")
    return [base / name / "Packages" for name in names]


def install(packages: Path, copy: bool = False) -> str:
    """Link or copy the plugin into `packages` and write the setting that names our executable."""
    place = packages / NAME
    _remove(place)
    if copy:
        shutil.copytree(PLUGIN, place, ignore=shutil.ignore_patterns("__pycache__"))
        (place / COPY_MARK).write_text(f"{MARK}\n", encoding="utf-8")
    else:
        place.symlink_to(PLUGIN, target_is_directory=True)
    settings = packages / COMMAND_NAME / SETTINGS
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(f"{MARK}\n{json.dumps({'command': command()})}\n", encoding="utf-8")
    return f"installed: {place} {'from' if copy else '->'} {PLUGIN}"


def uninstall(packages: Path) -> str:
    """Undo `install`; what is not ours is left alone."""
    place = packages / NAME
    if not _is_ours(place):
        return f"not installed: {place}"
    _remove(place)
    settings = packages / COMMAND_NAME / SETTINGS
    settings.unlink(missing_ok=True)
    if settings.parent.is_dir() and not any(settings.parent.iterdir()):
        settings.parent.rmdir()
    return f"removed: {place}"


def _is_ours(place: Path) -> bool:
    """Is it a copy of ours, or a link to this plugin in whatever environment, gone or not?"""
    if place.is_symlink():
        return place.readlink().parts[-2:] == PLUGIN.parts[-2:]
    return (place / COPY_MARK).exists()


def _remove(place: Path) -> None:
    """Make room. Raises ConfigError where what is there was not put there by `install`."""
    if not _is_ours(place):
        if os.path.lexists(place):
            raise ConfigError(f"{place} was not installed by us; move it away, then install again")
    elif place.is_symlink():
        place.unlink()
    else:
        shutil.rmtree(place)


def pack(to: Path) -> str:
    """Write the plugin as one file for Sublime's folder `Installed Packages`."""
    target = to / ARCHIVE if to.is_dir() else to
    if target.suffix != ".sublime-package":
        raise ConfigError(f"{to} is neither a folder nor a name that ends in .sublime-package")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PLUGIN.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                entry = zipfile.ZipInfo(path.relative_to(PLUGIN).as_posix(), MOMENT)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    words = json.dumps(command())
    return (
        f"written: {target}\nPut it into Sublime's folder `Installed Packages`. Where `autocoder` "
        f'is not on PATH, set "command": {words} in the settings of the package.'
    )
