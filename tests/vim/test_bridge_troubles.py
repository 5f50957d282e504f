"""A bridge that hangs, dies, is slow, speaks junk or is missing: typing and `:wq` go on."""

import json
import os
import time
from itertools import pairwise
from pathlib import Path

import pytest

TROUBLES = ["silent", "deaf", "dies", "junk", "error"]

# Times each key's share of the plugin: its events of typing a letter, and the request itself.
# Every other time it takes the same steps without the plugin, for what the clock itself costs.
MEASURE = """
augroup nothing
  autocmd TextChangedI,CursorMovedI * call empty('')
augroup END
function! Key(group) abort
  call setline('.', getline('.') .. 'x')
  call cursor('.', col('$'))
  let start = reltime()
  execute 'doautocmd <nomodeline>' a:group 'TextChangedI'
  execute 'doautocmd <nomodeline>' a:group 'CursorMovedI'
  if a:group ==# 'autocoder'
    call autocoder#suggest#fire()
  endif
  return reltimefloat(reltime(start)) * 1000
endfunction
function! Measure(keys) abort
  let times = []
  for i in range(a:keys)
    call add(times, Key('autocoder') - Key('nothing'))
    sleep {pause}m
  endfor
  call writefile([json_encode(times)], '{file}.part')
  call rename('{file}.part', '{file}')
endfunction
inoremap <F5> <Cmd>call Measure({keys})<CR>
"""
ROUND = 10


def milliseconds(editor, keys=120, pause=2, typed="o", shown="", **how):
    """Rounds of times per key, typed into a new line at the start of a large file, sorted each.
    The keys follow `typed` as soon as `shown` is on the screen.

    A test asks something of the best round: what is the plugin's own is in all of them, while
    the other load of a busy machine spares one.
    """
    found = editor.folder / "times.json"
    script = MEASURE.replace("{keys}", str(keys)).replace("{pause}", str(pause))
    editor.open(after=script.replace("{file}", str(found)), **how)
    assert editor.type(typed).shows(shown)
    editor.keys("F5").wait(found.exists)
    times = json.loads(found.read_text())
    return [sorted(times[i : i + ROUND]) for i in range(0, keys, ROUND)]


def median(rounds):
    return min(times[ROUND // 2] for times in rounds)


def slowest(rounds):
    """Of the best round; but one key in ten may be another program's victim."""
    return min(times[-2] for times in rounds)


def told(editor, rounds):
    times = sorted(time for times in rounds for time in times)
    middle, late = times[len(times) // 2], times[len(times) * 95 // 100]
    print(f"{editor.kind}: median {middle:.2f} ms, 95 % {late:.2f} ms; best {median(rounds):.2f}")
    return rounds


def source(megabytes):
    line = "    value = compute(first, second)  # a line like any other\n"
    return line * int(megabytes * 1_000_000 / len(line))


@pytest.mark.parametrize("mode", TROUBLES)
def test_a_broken_bridge_costs_at_most_5_ms_per_key(editor, bridge, mode):
    bridge.says(("x", "ghost"), mode=mode)
    times = milliseconds(editor, text=source(0.2))
    assert slowest(times) <= 5.0
    assert editor.alive()


@pytest.mark.parametrize("mode", TROUBLES)
def test_write_and_quit_always_works(editor, bridge, mode):
    bridge.says(("ran", "ge(10):"), mode=mode)
    editor.open().type("ifor i in ran")
    assert editor.wait(lambda: bridge.heard("started"))
    assert editor.state()["lines"] == ["for i in ran"]
    start = time.monotonic()
    editor.keys("Escape").type(":wq").keys("Enter")
    assert editor.wait(lambda: not editor.alive())
    assert time.monotonic() - start < 2.0  # Neovim gives a job that ignores it two seconds
    assert editor.file.read_text() == "for i in ran\n"
    for started in bridge.heard("started"):
        assert editor.wait(lambda pid=started["pid"]: not running(pid))


def running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # a container's first process may not reap the dead
    return not (stat.exists() and stat.read_text().split(")")[1].startswith(" Z"))


def test_a_dead_bridge_is_restarted_with_growing_pauses(editor, bridge):
    bridge.says(("x", "ghost"), mode="dies")
    editor.open(before="let g:autocoder_delay = 0").type("i")
    assert editor.wait(lambda: len(editor.type("x").bridge.heard("started")) == 3)
    at = [message["at"] for message in bridge.heard("started")]
    pauses = [later - earlier for earlier, later in pairwise(at)]
    assert pauses[0] >= 0.5
    assert pauses[1] >= 1.0
    assert editor.wait(lambda: editor.state()["bridge"] == "down")
    assert editor.type("xxx").state()["bridge"] == "down"
    bridge.says(mode="ok")
    editor.run("Autocoder restart").type("Sx")
    assert editor.shows("xghost")
    assert editor.state()["bridge"] == "ready"


def test_a_killed_bridge_comes_back_by_itself(editor, bridge):
    bridge.says(("ran", "ge(10):"))
    editor.open().type("ifor i in ran")
    assert editor.shows("range(10):")
    os.kill(bridge.heard("started")[0]["pid"], 9)
    assert editor.wait(lambda: editor.state()["bridge"] == "down")
    editor.type("x")
    time.sleep(0.6)
    editor.keys("BSpace")
    assert editor.shows("range(10):")
    assert len(bridge.heard("started")) == 2


def test_a_hung_bridge_is_replaced(editor, bridge):
    bridge.says(("ran", "ge(10):"), mode="silent")
    longer = "inoremap <F8> <Cmd>let g:autocoder_timeout = 20000<CR>"
    editor.open(before="let g:autocoder_timeout = 100", after=longer).type("ifor i in ran")
    assert editor.wait(bridge.heard)
    time.sleep(0.4)
    bridge.says(mode="ok")
    editor.type("x")
    assert editor.wait(lambda: editor.state()["bridge"] == "down")
    time.sleep(0.6)
    editor.keys("F8", "BSpace")
    assert editor.shows("range(10):")
    assert len(bridge.heard("started")) == 2


def test_a_silent_bridge_is_not_flooded(editor, bridge):
    bridge.says(mode="silent")
    editor.open(before="let g:autocoder_delay = 0").type("i")
    for _ in range(30):
        editor.type("x")
        time.sleep(0.01)
    editor.state()
    assert 1 <= len(bridge.heard()) <= 4


def test_a_slow_bridge_answers_the_newest_place_in_the_end(editor, bridge):
    bridge.says(("x", []), ("ran", "ge(10):"), delay_ms=150)
    editor.open(before="let g:autocoder_delay = 0").type("i")
    for key in "xxxxxxxxxx ran":
        editor.type(key)
        time.sleep(0.02)
    assert editor.shows("range(10):")


def test_junk_is_ignored_and_an_error_is_said_once(editor, bridge):
    bridge.says(("x", "ghost"), mode="junk")
    editor.open().type("ix")
    assert editor.wait(bridge.heard)
    assert not editor.state()["visible"]
    bridge.says(mode="error")
    editor.type("x")
    assert editor.wait(lambda: len(bridge.heard()) == 2)
    editor.keys("Escape")
    assert editor.shows("autocoder: model: no model here")
    bridge.says(mode="ok")
    editor.type("ax")
    assert editor.shows("xxxghost")
    editor.run("Autocoder log")
    assert editor.shows("model: no model here")
    editor.type("gg")
    assert editor.shows("not a message: not json")


def test_a_missing_program_is_said_with_its_remedy(editor, bridge):
    editor.open(command=["/nowhere/autocoder"], size=(100, 16)).type("ix")
    assert editor.wait(lambda: editor.state()["bridge"] == "down")
    editor.keys("Escape")
    assert editor.shows("autocoder: no executable '/nowhere")
    assert editor.type("ay").lines() == ["xy"]
    editor.keys("Escape").run("Autocoder status")
    assert editor.shows("bridge:    down (/nowhere/autocoder bridge")


@pytest.mark.parametrize("empty", ["", []])
def test_an_empty_command_has_the_program_looked_for(editor, bridge, empty):
    editor.open(after=f"let g:autocoder_command = {empty!r}").run("Autocoder status")
    assert editor.shows("bridge:    off (autocoder bridge")


@pytest.mark.parametrize("broken", ["context#place()", "ghost#draw(_)"])
def test_a_fault_of_the_plugin_is_said_once_and_does_not_disturb_typing(editor, bridge, broken):
    bridge.says(("val", "ue"))
    script = editor.folder / "break.vim"
    script.write_text(
        f"call autocoder#ghost#clear()\ncall autocoder#context#place()\n"
        f"function! autocoder#{broken} abort\n  return unknown\nendfunction\n"
    )
    editor.open(size=(120, 10)).run(f"source {script}").type("ival")
    if "draw" in broken:
        assert editor.wait(lambda: bridge.heard("answered"))
    editor.type("id ").keys("Tab").type("x").keys("Escape")
    assert editor.shows("autocoder: a fault of the plugin: E121 in autocoder#" + broken[:8])
    state = editor.type("aval").state()
    assert [line.split() for line in state["lines"]] == [["valid", "xval"]]
    assert state["messages"].count("E121") == 1
    assert "Error detected" not in state["messages"]


# --- speed --------------------------------------------------------------------------------------


def test_a_key_costs_at_most_1_ms_of_the_plugin(editor, bridge):
    times = told(editor, milliseconds(editor, keys=200, text=source(0.2)))
    assert median(times) <= 1.0
    assert len(bridge.heard()) > 20


def test_typing_through_a_ghost_costs_at_most_1_ms(editor, bridge):
    bridge.says(("ran", "x" * 400 + "\nx\n\nx"))
    how = {"typed": "oran", "shown": "ranxxxx"}
    times = told(editor, milliseconds(editor, text=source(0.2), **how))
    assert editor.state()["visible"]
    assert median(times) <= 1.0


def test_five_megabytes_cost_no_more(editor, bridge):
    times = told(editor, milliseconds(editor, text=source(5)))
    assert median(times) <= 1.0
    assert slowest(times) <= 5.0
    assert bridge.heard()[-1]["bytes"] <= 60_000
    bridge.says(("ran", "ge(10):"))
    editor.keys("Escape").type("Gofor i in ran")
    assert editor.shows("for i in range(10):")
    editor.keys("Tab", "Escape").type("ZZ")
    assert editor.wait(lambda: not editor.alive())
    assert editor.file.read_text().endswith("for i in range(10):\n")


def test_five_megabytes_in_one_line_cost_no_more(editor, bridge):
    times = milliseconds(editor, keys=60, text="x = 1\n" + "y" * 5_000_000 + "\nz = 2\n")
    assert slowest(times) <= 5.0
    assert bridge.heard()[-1]["bytes"] < 1000


def test_an_answer_is_on_the_screen_within_10_ms(editor, bridge):
    """From the bridge's writing to the bytes at the terminal, through tmux's pipe-pane."""
    watch = editor.folder / "screen"
    watch.touch()
    stamp = "import os,sys,time\nwhile b:=os.read(0,65536): os.write(1,b'%f %r\\n'%(time.time(),b))"
    editor.open(after="syntax off")
    script = editor.folder / "stamp.py"
    script.write_text(stamp)
    editor.pipe(f"python3 -S {script} > {watch}")
    took = []
    for i in range(10):
        bridge.says((f"n{i}", f"_gh{i}st"), delay_ms=60)
        editor.type(f"on{i}")
        assert editor.shows(f"n{i}_gh{i}st")
        seen = editor.wait(lambda ghost=f"_gh{i}st": written(watch, ghost))
        took.append(float(seen[0].split()[0]) - bridge.heard("answered")[-1]["at"])
        editor.keys("Escape")
    took = sorted(1000 * seconds for seconds in took)
    print(f"{editor.kind}: median {took[5]:.1f} ms, slowest {took[-1]:.1f} ms")
    assert took[2] <= 10  # drawn at the next key or by a timer, all ten would be late


def written(watch, text):
    """The lines of the record of the terminal's bytes that hold `text`, the first one first."""
    return [row for row in watch.read_text().split("\n")[:-1] if text in row]
