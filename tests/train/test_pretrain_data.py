"""Pre-training's data: tokenizer, holes, samples, windows and their order."""

import json
import lzma
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.prompt import Budget, PromptBuilder, PromptFormat
from autocoder.train.pretrain import tokenizer as tokenizers
from autocoder.train.pretrain.holes import KINDS, hole_near
from autocoder.train.pretrain.mix import main as mix
from autocoder.train.pretrain.neighbours import Neighbours
from autocoder.train.pretrain.order import Source, batches, prefetched
from autocoder.train.pretrain.prepare import documents, prepare
from autocoder.train.pretrain.renaming import Renaming, own_names
from autocoder.train.pretrain.samples import (
    Mixture,
    form_of,
    hole_sample,
    holes_of,
    plain_sample,
)
from autocoder.train.pretrain.sow import main as sow
from autocoder.train.pretrain.tokenizer_sizes import shortened
from autocoder.train.pretrain.windows import Packer

PYTHON = '''class Basket:
    """What will be bought."""

    def __init__(self, name):
        self.name = name
        self.things = []

    def put(self, thing, count=12345):
        for _ in range(count):
            self.things.append(thing)
        return len(self.things)
'''
AWKWARD = [
    "",
    " ",
    "\r\n\t x",
    "a\n\n\n   \n\tb  ",
    "naïve → 日本語 🙂\u0000",
    "x=1234567;\ty",
    "<eos>x",
]


def write_shard(path: Path, count: int, mark: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(path, "wt") as out:
        for number in range(count):
            text = PYTHON.replace("Basket", f"Basket{mark}{number}")
            language = "java" if number % 3 == 0 else "python"
            out.write(json.dumps({"language": language, "text": text}) + "\n")


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    sample = folder / "sample.jsonl"
    sample.write_text("\n".join(json.dumps({"text": PYTHON}) for _ in range(20)))
    target = folder / "tokenizer.json"
    assert tokenizers.main([str(sample), "-o", str(target), "--vocabulary", "400"]) == 0
    return target


@pytest.fixture(scope="module")
def builder(tokenizer_file: Path) -> PromptBuilder:
    return PromptBuilder(Tokenizer.from_file(str(tokenizer_file)), PromptFormat())


def test_any_text_comes_back_exactly(builder: PromptBuilder) -> None:
    for text in [PYTHON, PYTHON.replace("\n", "\r\n"), *AWKWARD[:-1]]:
        assert builder.tokenizer.decode(builder.encode(text), skip_special_tokens=False) == text


def test_special_tokens_have_the_first_ids(builder: PromptBuilder) -> None:
    ids = [builder.tokenizer.token_to_id(token) for token in tokenizers.special_tokens()]
    assert ids == list(range(32))
    assert tokenizers.special_tokens()[:3] == ["<eos>", "<python>", "<java>"]


def test_a_new_line_with_its_indentation_is_one_piece_and_digits_come_in_threes() -> None:
    pieces = tokenizers.untrained().pre_tokenizer.pre_tokenize_str("if x:\n        y = 1234567\n")
    texts = [piece for piece, _ in pieces]
    assert "ĊĠĠĠĠĠĠĠĠ" in texts
    assert [text for text in texts if text.isdigit()] == ["123", "456", "7"]


def test_no_sample_for_the_tokenizer_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="autocoder train corpus"):
        tokenizers.main([str(tmp_path / "none.jsonl"), "-o", str(tmp_path / "t.json")])


def test_a_hole_sample_begins_with_the_ids_of_the_serving_prompt(builder: PromptBuilder) -> None:
    chance = random.Random(1)
    for _ in range(200):
        hole = hole_near(PYTHON, chance.randrange(len(PYTHON)), chance)
        budget = Budget(chance.randint(8, 90), chance.choice((0, 5, 40)))
        sample = hole_sample(PYTHON, hole, "python", builder, budget)
        suffix = PYTHON[hole.end :] if budget.suffix_tokens else ""
        prompt = builder.build("python", PYTHON[: hole.cursor], suffix, budget)
        middle = sample[len(prompt.ids) : -1]
        assert tuple(sample[: len(prompt.ids)]) == prompt.ids
        assert builder.tokenizer.decode(middle) == PYTHON[hole.cursor : hole.end]
        assert sample[-1] == builder.end_id


def test_holes_lie_within_the_text_and_often_end_at_a_line_end() -> None:
    chance = random.Random(2)
    holes = [hole_near(PYTHON, chance.randrange(len(PYTHON)), chance) for _ in range(3000)]
    assert all(0 <= hole.cursor <= hole.end <= len(PYTHON) for hole in holes)
    ends = [hole for hole in holes if PYTHON[hole.end : hole.end + 1] in ("\n", "")]
    assert 0.5 < len(ends) / len(holes) < 0.95  # the others leave closers, or cut anywhere
    after_mark = [hole for hole in holes if PYTHON[hole.cursor - 1 : hole.cursor] in (".", "(")]
    assert len(after_mark) > 300
    assert len(KINDS) == 5


def test_walking_holes_reach_the_end_of_a_text(builder: PromptBuilder) -> None:
    text = PYTHON * 20
    samples = list(holes_of(text, "java", builder, Mixture(median_prefix=30), random.Random(3)))
    assert len(samples) > 20
    assert all(sample[0] == builder.control_id("java") for sample in samples)


def test_windows_are_full_and_no_hole_is_cut_while_text_waits() -> None:
    packer = Packer(64)
    chance = random.Random(4)
    holes = 0
    for number in range(400):
        packer.add_plain([1, *[10] * chance.randint(20, 90), 0])
        if number > 3:
            packer.add_hole([3, *[20] * chance.randint(5, 40), 5, 21, 0])
            holes += 1
    rows = np.stack(packer.windows)
    assert rows.shape[1] == 64
    ends = int(((rows[:, :-2] == 5) & (rows[:, 1:-1] == 21) & (rows[:, 2:] == 0)).sum())
    assert ends >= holes - 1  # the last one's window may still be open
    assert int((rows == 3).sum()) == ends


def test_a_shard_gives_the_same_windows_each_time_and_other_holes_each_epoch(
    tmp_path: Path, tokenizer_file: Path
) -> None:
    write_shard(tmp_path / "corpus/0000.jsonl.xz", 90)
    shards = [tmp_path / "corpus/0000.jsonl.xz"]
    for name, workers in (("a", 1), ("b", 2)):
        prepare(shards, tmp_path / name, tokenizer_file, epochs=2, length=65, workers=workers)
    first, again = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert [path.name for path in first] == [path.name for path in again]
    assert all(x.read_bytes() == y.read_bytes() for x, y in zip(first, again, strict=True))
    epochs = [
        np.concatenate([np.load(p) for p in first if p.name.startswith(e)]) for e in ("e0", "e1")
    ]
    assert epochs[0].dtype == np.uint16
    assert not np.array_equal(epochs[0][:40], epochs[1][:40])
    assert not list((tmp_path / "a").glob("*.part"))


def test_the_first_slice_that_fails_ends_the_preparing(
    tmp_path: Path, tokenizer_file: Path
) -> None:
    broken, good = tmp_path / "0000.jsonl.xz", tmp_path / "0001.jsonl.xz"
    with lzma.open(broken, "wt") as out:
        out.write("no JSON\n")
    write_shard(good, 40)
    with pytest.raises(ConfigError, match="is damaged"):
        prepare([broken, good], tmp_path, tokenizer_file, epochs=3, length=33, workers=1)
    assert len(list(tmp_path.glob("*.npy"))) < 3 * 32


def test_an_unpacked_shard_is_read_in_place_of_the_packed_one(tmp_path: Path) -> None:
    write_shard(tmp_path / "0000.jsonl.xz", 5)
    packed = list(documents(tmp_path / "0000.jsonl.xz"))
    unpacked = lzma.decompress((tmp_path / "0000.jsonl.xz").read_bytes())
    (tmp_path / "0000.jsonl").write_bytes(unpacked)
    (tmp_path / "0000.jsonl.xz").write_bytes(b"")
    assert list(documents(tmp_path / "0000.jsonl.xz")) == packed
    assert list(documents(tmp_path / "0000.jsonl.xz", 1, 2)) == packed[1::2]


def written_source(folder: Path) -> Source:
    chance = np.random.default_rng(0)
    for part in range(32):
        for name, rows in (("0000", 3), ("0001", 2)):
            tokens = chance.integers(0, 400, (rows, 9), dtype=np.uint16)
            np.save(folder / f"e0-s{name}-{part:02}.npy", tokens)
    return Source(folder, ("0000", "0001"), 1, seed=5, patience_s=0.1)


def test_a_batch_is_the_same_whatever_the_number_of_processes(tmp_path: Path) -> None:
    source = written_source(tmp_path)
    whole = list(batches(source, 8))
    halves = [list(batches(source, 8, rank, 2)) for rank in (0, 1)]
    joined = [np.concatenate(pair) for pair in zip(*halves, strict=True)]
    assert len(whole) == 20  # 96 + 64 windows
    assert all(np.array_equal(x, y) for x, y in zip(whole, joined, strict=True))
    later = list(batches(source, 8, skip=7))
    assert all(np.array_equal(x, y) for x, y in zip(whole[7:], later, strict=True))


def test_an_odd_share_and_a_missing_shard_are_named(tmp_path: Path) -> None:
    source = written_source(tmp_path)
    with pytest.raises(ConfigError, match="9 windows cannot be shared by 2"):
        next(batches(source, 9, 0, 2))
    (tmp_path / "e0-s0001-04.npy").unlink()
    with pytest.raises(ConfigError, match="e0-s0001-04"):  # the thread's error arrives here
        list(prefetched(batches(source, 8)))


def test_the_mixture_holds_all_of_the_first_and_as_much_of_the_second(tmp_path: Path) -> None:
    write_shard(tmp_path / "clean/0000.jsonl.xz", 20, "Clean")
    write_shard(tmp_path / "wide/0000.jsonl.xz", 600, "Wide")
    assert mix([str(tmp_path / "clean"), str(tmp_path / "wide"), "-o", str(tmp_path / "out")]) == 0
    texts = [each["text"] for each in documents(tmp_path / "out/0000.jsonl.xz")]
    assert sum("Clean" in text for text in texts) == 20
    assert 18 <= sum("Wide" in text for text in texts) <= 22


def test_lessons_are_sown_so_many_times_each_in_another_shard(tmp_path: Path) -> None:
    write_shard(tmp_path / "lessons/0000.jsonl.xz", 20, "Lesson")
    for number in range(4):
        write_shard(tmp_path / f"wide/{number:04}.jsonl.xz", 30, "Wide")
    command = [str(tmp_path / "lessons"), str(tmp_path / "wide"), "-o", str(tmp_path / "out")]
    assert sow([*command, "--times", "3"]) == 0
    sown = [
        [each["text"] for each in documents(path)] for path in sorted((tmp_path / "out").iterdir())
    ]
    assert [sum("Wide" in text for text in texts) for texts in sown] == [30] * 4
    lessons = Counter(text for texts in sown for text in set(texts) if "Lesson" in text)
    assert len(lessons) == 20 and set(lessons.values()) == {3}


def test_further_lessons_are_sown_their_own_number_of_times(tmp_path: Path) -> None:
    for name, mark in (("lessons", "Lesson"), ("alone", "Alone")):
        write_shard(tmp_path / f"{name}/0000.jsonl.xz", 5, mark)
    for number in range(4):
        write_shard(tmp_path / f"wide/{number:04}.jsonl.xz", 6, "Wide")
    command = [str(tmp_path / "lessons"), str(tmp_path / "wide"), "-o", str(tmp_path / "out")]
    also = ["--also", str(tmp_path / "alone")]
    assert sow([*command, "--times", "1", *also, "4"]) == 0
    texts = [each["text"] for path in (tmp_path / "out").iterdir() for each in documents(path)]
    counts = {mark: sum(mark in text for text in texts) for mark in ("Wide", "Lesson", "Alone")}
    assert counts == {"Wide": 24, "Lesson": 5, "Alone": 20}
    with pytest.raises(ConfigError, match="no number of times"):
        sow([*command, *also, "often"])


def test_more_times_than_shards_is_an_error_that_says_so(tmp_path: Path) -> None:
    write_shard(tmp_path / "lessons/0000.jsonl.xz", 2, "Lesson")
    write_shard(tmp_path / "wide/0000.jsonl.xz", 3, "Wide")
    with pytest.raises(ConfigError, match="3 times needs as many shards"):
        sow([str(tmp_path / "lessons"), str(tmp_path / "wide"), "-o", str(tmp_path / "out")])


def test_sowing_refuses_what_it_would_overwrite_and_no_times(tmp_path: Path) -> None:
    for name in ("lessons", "wide"):
        write_shard(tmp_path / f"{name}/0000.jsonl.xz", 2)
    folders = [str(tmp_path / "lessons"), str(tmp_path / "wide")]
    with pytest.raises(ConfigError, match="would be read and overwritten"):
        sow([*folders, "-o", str(tmp_path / "wide"), "--times", "1"])
    for times in ("0", "-1"):
        with pytest.raises(ConfigError, match="times needs"):
            sow([*folders, "-o", str(tmp_path / "out"), "--times", times])


def test_a_plain_sample_is_control_text_end(builder: PromptBuilder) -> None:
    ids = plain_sample(PYTHON, "python", builder)
    assert ids == [builder.control_id("python"), *builder.encode(PYTHON), builder.end_id]


def test_the_tokenizer_command_prints_bytes_per_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["def f(x):\n    return x\n" * 20, "class A:\n    pass\n" * 20]
    lines = [json.dumps({"language": "python", "text": text}) for text in texts]
    (tmp_path / "sample.jsonl").write_text("\n".join(lines) + "\n")
    with lzma.open(tmp_path / "0000.jsonl.xz", "wt") as shard:
        shard.write("\n".join(lines) + "\n")
    words = [str(tmp_path / "sample.jsonl"), "-o", str(tmp_path / "tokenizer.json")]
    measured = ["--vocabulary", "320", "--measure", str(tmp_path / "0000.jsonl.xz")]
    assert tokenizers.main([*words, *measured]) == 0
    printed = capsys.readouterr().out
    ratio = float(printed.split("python: ")[1].split()[0])
    assert 1.5 < ratio < 30


def test_a_sample_with_other_files_begins_with_the_ids_of_the_serving_prompt(
    tokenizer_file: Path,
) -> None:
    mixture = Mixture(context_share=1.0, context_tokens=200)
    builder = PromptBuilder(Tokenizer.from_file(str(tokenizer_file)), form_of(mixture))
    files = [("shop/cart.py", PYTHON), ("shop/goods.py", PYTHON.replace("Basket", "Goods"))]
    budget = Budget(50, 20, context_tokens=120)
    hole = hole_near(PYTHON, 200, random.Random(1))
    sample = hole_sample(PYTHON, hole, "python", builder, budget, files)
    prompt = builder.build("python", PYTHON[: hole.cursor], PYTHON[hole.end :], budget, files)
    assert tuple(sample[: len(prompt.ids)]) == prompt.ids
    mark = builder.tokenizer.token_to_id("<path>")
    assert sample.count(mark) == 2 and sample[1] == mark
    walked = holes_of(PYTHON * 9, "python", builder, mixture, random.Random(2), lambda: files)
    assert all(each[1] == mark and len(each) < 2048 for each in walked)


def test_neighbours_are_other_files_of_the_repository_in_its_language(tmp_path: Path) -> None:
    rows = [
        {"repo": repo, "path": f"{folder}/{name}", "language": language, "text": f"{repo} {name}"}
        for repo in ("a/x", "b/y")
        for folder in ("src/one", "src/two")
        for name, language in (('é"1.py', "python"), ("2.py", "python"), ("3.java", "java"))
    ]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (tmp_path / "0000.jsonl").write_text("".join(lines), encoding="utf-8")
    neighbours, chance = Neighbours(tmp_path / "0000.jsonl"), random.Random(1)
    found = [
        neighbours.read(place) for _ in range(50) for place in neighbours.of(rows[0], 2, chance)
    ]
    assert {path for path, _ in found} == {"src/one/2.py", 'src/two/é"1.py', "src/two/2.py"}
    assert all(text == f"a/x {path.split('/')[-1]}" for path, text in found)
    assert sum(path == "src/one/2.py" for path, _ in found) > len(found) / 3
    assert neighbours.of({"language": "python", "text": ""}, 2, chance) == []


def test_windows_hold_other_files_in_a_share_of_the_samples(
    tmp_path: Path, tokenizer_file: Path
) -> None:
    with lzma.open(tmp_path / "0000.jsonl.xz", "wt") as out:
        for number in range(60):
            row = {"repo": "a/b", "path": f"s/{number}.py", "language": "python", "text": PYTHON}
            out.write(json.dumps(row) + "\n")
    mixture = Mixture(hole_share=1, context_share=0.5, context_tokens=64, median_prefix=30)
    shards = [tmp_path / "0000.jsonl.xz"]
    prepare(
        shards, tmp_path / "w", tokenizer_file, epochs=1, length=257, mixture=mixture, workers=1
    )
    tokens = np.concatenate([np.load(path).ravel() for path in (tmp_path / "w").glob("*.npy")])
    names = tokenizers.special_tokens()
    holes, files = ((tokens == names.index(name)).sum() for name in ("<middle>", "<file>"))
    assert 0.3 * holes < files < 3 * holes


def test_a_shortened_tokenizer_is_the_one_trained_to_that_size() -> None:
    large, small = (tokenizers.train(iter([PYTHON] * 9), size) for size in (400, 330))
    cut = shortened(large, 330)
    assert cut.get_vocab() == small.get_vocab()
    assert cut.encode(PYTHON).ids == small.encode(PYTHON).ids != large.encode(PYTHON).ids


JAVA = """import java.util.List;

class Basket {
    // count the things
    int put(List<Thing> things, int count) {
        int total = 0;
        for (Thing thing : things) {
            total += thing.weight() * count;
        }
        return total;
    }
}
"""


def test_own_names_are_parameters_and_locals_not_imports_methods_or_keywords() -> None:
    assert own_names(JAVA, "java") == ["things", "count", "total", "thing"]
    text = (
        "import os\n\ndef f(a, *rest, os=1):\n    out = a.out()\n    for x in rest:\n        pass\n"
    )
    assert own_names(text, "python") == ["a", "rest", "x"]


def test_renaming_changes_a_name_everywhere_but_in_comments_and_nothing_else() -> None:
    renaming, chance = Renaming(), random.Random(1)
    renaming.see("def g(alpha, beta, gamma, delta):\n    pass\n", "python")
    renaming.see(PYTHON, "python")
    renaming.see("class A { void f(int left, int right, int upper, int lower) {} }", "java")
    found = renaming.rename(JAVA, "java", chance)
    assert found != JAVA
    assert "// count the things" in found
    changed = {(old, new) for old, new in zip(words(JAVA), words(found), strict=True) if old != new}
    assert {old for old, _ in changed} <= set(own_names(JAVA, "java"))
    assert len({old for old, _ in changed}) == len(changed), "a name became two"


def words(code: str) -> list[str]:
    """Of the lines that are no comment."""
    return re.findall(r"\w+", re.sub(r"//.*", "", code))


def test_a_renamed_text_never_merges_two_names() -> None:
    renaming = Renaming()
    for seed in range(50):
        found = renaming.rename(JAVA, "java", random.Random(seed))
        assert len(own_names(found, "java")) == 4


def test_what_stands_alone_may_get_other_names_in_a_share_of_its_own() -> None:
    mixture = Mixture(renamed_share=0.3, renamed_alone=0.6)
    assert [mixture.renamed(standalone) for standalone in (False, True)] == [0.3, 0.6]


def test_windows_hold_other_names_where_the_mixture_says_so(
    tmp_path: Path, tokenizer_file: Path
) -> None:
    shard = tmp_path / "0000.jsonl.xz"
    with lzma.open(shard, "wt") as out:
        for number in range(200):
            text = f"def call(name{number}, other):\n    return other(name{number})\n"
            out.write(json.dumps({"language": "python", "text": text}) + "\n")
    found = {}
    for share in (0.0, 1.0):
        folder, mixture = tmp_path / str(share), Mixture(0.0, renamed_share=share)
        prepare([shard], folder, tokenizer_file, epochs=1, length=33, workers=1, mixture=mixture)
        found[share] = [np.load(path) for path in sorted(folder.glob("*.npy"))]
    assert any(not np.array_equal(*pair) for pair in zip(found[0.0], found[1.0], strict=True))
