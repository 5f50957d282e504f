"""Everyday functions with their names left open (`shapes.toml`), and names to put into them.

A shape filled with names is a `Sample`: text before and after the cursor, what belongs there, and
which name plays which part. Names are drawn by the shape and the variant's number alone, so every
run and machine has the same samples. Knows texts; knows no model.
"""

import re
import tomllib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

FILE = Path(__file__).parent / "shapes.toml"
OPEN, CLOSE = "⟦", "⟧"
PLACE = re.compile(r"\$(\w+?)(?![a-z0-9_])")
WORD = re.compile(r"[^\W\d]\w*")
PREFIX = re.compile(r"(?:get|set|is|with)_?|_*")  # of words that are made of a name

# Ten names of each role, as they are usual in both languages; Java's get their humps by `spelled`.
ROLES: dict[str, tuple[str, ...]] = {
    role: tuple(names.split())
    for role, names in {
        "number": "n m count size limit amount number quantity k total_count",
        "number2": "other second bound y maximum right_value upper b last_number rest",
        "index": "i idx pos index position at place row slot current",
        "index2": "j other_index target next_pos end_index column second_index to stop_at q",
        "list": "items values numbers entries elements records data rows xs samples",
        "element": "item value x entry element record each v candidate thing",
        "sum": "total result acc accumulated running subtotal so_far s balance outcome",
        "result": "result output out found collected answer new_values res transformed kept",
        "text": "text word label title message s line phrase caption sentence",
        "map": "table mapping counts lookup registry index_by_name d cache store dictionary",
        "key": "key name k identifier code label word tag field_name topic",
        "value": "value v content number entry payload amount item data score",
        "entry": "entry e pair row item kv element mapping_entry current each",
        "path": "path filename source file_path location input_path name p target document",
        "handle": "f file handle stream reader fh infile input_file source opened",
        "node": "node head current tree root n element first cell start",
        "field": "name title owner label host author city brand country user",
        "field2": "size age price weight port year rank level length priority",
        "other": "other that another o second rhs peer right others candidate",
        "error": "error exception failure mistake problem warning reason fault issue complaint",
        "function": "run show task callback action job report handler work describe",
        "class": "Person Account Vehicle Invoice Planet Student Parcel Ticket Recipe Garden",
    }.items()
}


@dataclass(frozen=True)
class Shape:
    """A text with open names; see shapes.toml for its fields."""

    name: str
    language: str
    names: Mapping[str, str]
    text: str
    also: tuple[str, ...] = ()
    comment: str = ""
    misleading: Mapping[str, str] = field(default_factory=dict)
    swap: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A shape with names: what stands around the cursor, and which texts are right there."""

    shape: str
    language: str
    prefix: str
    suffix: str
    wanted: tuple[str, ...]
    names: Mapping[str, str]


@cache
def shapes() -> tuple[Shape, ...]:
    """All shapes of `shapes.toml`."""
    records: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["shape"]
    lists = ("also", "swap", "operator")
    return tuple(
        Shape(**{key: tuple(value) if key in lists else value for key, value in record.items()})
        for record in records
    )


def sample(shape: Shape, variant: int) -> Sample:
    """The shape with the names of one variant."""
    return filled(shape, names_for(shape, variant))


def filled(shape: Shape, names: Mapping[str, str]) -> Sample:
    """The shape with the given names."""
    prefix, _, rest = shape.text.partition(OPEN)
    wanted, _, suffix = rest.partition(CLOSE)
    before, after, *right = (put(text, names) for text in (prefix, suffix, wanted, *shape.also))
    return Sample(shape.name, shape.language, before, after, tuple(right), names)


def names_for(shape: Shape, variant: int) -> dict[str, str]:
    """A name for each place: of its role, none twice, none that the text has anyway.

    Variants up to ten differ in every name, but where a name is taken.
    """
    taken = set(WORD.findall(PLACE.sub(" ", shape.text)))
    found: dict[str, str] = {}
    for place, role in shape.names.items():
        order = list(ROLES[role])
        Random(f"{shape.language} {shape.name} {place}").shuffle(order)
        turned = order[variant % len(order) :] + order[: variant % len(order)]
        spelt = [spelled(name, shape.language) for name in turned]
        found[place] = next(name for name in spelt if name not in taken)
        taken |= {found[place], capital(found[place])}
    return found


def spelled(name: str, language: str) -> str:
    """snake_case as it is, or as Java's camelCase."""
    first, *others = name.split("_")
    return name if language == "python" else first + "".join(map(capital, others))


def capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def put(text: str, names: Mapping[str, str]) -> str:
    """The text with its places filled."""

    def name(found: re.Match[str]) -> str:
        place = found[1]
        if place in names:
            return names[place]
        return capital(names[place[:1].lower() + place[1:]])

    return PLACE.sub(name, text)


def renamed(text: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """`text` with every whole word that is made of an old name made of the new one.

    Made of `name` are `name`, `Name`, `_name`, and accessors: `getName`, `set_name`.
    """
    words = {old[place]: new[place] for place in old}
    words |= {capital(was): capital(words[was]) for was in words}

    def word(found: re.Match[str]) -> str:
        prefix, name = parts(found[0], words)
        return prefix + words.get(name, name)

    return WORD.sub(word, text)


def mentions(text: str, names: Mapping[str, str]) -> bool:
    """Whether a word of the text is made of one of the names, as `renamed` understands it."""
    known = {*names.values(), *map(capital, names.values())}
    return any(parts(word, known)[1] in known for word in WORD.findall(text))


def parts(word: str, known: Container[str]) -> tuple[str, str]:
    """What stands before the name in a word, and the name; no prefix where that is no known one."""
    prefix = "" if word in known else PREFIX.match(word)[0]
    return (prefix, word[len(prefix) :]) if word[len(prefix) :] in known else ("", word)


def samples(variants: int) -> Iterator[tuple[Shape, list[Sample]]]:
    """Every shape with its first `variants` samples."""
    for shape in shapes():
        yield shape, [sample(shape, number) for number in range(variants)]
