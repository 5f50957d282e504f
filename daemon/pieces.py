"""Tokens of a text that is mostly the text of a moment ago: each line is tokenised once, and all
lines above the last one are put together once.

A tokenizer that first cuts a text by a pattern, as ours does before every line break, gives each
piece the same tokens wherever it stands. So the pieces between breaks that follow a printable ASCII
character, where no match of the pattern can reach across, are remembered by their text. Of another
tokenizer nothing is known, and it gets the whole text. Knows tokenizers; knows no prompt.
"""

import json
import re
from array import array
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

# What our tokenizers cut a text by (train/pretrain/tokenizer.py trains them so). No match holds a
# character other than white space and then a line break.
PATTERN = "|".join(
    (
        r"(?:\r?\n)+[ \t]*",  # line breaks and the next line's indentation
        r"[^\r\n\p{L}\p{N}_\s]?[\p{L}_]+",  # a word, perhaps with one mark before it
        r" [\p{L}_]+",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}_]+",  # a run of punctuation
        r"[ \t]+(?=[ \t]\S)",  # wide gaps leave their last blank to the word
        r"\s+",
    )
)
BREAK = re.compile(r"(?<=[!-~])(?=\n)")
MOST_PIECES = 4000
MOST_HEADS = 512  # texts above a last line; some 8 KB each


@dataclass(frozen=True)
class Encoded:
    """Token ids, and where in the text each token starts, as the tokenizer reports it."""

    ids: list[int]
    starts: "array[int]"


class Pieces:
    """Tokenises texts piece by piece where `tokenizer` is known to allow it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.divides = divisible(tokenizer)
        self._known: dict[str, Encoded] = {}
        self._heads: OrderedDict[str, Encoded] = OrderedDict()  # the least lately used first

    def encode(self, text: str) -> Encoded:
        """The tokens of a text, no special ones added: those of `tokenizer.encode`.

        The result may be given again: do not change it.
        """
        if not self.divides:
            return self._whole(text)
        at = last_break(text)
        if not at:
            return self._piece(text)
        head, tail = self._head(text[:at]), self._piece(text[at:])
        starts = array("I", [at + start for start in tail.starts])
        return Encoded(head.ids + tail.ids, head.starts + starts)

    def _head(self, text: str) -> Encoded:
        """No lock: threads that make prompts would wait for the one that lost its turn with it. The
        dictionary does each call at once, and what two threads make of a text is the same."""
        found = self._heads.pop(text, None) or self._together(text)
        if len(self._heads) >= MOST_HEADS:
            self._heads.popitem(last=False)
        self._heads[text] = found
        return found

    def _together(self, text: str) -> Encoded:
        ids: list[int] = []
        starts = array("I")
        at = 0
        for piece in BREAK.split(text):
            found = self._piece(piece)
            ids += found.ids
            starts.extend([at + start for start in found.starts])
            at += len(piece)
        return Encoded(ids, starts)

    def _piece(self, text: str) -> Encoded:
        found = self._known.get(text)
        if found is None:
            if len(self._known) >= MOST_PIECES:
                self._known.clear()
            found = self._known[text] = self._whole(text)
        return found

    def _whole(self, text: str) -> Encoded:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return Encoded(list(encoding.ids), array("I", [start for start, _ in encoding.offsets]))


def last_break(text: str) -> int:
    """Where the last piece begins: 0, or the last place that BREAK matches."""
    at = text.rfind("\n")
    while at > 0 and not "!" <= text[at - 1] <= "~":
        at = text.rfind("\n", 0, at)
    return max(at, 0)


def divisible(tokenizer: Any) -> bool:
    """Whether a tokenizer is byte-level BPE on pieces cut by PATTERN, nothing before or between."""
    cutting = getattr(tokenizer, "pre_tokenizer", None)
    if cutting is None or getattr(tokenizer, "normalizer", None) is not None:
        return False
    stages = json.loads(cutting.__getstate__()).get("pretokenizers", [])
    if [stage["type"] for stage in stages] != ["Split", "ByteLevel"]:
        return False
    split, levels = stages
    whole = split["behavior"] == "Isolated" and not split["invert"]
    plain = not levels["add_prefix_space"] and not levels["use_regex"]
    return bool(whole and plain and split["pattern"] == {"Regex": PATTERN})
