"""NOTICE names whoever's code the bundled model was trained on."""

from pathlib import Path

import pytest

from autocoder.daemon.errors import ConfigError
from autocoder.train.corpus import manifest
from autocoder.train.corpus.notice import credits, renewed

NOTICE = Path(__file__).parents[2] / "NOTICE"


def test_the_notice_in_the_repository_is_that_of_the_manifest() -> None:
    text = NOTICE.read_text(encoding="utf-8")
    assert text == renewed(text, manifest.load()), "python -m autocoder.train.corpus.notice NOTICE"


def test_licences_and_names_are_in_order_and_those_measured_on_are_left_out() -> None:
    rows = [("b/x", "MIT", "train"), ("A/y", "MIT", "didactic"), ("c/z", "0BSD", "test")]
    made = [
        manifest.Repository(f"https://host/{name}", "0" * 40, licence, ("java",), split)
        for name, licence, split in rows
    ]
    assert credits(made) == "MIT (2 repositories)\n  A/y, b/x\n"


def test_a_notice_without_a_place_for_the_list_is_refused() -> None:
    with pytest.raises(ConfigError, match="among them"):
        renewed("Copyright", [])
