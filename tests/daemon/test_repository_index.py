"""Guesses from the user's own repository: what is read, what is not, and that nobody waits."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from autocoder.daemon import repository_index, source_files
from autocoder.daemon.drafting import GAP, Guess
from autocoder.daemon.loading import load_completer
from autocoder.daemon.ngrams import Ngrams
from autocoder.daemon.protocol import Complete
from autocoder.daemon.repository_index import RepositoryIndex, blocks

CODE = "def reticulate(splines, amount):\n    return [spline * amount for spline in splines]\n"


def encode(text: str) -> list[int]:
    return [ord(character) for character in text]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a package, things to leave out, and a file outside."""
    root = tmp_path / "work" / "repo"
    for name in ("pkg/near.py", "top.py", "pkg/deep/far.py", "pkg/Other.java", "pkg/notes.txt"):
        write(root / name, CODE)
    for name in (".git/config.py", "node_modules/x.py", "generated/x.py", ".venv/x.py", "a_b/x.py"):
        write(root / name, CODE)
    (root / ".gitignore").write_text("# made\n/generated/\na_*\n!kept\n")
    write(tmp_path / "work" / "outside.py", CODE)
    os.symlink(tmp_path / "work", root / "pkg" / "link")
    os.symlink(tmp_path / "work" / "outside.py", root / "pkg" / "link.py")
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def names(root: Path, folder: Path, language: str = "python") -> list[str]:
    found = [path for path, _ in source_files.source_files(root, folder, language)]
    return [path.relative_to(root).as_posix() for path in found]


def test_files_of_the_language_are_read_the_nearest_first(repository: Path) -> None:
    assert names(repository, repository / "pkg") == ["pkg/near.py", "pkg/deep/far.py", "top.py"]
    assert names(repository, repository / "pkg" / "deep")[0] == "pkg/deep/far.py"
    assert names(repository, repository, "java") == ["pkg/Other.java"]


def test_reading_is_bounded(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(repository / "pkg" / "aaa.py", "x" * (source_files.LARGEST_FILE + 1))
    assert "pkg/aaa.py" not in names(repository, repository)
    monkeypatch.setattr(source_files, "MOST_FILES", 2)
    assert len(names(repository, repository)) == 2
    monkeypatch.setattr(source_files, "MOST_BYTES", len(CODE))
    assert len(names(repository, repository)) == 1


def test_outside_a_repository_nothing_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.py", CODE)
    index = RepositoryIndex(encode)
    for path in (str(tmp_path / "a.py"), "relative.py", "", None):
        assert index.around(path, "python") is None
    assert index._thread is None


def test_what_followed_in_another_file_is_guessed(repository: Path) -> None:
    index = RepositoryIndex(encode)
    document = str(repository / "pkg" / "new.py")
    index.busy()
    assert index.around(document, "python") is None  # nothing is read yet, and nobody waits
    index.idle()
    index.wait(10)
    ngrams = index.around(document, "python")
    assert ngrams is not None
    guess = ngrams.follow(encode("\n\n\nx = reti"), 7)
    assert bytes(guess.tokens) == b"culate(" and guess.matched == 5
    assert ngrams.follow(encode("zzz"), 7) == Guess()
    assert bytes(ngrams.follow(encode("zz eti"), 7).tokens) == b"culate("


def test_changed_files_are_read_again_and_others_are_not(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_index, "AGAIN_AFTER_S", 0.0)
    read: list[str] = []
    index = RepositoryIndex(lambda text: read.append(text) or encode(text))
    document = str(repository / "pkg" / "new.py")
    for expected in (3, 1):
        read.clear()
        index.around(document, "python")
        index.wait(10)
        assert len(read) == expected
        write(repository / "top.py", "frobnicate = 1\n")
        os.utime(repository / "top.py", (1, 1))
    ngrams = index.around(document, "python")
    assert ngrams is not None and bytes(ngrams.follow(encode("frob"), 6).tokens) == b"nicate"


def test_reading_pauses_while_a_request_runs(repository: Path) -> None:
    read = threading.Event()
    index = RepositoryIndex(lambda text: read.set() or encode(text))
    index.busy()
    index.around(str(repository / "pkg" / "new.py"), "python")
    assert not read.wait(0.1)
    index.idle()
    assert read.wait(10)
    index.wait(10)


def ngrams(*texts: list[int]) -> Ngrams:
    return Ngrams([np.array([*text, GAP], np.int32) for text in texts])


def test_reading_waits_for_a_quiet_moment_but_not_for_ever(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_index, "QUIET_S", 30.0)
    monkeypatch.setattr(repository_index, "PATIENCE_S", 0.2)
    index = RepositoryIndex(encode)
    index.idle()  # a request has just ended
    started = time.monotonic()
    index.around(str(repository / "top.py"), "python")
    index.wait(0.1)
    assert index.around(str(repository / "top.py"), "python") is None
    index.wait(5)
    assert index.around(str(repository / "top.py"), "python") is not None
    assert time.monotonic() - started >= 0.2


def test_texts_are_not_run_together() -> None:
    two = ngrams([1, 2, 3], [4, 5, 6, 7])
    assert two.follow([1, 2, 3], 5).tokens == ()
    assert two.follow([4, 5, 6], 5) == Guess((7,), 3, far=True)
    assert two.follow([GAP, 5, 6], 5) == Guess((7,), 2, far=True)
    assert two.follow([], 5) == two.follow([9, 9], 5) == two.follow([GAP, GAP], 5) == Guess()
    assert len(ngrams([])) == 1


def test_the_nearest_file_wins() -> None:
    assert ngrams([1, 2, 3, 8], [1, 2, 3, 9]).follow([1, 2, 3], 1) == Guess((9,), 3, far=True)


def test_behind_a_short_match_comes_what_most_often_did() -> None:
    often = ngrams([1, 5, 6, 2, 5, 6, 3, 5, 7])
    assert often.follow([9, 2, 5], 4) == Guess((6,), 2, far=True)
    assert often.follow([9, 5], 4) == Guess()


def test_blocks_are_the_whole_text() -> None:
    text = CODE * 500
    parts = list(blocks(text))
    assert "".join(parts) == text and len(parts) > 3
    assert all(part.startswith("\n") for part in parts[1:])


def test_a_lookup_in_a_full_index_takes_microseconds() -> None:
    chance = np.random.default_rng(1)
    ngrams = Ngrams([chance.integers(0, 24_000, repository_index.MOST_TOKENS).astype(np.int32)])
    took = []
    for at in range(0, 2000, 20):
        wanted = ngrams._ids[at : at + 12].tolist()
        began = time.perf_counter()
        ngrams.follow(wanted, 16)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.002


def test_the_bundled_model_answers_the_same_with_a_repository_and_without(
    repository: Path,
) -> None:
    with_index, without = load_completer(), load_completer(repository=False)
    document = str(repository / "pkg" / "new.py")
    request = Complete("x = reticulate(splines, amount)\n\n\n" + CODE[:33], path=document)
    first = with_index.complete(request, lambda: False)
    index = with_index._guessing._index
    assert index is not None and without._guessing._index is None
    index.wait(30)
    again = with_index.complete(request, lambda: False)
    assert first.suggestions == again.suggestions
    assert first.suggestions == without.complete(request, lambda: False).suggestions
