"""Functions that need nothing but themselves are cut out of files: what comes, what stays."""

import json
import lzma
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from autocoder.daemon.errors import ConfigError
from autocoder.train.corpus import decontamination
from autocoder.train.corpus.shingles import window_hashes
from autocoder.train.corpus.standalone import main, skeleton
from autocoder.train.corpus.standalone_java import cuts as java_cuts
from autocoder.train.corpus.standalone_python import cuts as python_cuts
from autocoder.train.evaluate.shapes import sample, shapes
from autocoder.train.pretrain.prepare import documents

PYTHON = '''"""A shop."""

import os
import re
from collections import Counter, deque

import numpy as np

from shop import settings

LIMIT = 3


def words(text: str) -> Counter:
    """How often each word stands there."""
    found = Counter()
    for word in re.findall(r"\\w+", text):
        found[word] += 1
    return found


def capped(values):
    kept = [value for value in values if value]
    return kept[:LIMIT]


def mean(values):
    total = np.asarray(values)
    return total.mean()


def idle(values):
    """To be written."""
    raise NotImplementedError


class Queue:
    """First in, first out."""

    def __init__(self):
        self._items = deque()

    def push(self, item):
        self._items.append(item)
'''
JAVA = """package shop;

import java.util.List;
import com.example.Money;

public class Prices {
    private static final int LIMIT = 3;
    private int count; // of all

    /** The largest of them. */
    @SuppressWarnings("all")
    public static <T extends Comparable<T>> T largest(List<T> values) {
        T best = values.get(0);
        for (T value : values) {
            if (value.compareTo(best) > 0) {
                best = value;
            }
        }
        return best;
    }

    static int capped(int value) {
        int least = Math.min(value, LIMIT);
        return least;
    }

    static Money money(int cents) {
        return Money.of(cents);
    }

    static int twice(int value) {
        return largest(List.of(value, helper(value)));
    }

    public int counted(int value) {
        count += value;
        return count;
    }

    static long factorial(int n) { // of small numbers
        return n < 2 ? 1 : n * factorial(n - 1);
    }
}
"""


def write_shard(folder: Path, texts: Sequence[str], language: str = "python") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with lzma.open(folder / "0000.jsonl.xz", "wt") as out:
        for text in texts:
            document = {"repo": "a/b", "path": "x", "language": language, "test": False}
            out.write(json.dumps(document | {"text": text}) + "\n")
    return folder


def function(number: int, name: str = "value") -> str:
    return (
        f"def shifted_{number}({name}):\n    moved = {name} + {number}\n    return moved * {name}\n"
    )


def found(folder: Path) -> list[str]:
    return [each["text"] for path in sorted(folder.iterdir()) for each in documents(path)]


def test_python_that_needs_only_the_standard_library_comes_with_its_imports() -> None:
    words, queue = python_cuts(PYTHON)
    assert words.startswith("from collections import Counter\nimport re\n\n\ndef words(text: str)")
    assert words.endswith("    return found\n")
    assert queue.startswith("from collections import deque\n\n\nclass Queue:\n")


@pytest.mark.parametrize("text", ["def broken(:\n    pass\n", "\0", "x = 1\n", ""])
def test_python_that_does_not_parse_or_has_no_function_gives_nothing(text: str) -> None:
    assert list(python_cuts(text)) == []


def test_what_is_cut_runs_by_itself() -> None:
    for text in python_cuts(PYTHON):
        names: dict[str, object] = {}
        exec(compile(text, "cut", "exec"), names)
        assert {"words", "Queue"} & names.keys()


def test_java_methods_that_need_their_class_or_another_library_stay() -> None:
    largest, factorial = java_cuts(JAVA)
    assert largest.startswith(
        "import java.util.List;\n\npublic class Prices {\n\n    /** The largest"
    )
    assert largest.endswith("        return best;\n    }\n}\n") and "@SuppressWarnings" in largest
    assert "static long factorial(int n) { // of small numbers" in factorial
    assert "of all" not in largest + factorial


def test_names_comments_and_white_space_do_not_count_in_a_skeleton() -> None:
    one = skeleton('def f(a, b):\n    """Sum."""\n    return a + b  # both\n', "python")
    assert one == skeleton("def add(x,\n        y):\n    return x + y\n", "python")
    assert one != skeleton("def add(x, y):\n    return y + x\n", "python")
    assert one != skeleton("def add(x, y):\n    return x - y\n", "python")


def test_each_skeleton_comes_once_and_none_that_is_measured_on(tmp_path: Path) -> None:
    corpus = write_shard(tmp_path / "train", [function(1), function(2), function(2, "other")])
    exam = write_shard(tmp_path / "exam", [function(1, "unseen")])
    assert main([str(corpus), "--unlike", str(exam), "-o", str(tmp_path / "out")]) == 0
    assert found(tmp_path / "out") == [function(2)]


def test_the_questions_about_names_are_not_taught(tmp_path: Path) -> None:
    asked = [sample(shape, 3) for shape in shapes() if shape.language == "python"]
    texts = [each.prefix + each.wanted[0] + each.suffix for each in asked]
    corpus = write_shard(tmp_path / "train", [*texts, function(5)])
    assert main([str(corpus), "-o", str(tmp_path / "out")]) == 0
    assert found(tmp_path / "out") == [function(5)]


def test_a_run_of_an_evaluation_set_is_enough_to_stay_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "def steps(value):\n" + "".join(f"    value += {n} * value\n" for n in range(9))
    long += "    return value\n"
    hashes = np.sort(window_hashes(long)[5:6]).astype("<u8")
    lists = decontamination.Contamination(hashes, np.zeros(0, "<u8"))
    monkeypatch.setattr(decontamination, "load", lambda: lists)
    corpus = write_shard(tmp_path / "train", [long, function(7)])
    assert main([str(corpus), "-o", str(tmp_path / "out")]) == 0
    assert found(tmp_path / "out") == [function(7)]


def test_a_folder_without_shards_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \*\.jsonl\.xz"):
        main([str(tmp_path), "-o", str(tmp_path / "out")])


def test_a_corpus_is_not_written_into(tmp_path: Path) -> None:
    corpus = write_shard(tmp_path / "train", [function(1)])
    for output in (corpus, write_shard(tmp_path / "dev", [function(2)])):
        with pytest.raises(ConfigError, match="another one by -o DIR"):
            main([str(corpus), "-o", str(output)])
        assert [path.name for path in output.iterdir()] == ["0000.jsonl.xz"]


def test_the_shards_of_an_earlier_run_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autocoder.train.corpus.standalone.SHARD", 1)
    two = write_shard(tmp_path / "two", [function(1), function(2)])
    one = write_shard(tmp_path / "one", [function(3)])
    assert main([str(two), "-o", str(tmp_path / "out")]) == 0
    (tmp_path / "out" / "notes.txt").touch()
    assert main([str(one), "-o", str(tmp_path / "out")]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["notes.txt", "standalone-0000.jsonl.xz"]


def test_where_nothing_stands_alone_nothing_is_written(tmp_path: Path) -> None:
    corpus = write_shard(tmp_path / "train", ["x = 1\n"])
    with pytest.raises(ConfigError, match="nothing was written"):
        main([str(corpus), "-o", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
