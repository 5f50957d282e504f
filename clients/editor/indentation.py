"""How far the next line is indented. Pure functions of text; knows no buffer."""

import re
from collections import Counter
from itertools import pairwise

_LEADING = re.compile(r"^([ \t]+)\S", re.MULTILINE)
_BLANK = re.compile(r"[ \t]*")
_LEAVES = re.compile(r"\s*(return|pass|break|continue|raise)\b")
_COMMENT = {"python": re.compile(r"\s+#[^'\"]*$")}
SNIFFED = 200_000


def unit_of(text: str) -> str:
    """One level of indentation as the file has it: a tab, or 2, 4 or 8 spaces; else 4 spaces."""
    leading = _LEADING.findall(text, 0, SNIFFED)
    if sum("\t" in space for space in leading) * 2 > len(leading):
        return "\t"
    steps = Counter(abs(len(b) - len(a)) for a, b in pairwise(leading))
    steps.update(len(space) for space in leading[:1])
    likely = max((2, 4, 8), key=lambda step: steps[step])
    return " " * (likely if steps[likely] else 4)


def leading(line: str) -> str:
    """The space that a line begins with."""
    found = _BLANK.match(line)
    return found[0] if found else ""


def after_newline(line: str, unit: str, language: str | None) -> str:
    """The indentation of a line begun after `line`, which is the text before the cursor."""
    space = leading(line)
    code = _without_comment(line, language).rstrip()
    if code.endswith(("{", "(", "[")) or (language == "python" and code.endswith(":")):
        return space + unit
    if language == "python" and _LEAVES.match(code) and not code.endswith((",", "\\")):
        return dedented(space, unit)
    return space


def _without_comment(line: str, language: str | None) -> str:
    comment = _COMMENT.get(language or "")
    return comment.sub("", line) if comment else line


def dedented(space: str, unit: str) -> str:
    """One level less."""
    if space.endswith("\t"):
        return space[:-1]
    width = len(unit) if unit != "\t" else 4
    return space[: max(0, (len(space) - 1) // width * width)] if space else ""


def closes_block(character: str, line: str) -> bool:
    """Whether `character`, typed at the end of this blank line, closes a block."""
    return character in ")]}" and bool(line) and not line.strip()


def toggled_comment(lines: list[str], mark: str) -> list[str]:
    """The lines commented out, or, where each of them is, without their comment mark."""
    code = [line for line in lines if line.strip()]
    if code and all(line.lstrip().startswith(mark) for line in code):
        return [_uncommented(line, mark) for line in lines]
    column = min((len(leading(line)) for line in code), default=0)
    return [f"{line[:column]}{mark} {line[column:]}" if line.strip() else line for line in lines]


def _uncommented(line: str, mark: str) -> str:
    space = leading(line)
    rest = line[len(space) :].removeprefix(mark)
    return space + rest.removeprefix(" ") if line.strip() else line
