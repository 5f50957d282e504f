""":Autocoder, the status line, the help, the health check, and getting installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from autocoder.clients import vim_command
from autocoder.daemon.errors import ConfigError

PLUGIN = vim_command.PLUGIN


def test_disable_enable_and_toggle(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.open().type("ifor i in ran")
    assert editor.shows("range(10):")
    editor.run("Autocoder disable").type("Sfor i in ran").state()
    asked = len(bridge.heard())
    assert not editor.wait(lambda: len(bridge.heard()) > asked, 0.2)
    for command in ("enable", "toggle", "toggle"):
        editor.run("Autocoder " + command)
    editor.type("Sfor i in ran")
    assert editor.shows("range(10):")


def test_the_commands_win_over_the_buffers_own_setting(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.open("", name="notes.txt", after="set laststatus=2 stl=[%{autocoder#statusline()}]")
    editor.run("let b:autocoder_enabled = 1").type("ifor i in ran")
    assert editor.shows("range(10):")
    assert editor.shows("[ac]")
    editor.run("Autocoder disable").type("Sfor i in ran")
    assert editor.shows("[]")
    assert not editor.state()["visible"]
    editor.run("Autocoder enable").type("Sfor i in ran")
    assert editor.shows("range(10):")


def test_another_command_may_follow(editor, bridge):
    editor.open().run("Autocoder disable | let g:value = 'followed'")
    assert editor.state()["value"] == "followed"


def test_status_says_what_there_is(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.open().type("ifor i in ran")
    assert editor.shows("range(10):")
    editor.run("Autocoder status")
    assert editor.shows("autocoder: on\nbridge:    ready")
    assert editor.shows("daemon:    0, FakeProvider\nmodel:     fake, python")


def test_status_says_why_nothing_shows(editor, bridge):
    editor.open(size=(80, 10))
    for command, why in [
        ("setfiletype markdown | set ft=markdown", "filetype 'markdown' (g:autocoder_filetypes)"),
        ("set filetype=python paste", "'paste'"),
        ("set nopaste | let g:autocoder_auto = 0", "only by the trigger key (g:autocoder_auto)"),
        ("Autocoder disable", "turned off (:Autocoder enable)"),
    ]:
        editor.run(command).run("Autocoder status")
        assert editor.shows("autocoder: nothing here of itself: " + why)
        editor.keys("Enter")


def test_stats_asks_the_daemon_and_does_not_disturb(editor, bridge):
    bridge.says(status_delay_ms=300)
    editor.open().run("Autocoder stats").run("wincmd p").type("itext")
    assert editor.shows("problem      -\nuptime_s     1")
    assert editor.state()["lines"] == ["text"]
    assert bridge.heard("status")


def test_the_log_and_the_stats_have_one_window_each(editor, bridge):
    editor.open()
    for command in ("log", "log", "stats", "log", "stats"):
        editor.run("Autocoder " + command)
    assert editor.shows("uptime_s     1")
    editor.run("let g:value = [winnr('$'), execute('messages')]")
    windows, messages = editor.state()["value"]
    assert windows == 3
    assert "E95" not in messages


def test_a_wrong_word_is_told_the_right_ones(editor, bridge):
    editor.open(size=(100, 10)).run("Autocoder stauts")
    assert editor.shows("there are: disable, enable, log, restart, stats, status, toggle")
    editor.keys("Enter").run("let g:value = getcompletion('Autocoder st', 'cmdline')")
    assert editor.state()["value"] == ["stats", "status"]


def test_the_status_line_tells_ready_waiting_down_and_off(editor, bridge):
    line = "set laststatus=2 statusline=[%{autocoder#statusline()}]"
    bridge.says(("ran", "ge(10):"), delay_ms=500)
    editor.open(after=line).type("ifor i in ran")
    assert editor.wait(bridge.heard)
    editor.run("redrawstatus!").type("a")
    assert editor.shows("[ac")
    bridge.says(delay_ms=0, mode="dies")
    editor.type("x")
    assert editor.wait(lambda: editor.state()["bridge"] == "down")
    editor.run("redrawstatus!")
    assert editor.shows("[ac!]")
    editor.run("Autocoder disable").run("redrawstatus!")
    assert editor.shows("[]")


def test_help_names_every_command_key_setting_and_function(editor, bridge):
    text = (PLUGIN / "doc" / "autocoder.txt").read_text()
    code = "\n".join(path.read_text() for path in PLUGIN.rglob("*.vim"))
    settings = (PLUGIN / "autoload" / "autocoder.vim").read_text()
    names = set(re.findall(r"<Plug>\(autocoder-(?!before|insert)[a-z]+\)", code))
    names |= {f"g:autocoder_{name}" for name in re.findall(r"^ +\\ '(\w+)': [\d']", settings, re.M)}
    assert len(names) > 15
    assert {name for name in names if name not in text} == set()
    editor.open().run("help autocoder")
    assert editor.shows("Code completion that is local")
    editor.run("help g:autocoder_delay")
    assert editor.shows("milliseconds of rest")


def test_the_shipped_help_tags_are_those_of_the_help(tmp_path):
    (tmp_path / "autocoder.txt").write_text((PLUGIN / "doc" / "autocoder.txt").read_text())
    subprocess.run(
        ["vim", "-es", "-u", "NONE", "-c", f"helptags {tmp_path}", "-c", "q"], check=False
    )
    assert (tmp_path / "tags").read_text() == (PLUGIN / "doc" / "tags").read_text()


def test_the_health_check(tmp_path, bridge, start_editor):
    editor = start_editor("nvim").open(size=(100, 30)).run("checkhealth autocoder")
    assert editor.shows("this Neovim can show ghost text")
    assert editor.shows("<Tab> accepts")
    assert editor.shows("daemon 0, model fake, FakeProvider")


# --- autocoder vim ------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_path_prints_the_plugins_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert vim_command.main(["--path"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert (folder / "plugin" / "autocoder.vim").is_file()


@pytest.mark.parametrize("name", ["vim", "nvim"])
def test_installed_the_editor_loads_it_and_knows_our_program(home: Path, name: str) -> None:
    assert vim_command.main(["--install"]) == 0
    assert vim_command.main(["--install"]) == 0
    told = home / "told"
    facts = "[string(exists(':Autocoder')), join(autocoder#executable#bridge())]"
    ask = f"call writefile({facts}, '{told}')"
    words = {"vim": ["vim", "-N", "-es"], "nvim": ["nvim", "--headless", "-es"]}[name]
    (home / "rc.vim").write_text("")
    subprocess.run(
        [*words, "-i", "NONE", "-u", str(home / "rc.vim"), "-c", ask, "-c", "qa!"],
        timeout=20,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    found, command = told.read_text().splitlines()
    assert found == "2"
    assert command.startswith(" ".join(vim_command.command()) + " bridge")


@pytest.mark.parametrize(
    "when", ["packadd autocoder", "autocmd InsertEnter * ++once packadd autocoder"]
)
def test_a_plugin_manager_may_load_it_late(editor, bridge, when):
    bridge.says(("ran", "ge(10):"))
    optional = editor.folder / "site" / "pack" / "any" / "opt"
    optional.mkdir(parents=True)
    (optional / "autocoder").symlink_to(PLUGIN)
    editor.open(before=f"set rtp-={PLUGIN} packpath+={editor.folder}/site", name="later.py")
    assert editor.run("let g:value = exists(':Autocoder')").type(":" + when).keys("Enter")
    editor.type("ifor i in ran")
    assert editor.shows("for i in range(10):")
    editor.keys("Tab", "Escape").run("let g:value = execute('messages')")
    assert editor.lines() == ["for i in range(10):"]


def test_a_compatible_vim_is_left_alone(tmp_path: Path) -> None:
    said = tmp_path / "said"
    words = ["vim", "-i", "NONE", "-u", "NONE", "-C", "-es"]
    act = ["-c", f"redir! > {said} | source {PLUGIN}/plugin/autocoder.vim | redir END", "-c", "qa!"]
    subprocess.run([*words, *act], check=False, timeout=20, stdin=subprocess.DEVNULL)
    assert said.read_text().strip() == ""


def test_uninstall_leaves_nothing_of_ours_and_all_of_others(home: Path) -> None:
    other = home / ".vim" / "pack" / "other" / "start" / "x"
    other.mkdir(parents=True)
    vim_command.main(["--install"])
    assert list(home.rglob("autocoder"))
    vim_command.main(["--uninstall"])
    vim_command.main(["--uninstall"])
    assert not list(home.rglob("autocoder*"))
    assert other.is_dir()
    assert (PLUGIN / "plugin").is_dir()


def test_one_editor_alone_and_folders_moved_by_xdg(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    vim_command.main(["--install", "--editor", "nvim"])
    assert (home / "data/nvim/site/pack/autocoder/start/autocoder").is_symlink()
    assert not (home / ".vim").exists()
    (home / ".config" / "vim").mkdir(parents=True)
    (home / ".config" / "vim" / "vimrc").write_text("")
    vim_command.main(["--install", "--editor", "vim"])
    assert (home / ".config/vim/pack/autocoder/start/autocoder").is_symlink()


def test_a_neovim_of_another_name_and_one_with_lazy_nvim(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("NVIM_APPNAME", "other")
    vim_command.main(["--install"])
    assert (home / "data/other/site/pack/autocoder/start/autocoder").is_symlink()
    assert "lazy.nvim" not in capsys.readouterr().out
    (home / "data/other/lazy/lazy.nvim").mkdir(parents=True)
    vim_command.main(["--install"])
    assert f'{{ dir = "{PLUGIN}" }}' in capsys.readouterr().out


@pytest.mark.parametrize("what", ["folder", "link"])
def test_what_is_not_ours_is_not_touched(home: Path, what: str) -> None:
    place = home / ".vim/pack/autocoder/start/autocoder"
    if what == "folder":
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True)
        place.symlink_to(home / "mine")
    with pytest.raises(ConfigError, match="not a link of ours"):
        vim_command.main(["--install", "--editor", "vim"])
    vim_command.main(["--uninstall", "--editor", "vim"])
    assert os.path.lexists(place)


def test_a_link_to_an_environment_that_is_gone_is_replaced(home: Path) -> None:
    place = home / ".vim/pack/autocoder/start/autocoder"
    place.parent.mkdir(parents=True)
    place.symlink_to("/gone/lib/python3.11/site-packages/autocoder/clients/vim")
    vim_command.main(["--install", "--editor", "vim"])
    assert place.resolve() == PLUGIN


def test_windows_is_told_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigError, match="WSL"):
        vim_command.main(["--install"])
