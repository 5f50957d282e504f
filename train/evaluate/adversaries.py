"""Makes a sample harder without changing what is right at the cursor: four kinds of adversary.

The 2020 blog wished for them: comments and names that mislead, swapped arguments, a wrong operator
in the line above. A model that reads the code is not moved; one that recites is. Knows shapes;
knows no model.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from autocoder.train.evaluate.shapes import (
    ROLES,
    WORD,
    Sample,
    Shape,
    filled,
    put,
    spelled,
)


def misleading_comment(shape: Shape, made: Sample) -> Sample | None:
    """A comment that lies, above the cursor's line."""
    if not shape.comment:
        return None
    before, _, line = made.prefix.rpartition("\n")
    indentation = line[: len(line) - len(line.lstrip())]
    mark = "#" if shape.language == "python" else "//"
    prefix = f"{before}\n{indentation}{mark} {shape.comment}\n{line}"
    return replace(made, prefix=prefix)


def misleading_names(shape: Shape, made: Sample) -> Sample | None:
    """Names that suggest another role, or another purpose of the function."""
    if not shape.misleading:
        return None
    words = {key: word for key, word in shape.misleading.items() if key not in shape.names}
    names = dict(made.names)
    for place, role in shape.misleading.items():
        if place in names:
            taken = {*WORD.findall(made.prefix + made.suffix), *names.values()}
            spelt = (spelled(name, shape.language) for name in ROLES[role])
            names[place] = next(name for name in spelt if name not in taken)
    text, *also = (
        WORD.sub(lambda found: words.get(found[0], found[0]), each)
        for each in (shape.text, *shape.also)
    )
    return filled(replace(shape, text=text, also=tuple(also)), names)


def swapped_arguments(shape: Shape, made: Sample) -> Sample | None:
    """Two parameters change places where they are declared."""
    if not shape.swap:
        return None
    one, two = (made.names[place] for place in shape.swap)
    lines = made.prefix.split("\n")
    for number, line in enumerate(lines):
        words = WORD.findall(line)
        if one in words and two in words:
            lines[number] = _exchanged(line, one, two, shape.language)
            return replace(made, prefix="\n".join(lines))
    return None


def _exchanged(line: str, one: str, two: str, language: str) -> str:
    """The two parameters exchanged, in Java each with its type."""
    kind = r"\w+ " if language == "java" else ""
    first, second = (re.compile(rf"{kind}\b{name}\b") for name in (one, two))
    left, right = first.search(line), second.search(line)
    if left is None or right is None or left.end() > right.start():
        return line
    between = line[left.end() : right.start()]
    return line[: left.start()] + right[0] + between + left[0] + line[right.end() :]


def changed_operator(shape: Shape, made: Sample) -> Sample | None:
    """An operator above the cursor is the wrong one."""
    if not shape.operator:
        return None
    old, new = (put(text, made.names) for text in shape.operator)
    return replace(made, prefix=made.prefix.replace(old, new)) if old in made.prefix else None


ADVERSARIES: dict[str, Callable[[Shape, Sample], Sample | None]] = {
    "misleading_comment": misleading_comment,
    "misleading_names": misleading_names,
    "swapped_arguments": swapped_arguments,
    "changed_operator": changed_operator,
}
