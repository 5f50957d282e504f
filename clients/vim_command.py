"""`autocoder vim`: put the plugin where Vim and Neovim find it, take it away, or say where it is.

The plugin itself stays in the installed package; the editors get a link to it, so that upgrading
the package upgrades the plugin. A small generated file beside the link names this environment's
`autocoder`, since an editor started outside the virtual environment would not find it on PATH.
Knows folders of editors; knows nothing of what the plugin does.
"""

import argparse
import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from autocoder.daemon.errors import ConfigError

PLUGIN = Path(__file__).resolve().parent / "vim"
PACK = Path("pack/autocoder/start")
LINK, COMMAND_FOLDER = "autocoder", "autocoder-command"
MARK = '" Written by `autocoder vim --install`; `autocoder vim --uninstall` removes it.'


def main(arguments: Sequence[str]) -> int:
    """Run the command. Raises ConfigError where something of the user's is in the way."""
    options = _parser().parse_args(list(arguments))
    if options.path:
        print(PLUGIN)
        return 0
    if sys.platform == "win32":
        raise ConfigError("the Vim plugin runs on Linux and macOS; on Windows use it within WSL")
    act = uninstall if options.uninstall else install
    for folder in editor_folders(options.editor):
        print(act(folder))
    if options.install and options.editor != "vim" and _has_lazy(_neovim_folder()):
        print(f'lazy.nvim loads no packages; give it {{ dir = "{PLUGIN}" }} as a plugin')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autocoder vim", description="Install the plugin for Vim and Neovim."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--install", action="store_true", help="link the plugin into both editors")
    what.add_argument("--uninstall", action="store_true", help="take the links away again")
    what.add_argument(
        "--path", action="store_true", help="print the plugin's folder, for `set runtimepath+=`"
    )
    parser.add_argument(
        "--editor", choices=("vim", "nvim", "both"), default="both", help="which editor (both)"
    )
    return parser


def editor_folders(editor: str) -> list[Path]:
    """The folders on `packpath` that belong to the user: of Vim, of Neovim, or of both."""
    found = {"vim": _vim_folder(), "nvim": _neovim_folder()}
    return [folder for name, folder in found.items() if editor in (name, "both")]


def _vim_folder() -> Path:
    """`~/.vim`, or from Vim 9.1.327 on `$XDG_CONFIG_HOME/vim` where only that is in use."""
    home = Path.home()
    modern = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "vim"
    classic = any((home / name).exists() for name in (".vim", ".vimrc"))
    return modern if (modern / "vimrc").exists() and not classic else home / ".vim"


def _neovim_folder() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / (os.environ.get("NVIM_APPNAME") or "nvim") / "site"


def install(folder: Path) -> str:
    """Link the plugin below `folder` and write the file that names our executable."""
    link = folder / PACK / LINK
    if _is_ours(link):
        link.unlink()
    elif os.path.lexists(link):
        raise ConfigError(f"{link} is not a link of ours; move it away, then install again")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(PLUGIN, target_is_directory=True)
    _command_file(folder).parent.mkdir(parents=True, exist_ok=True)
    _command_file(folder).write_text(_command_script(), encoding="utf-8")
    return f"installed: {link} -> {PLUGIN}"


def uninstall(folder: Path) -> str:
    """Undo `install`; what is not ours is left alone."""
    link = folder / PACK / LINK
    if not _is_ours(link):
        return f"not installed: {link}"
    link.unlink()
    shutil.rmtree(folder / PACK / COMMAND_FOLDER, ignore_errors=True)
    for empty in (folder / PACK, folder / PACK.parent):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()
    return f"removed: {link}"


def _has_lazy(folder: Path) -> bool:
    """Is the plugin manager lazy.nvim there, which keeps Neovim from loading packages?"""
    return (folder.parent / "lazy" / "lazy.nvim").exists()


def _is_ours(link: Path) -> bool:
    """Is it a link to this plugin in whatever environment, gone or not?"""
    return link.is_symlink() and link.readlink().parts[-2:] == PLUGIN.parts[-2:]


def _command_file(folder: Path) -> Path:
    return folder / PACK / COMMAND_FOLDER / "plugin" / "autocoder_command.vim"


def _command_script() -> str:
    words = ", ".join("'" + word.replace("'", "''") + "'" for word in command())
    return f"{MARK}\nlet g:autocoder_command = get(g:, 'autocoder_command', [{words}])\n"


def command() -> list[str]:
    """The words that run this environment's `autocoder`, whatever PATH says.

    Without a script, `python -P -m`: a bare `-m` would import from the folder being edited.
    """
    script = Path(sysconfig.get_path("scripts")) / "autocoder"
    if os.access(script, os.X_OK):
        return [str(script)]
    return [sys.executable, "-P", "-m", "autocoder"]
