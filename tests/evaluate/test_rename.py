"""Renaming: the pairs vary, and the shares are what they claim to be."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from autocoder.daemon.protocol import Complete
from autocoder.train.evaluate.adversaries import ADVERSARIES
from autocoder.train.evaluate.lines import Answer, ask
from autocoder.train.evaluate.rename import all_samples, measure
from autocoder.train.evaluate.rows import Row
from autocoder.train.evaluate.shapes import Sample, filled, mentions, names_for, renamed, shapes
from tests.evaluate.conftest import Oracle

SAMPLES = dict(all_samples())
BY_TEXT = {(each.prefix, each.suffix): each for each in SAMPLES.values()}
PLAIN = [each for name, each in SAMPLES.items() if name.endswith("/plain")]


def told(answer: Any) -> dict[str, Any]:
    """The measurement of a completer that answers by the sample."""
    completer = Oracle(lambda request: answer(sample_of(request)))

    def answers(rows: Iterable[Row]) -> Iterator[Answer]:
        return (ask(completer, row) for row in rows)

    return measure(answers)


def sample_of(request: Complete) -> Sample:
    return BY_TEXT[request.prefix, request.suffix]


def test_there_are_hundreds_of_pairs_of_dozens_of_functions_in_both_languages() -> None:
    result = told(lambda sample: "")
    assert sum(record["rows"] for record in result["by_language"].values()) >= 200
    functions = Counter(shape.language for shape in shapes())
    assert min(functions["python"], functions["java"]) >= 30
    assert len({name for each in PLAIN for name in each.names.values()}) > 100


def test_samples_are_complete_distinct_and_the_same_on_every_run() -> None:
    texts = [each.prefix + each.wanted[0] + each.suffix for each in PLAIN]
    assert not any(mark in text for text in texts for mark in "$⟦⟧")
    assert len(set(texts)) == len(texts)
    assert names_for(shapes()[0], 3) == names_for(shapes()[0], 3)
    for each in PLAIN:
        assert len(set(each.names.values())) == len(each.names)


def test_python_samples_are_python() -> None:
    for each in SAMPLES.values():
        if each.language == "python":
            compile(each.prefix + each.wanted[0] + each.suffix, each.shape, "exec")


def test_one_who_knows_is_consistent_and_right_and_not_misled() -> None:
    result = told(lambda sample: sample.wanted[0])
    for record in result["by_language"].values():
        assert record["consistent"] == record["consistent_mentioning"] == record["right"] == 1.0
        assert record["stale"] == 0.0 and record["mentioning"] > 0.9
    for adversaries in result["by_adversary"].values():
        assert set(adversaries) == set(ADVERSARIES)
        for record in adversaries.values():
            assert record["fall"] == 0.0 and record["kept"] == 1.0


def test_one_who_always_says_the_same_is_consistent_but_mentions_nothing() -> None:
    for record in told(lambda sample: "return 1")["by_language"].values():
        assert (record["consistent"], record["mentioning"], record["right"]) == (1.0, 0.0, 0.0)


def test_one_who_recites_the_first_names_is_stale() -> None:
    first = {each.shape + each.language: each for each in reversed(PLAIN)}
    result = told(lambda sample: first[sample.shape + sample.language].wanted[0])
    for record in result["by_language"].values():
        assert record["consistent_mentioning"] < 0.2
        assert record["right"] < 0.4 and record["stale"] > 0.1


def test_one_who_is_misled_by_comments_falls_there_alone() -> None:
    by_comment = {
        (each.prefix, each.suffix)
        for name, each in SAMPLES.items()
        if name.endswith("/misleading_comment")
    }

    def answer(sample: Sample) -> str:
        return "" if (sample.prefix, sample.suffix) in by_comment else sample.wanted[0]

    for adversaries in told(answer)["by_adversary"].values():
        assert adversaries["misleading_comment"]["fall"] == 1.0
        assert adversaries["changed_operator"]["fall"] == 0.0


def test_words_made_of_a_name_are_renamed_and_others_are_not() -> None:
    old, new = {"a": "name", "b": "n"}, {"a": "title", "b": "m"}
    assert renamed("name.getName(n) + nn", old, new) == "title.getTitle(m) + nn"
    assert renamed("new Name(n)", old, new) == "new Title(m)"
    assert renamed("self._name, get_name(), setup, n_name", old, new) == (
        "self._title, get_title(), setup, n_name"
    )
    assert mentions("x.getName()", old) and not mentions("nn.names", old)


@pytest.mark.parametrize("name", ADVERSARIES)
def test_an_adversary_changes_the_text_before_the_cursor_and_nothing_else(name: str) -> None:
    changed = 0
    for shape in shapes():
        plain = filled(shape, names_for(shape, 0))
        harder = ADVERSARIES[name](shape, plain)
        if harder is not None:
            changed += 1
            assert harder.prefix != plain.prefix
            if name != "misleading_names":
                assert (harder.suffix, harder.wanted) == (plain.suffix, plain.wanted)
    assert changed >= 8
