"""Memory: the longest verbatim overlaps, found while a corpus streams past."""

import random

import pytest

from autocoder.train.evaluate.documents import Document
from autocoder.train.evaluate.memory import continued, measure, prompts
from autocoder.train.evaluate.overlaps import SEED, Overlaps
from tests.evaluate.conftest import Oracle

LINES = [f"value_{n} = compute({n}, {n * n % 97}, 'text {n}')\n" for n in range(400)]


def longest(text: str, documents: list[str]) -> int:
    """The slow way."""
    return max(
        length
        for document in documents
        for start in range(len(text))
        for length in range(len(text) - start + 1)
        if text[start : start + length] in document
    )


def test_the_longest_overlap_is_that_of_a_slow_search() -> None:
    chance = random.Random(4)
    documents = ["".join(chance.sample(LINES, 12)) for _ in range(5)]
    texts = [
        "x" * 9 + documents[3][40:140] + "y",
        documents[0][:70] + documents[1][100:190],
        "nothing of this is in any of them, not a bit of it",
        documents[2][-50:],
    ]
    overlaps = Overlaps(texts)
    for number, document in enumerate(documents):
        overlaps.feed(document, f"document {number}")
    for text, found in zip(texts, overlaps.longest, strict=True):
        slow = longest(text, documents)
        assert found.length == (slow if slow >= SEED else 0)
        if found.length:
            where = documents[int(found.where.split()[1])]
            assert text[found.start : found.start + found.length] in where


def test_what_the_prompt_has_may_be_copied() -> None:
    copied, recited = LINES[3] + LINES[4], LINES[9] + LINES[10]
    overlaps = Overlaps([copied, recited + "!" + copied], ["before\n" + copied, copied])
    overlaps.feed("".join(LINES[:20]), "x")
    assert [overlap.length for overlap in overlaps.longest] == [0, len(recited)]


def test_indentation_alone_is_no_overlap() -> None:
    overlaps = Overlaps(["\n" + " " * 60 + "a()"])
    overlaps.feed("\n" + " " * 60 + "b()", "x")
    assert overlaps.longest[0].length == 0


@pytest.mark.parametrize("size", [0, 5, SEED - 1])
def test_short_texts_overlap_with_nothing(size: int) -> None:
    overlaps = Overlaps(["a" * size])
    overlaps.feed("a" * 200, "x")
    overlaps.feed("b" * size, "y")
    assert overlaps.longest[0].length == 0


def test_who_recites_is_told_from_who_does_not() -> None:
    seen = [Document(f"seen{n}.py", "python", "".join(LINES[n * 40 :][:40])) for n in range(4)]
    unseen = [Document("other.py", "python", "".join(LINES[200:240]).replace("value", "thing"))]
    asked = [
        *prompts(seen, "seen", 4, ["python"]),
        *prompts(unseen, "unseen", 4, ["python"]),
    ]
    assert [each.group for each in asked] == ["seen"] * 4 + ["unseen"]
    truth = {each.prefix: each.truth for each in asked}
    reciting = Oracle(lambda request: truth[request.prefix][:300])
    silent = Oracle(lambda request: "")
    known = measure([continued(reciting, each) for each in asked], seen)
    assert known["by_language"]["python"]["recited"] == 1.0
    assert known["by_language"]["python"]["at_least_200"] == 1.0
    assert known["longest"][0]["found_in"].startswith("seen")
    assert known["by_group"]["python"]["human"]["at_least_200"] == 0.0
    assert measure([continued(silent, each) for each in asked], seen)["longest"] == []
    assert all(request.max_lines == 0 and not request.suffix for request in reciting.asked)


def test_a_language_that_is_in_one_group_only_is_measured_there() -> None:
    seen = [Document("seen.py", "python", "".join(LINES[:40]))]
    unseen = [Document("Unseen.java", "java", "".join(LINES[40:80]))]
    asked = [
        *prompts(seen, "seen", 1, ["python", "java"]),
        *prompts(unseen, "unseen", 1, ["python", "java"]),
    ]
    silent = Oracle(lambda request: "")
    result = measure([continued(silent, each) for each in asked], seen)
    assert set(result["by_language"]) == {"python"}
    assert set(result["by_group"]["java"]) == {"human", "unseen"}
