"""Cuts from a suggestion what is certainly wrong; each filter returns a beginning of the text.

Only certain cases: what the user would have to delete again. Knows the text on both sides of the
cursor; knows no model, no language's grammar.
"""

import re

OPENERS = {")": "(", "]": "[", "}": "{"}
QUOTES = "\"'`"
LONGEST_UNIT = 40
FEWEST_REPEATS = 6


def refine(text: str, prefix: str, suffix: str, *, unfinished: bool) -> str:
    """All filters in turn; "" drops the suggestion.

    `unfinished`: the text ended because its length did, as runaway repetition does.
    """
    text = without_repeated_lines(text.rstrip())
    if unfinished:
        text = without_runaway(text)
    text = without_rest_of_line(text, suffix).rstrip()
    return "" if repeats_what_follows(text, prefix, suffix) else text


def without_repeated_lines(text: str) -> str:
    """Cut after the first of three equal, not blank lines in a row."""
    lines = text.split("\n")
    for at in range(len(lines) - 2):
        if lines[at].strip() and lines[at] == lines[at + 1] == lines[at + 2]:
            return "\n".join(lines[: at + 1])
    return text


def without_runaway(text: str) -> str:
    """Cut a text that ends in six or more repeats of a short unit after the first of them."""
    pattern = rf"(.{{1,{LONGEST_UNIT}}}?)\1{{{FEWEST_REPEATS - 1},}}"
    for found in re.finditer(pattern, text, re.DOTALL):
        unit = found[1]
        if unit.strip() and unit.startswith(text[found.end() :]):  # the last repeat may be partial
            return text[: found.end(1)]
    return text


def without_rest_of_line(text: str, suffix: str) -> str:
    """Cut an end that repeats the beginning of what follows the cursor on its line.

    Not where the repeat closes a bracket or quote that the suggestion itself opened, nor in the
    midst of a word: those are not certain.
    """
    rest = suffix.partition("\n")[0].rstrip()
    for length in range(min(len(text), len(rest)), 0, -1):
        kept, overlap = text[:-length], text[-length:]
        if not rest.startswith(overlap) or not overlap.strip():
            continue
        whole = length == len(rest) or not _inside_word(rest, length)
        begins = not kept or not _inside_word(text, len(kept)) or length == len(rest) > 1
        if whole and begins and not _closes_own(kept, overlap):
            return kept
    return text


def _inside_word(text: str, at: int) -> bool:
    return _in_word(text[at - 1]) and _in_word(text[at])


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _closes_own(kept: str, overlap: str) -> bool:
    """Whether `overlap` closes a bracket or a quote that is open at the end of `kept`."""
    for closer, opener in OPENERS.items():
        if closer in overlap and kept.count(opener) > kept.count(closer):
            return True
    return any(quote in overlap and kept.count(quote) % 2 for quote in QUOTES)


def repeats_what_follows(text: str, prefix: str, suffix: str) -> bool:
    """Whether the suggestion would double the whole lines that already follow the cursor's."""
    rest, _, following = suffix.partition("\n")
    if rest.strip() or not text.strip():
        return False
    if text.startswith("\n"):
        text, following = text.lstrip("\n"), following.lstrip("\n")
    else:
        text = prefix[prefix.rfind("\n") + 1 :] + text
    return (following + "\n").startswith(text + "\n")
