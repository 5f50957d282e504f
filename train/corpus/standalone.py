"""Functions and small types that need nothing but themselves, cut out of a corpus' files.

A file opens with its licence, its imports and its neighbours, and a model that only ever sees files
leans on them. Somebody who begins an empty buffer, an exercise or a script has none of that: the
function above the cursor is all there is. So what can stand alone is taken out of the files and
taught as documents of its own, with the imports of the standard library that it uses.

Two texts with the same *skeleton*, the same but for names, comments and docstrings, are one; what
stands in the folders given by `--unlike` (exam, test, dev) or among the questions of `autocoder
eval rename` is left out, and what shares a run of 20 tokens with an evaluation set: a file may hide
what a function shows. How to cut is known to standalone_python.py and standalone_java.py.

    python -m autocoder.train.corpus.standalone CORPUS/train CORPUS/didactic \\
        --unlike CORPUS/exam CORPUS/test CORPUS/dev -o LESSONS
"""

import argparse
import hashlib
import keyword
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from autocoder.daemon.errors import AutocoderError, ConfigError
from autocoder.train.corpus import decontamination
from autocoder.train.corpus.shingles import window_hashes
from autocoder.train.corpus.standalone_java import cuts as java_cuts
from autocoder.train.corpus.standalone_python import cuts as python_cuts
from autocoder.train.evaluate.shapes import samples
from autocoder.train.pretrain.mix import shards, write
from autocoder.train.pretrain.prepare import Document, documents
from autocoder.train.pretrain.renaming import JAVA_WORDS, WORD

CUTS: dict[str, Callable[[str], Iterator[str]]] = {"python": python_cuts, "java": java_cuts}
COMMENT = {
    "python": re.compile(r'("""|\'\'\').*?\1|#[^\n]*', re.S),
    "java": re.compile(r"/\*.*?\*/|//[^\n]*", re.S),
}
KEYWORDS = {
    "python": frozenset(keyword.kwlist),
    "java": frozenset(JAVA_WORDS.split()) - {"record", "var", "yield"},  # these may be names
}
SHORTEST, LONGEST = 60, 2400  # characters
WIDEST = 120  # characters of a line
SHARD = 40_000  # documents
OWN = re.compile(r"standalone-\d{4,}\.jsonl\.xz")  # the names of our shards


def standalone(folders: Sequence[Path], unlike: Sequence[Path]) -> Iterator[Document]:
    """What can stand alone in `folders`, each skeleton once, in the folders' order.

    Raises ConfigError where a folder has no shards or one is damaged.
    """
    seen = set(_asked())
    with ProcessPoolExecutor() as pool:
        for found in pool.map(_of_shard, _all(unlike)):
            seen.update(mark for mark, _ in found)
        for found in pool.map(partial(_of_shard, tests=False), _all(folders)):
            for mark, document in found:
                if mark not in seen:
                    seen.add(mark)
                    yield document


def _all(folders: Iterable[Path]) -> list[Path]:
    return [shard for folder in folders for shard in shards(folder)]


def _of_shard(shard: Path, tests: bool = True) -> list[tuple[int, Document]]:
    """Skeletons and documents of one shard. Without a repository: they are nobody's open buffer."""
    lists = decontamination.load()
    return [
        (
            skeleton(text, document["language"]),
            {"language": document["language"], "standalone": True, "text": text},
        )
        for document in documents(shard)
        if tests or not document.get("test")
        for text in CUTS.get(document["language"], _none)(document["text"])
        if _fits(text) and _is_clean(text, lists)
    ]


def _none(text: str) -> Iterator[str]:
    return iter(())


def _fits(text: str) -> bool:
    return SHORTEST <= len(text) <= LONGEST and max(map(len, text.split("\n"))) <= WIDEST


def _is_clean(text: str, lists: decontamination.Contamination) -> bool:
    hashes = window_hashes(text)
    hit = decontamination.found(hashes, lists.evaluation).any()
    return not hit and decontamination.contaminated(hashes, lists) is None


def _asked() -> Iterator[int]:
    """Skeletons of the questions of `autocoder eval rename`."""
    for shape, made in samples(1):
        for sample in made:
            for wanted in sample.wanted:
                whole = sample.prefix + wanted + sample.suffix
                yield skeleton(whole, shape.language)


def skeleton(text: str, language: str) -> int:
    """A 64-bit hash of the text without comments, white space and the words' own spelling."""
    numbers: dict[str, str] = {}

    def number(word: re.Match[str]) -> str:
        if word[0] in KEYWORDS[language]:
            return word[0]
        return numbers.setdefault(word[0], f"${len(numbers)} ")

    bare = WORD.sub(number, COMMENT[language].sub("", text))
    squeezed = "".join(bare.split()).encode()
    return int.from_bytes(hashlib.blake2b(squeezed, digest_size=8).digest(), "little")


def check_output(output: Path, inputs: Sequence[Path]) -> None:
    """Raises ConfigError where a folder that is read, or another corpus, would be written into."""
    others = [path for path in output.glob("*.jsonl.xz") if not OWN.fullmatch(path.name)]
    if others or output.resolve() in {folder.resolve() for folder in inputs}:
        raise ConfigError(f"{output} is a folder of shards already; give another one by -o DIR.")


def write_all(found: Sequence[Document], output: Path) -> None:
    """The shards of a run, and no others of an earlier one."""
    starts = range(0, len(found), SHARD)
    paths = [output / f"standalone-{number:04}.jsonl.xz" for number in range(len(starts))]
    for start, path in zip(starts, paths, strict=True):
        write(found[start : start + SHARD], path)
    for path in output.glob("*.jsonl.xz"):
        if OWN.fullmatch(path.name) and path not in paths:
            path.unlink()


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="autocoder.train.corpus.standalone", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of shards to cut from")
    parser.add_argument(
        "--unlike", type=Path, nargs="*", default=[], help="folders to stay clear of"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    check_output(options.output, [*options.folders, *options.unlike])
    found = list(standalone(options.folders, options.unlike))
    if not found:
        raise ConfigError(
            f"nothing in {', '.join(map(str, options.folders))} can stand alone: nothing was "
            "written. Give folders with more code."
        )
    write_all(found, options.output)
    for language in CUTS:
        own = [each["text"] for each in found if each["language"] == language]
        print(f"{language}: {len(own)} texts, {sum(map(len, own)) / 1e6:.1f} million characters")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AutocoderError as error:
        sys.exit(f"autocoder.train.corpus.standalone: {error}")
