"""A prompt whose last word, mark or blanks before the cursor are given back.

What is decoded must then begin with their bytes (`healing.Agreement`). Knows prompts and
tokens; knows no model.
"""

from dataclasses import dataclass

from autocoder.daemon.detokenizer import Detokenizer
from autocoder.daemon.healing import MOST_TOKENS, unfinished
from autocoder.daemon.prompt import Prompt


@dataclass(frozen=True)
class Held:
    """A prompt's ids without those of the word or mark before the cursor.

    `before` are the prefix's own tokens that remain, `word` those that do not.
    """

    ids: tuple[int, ...]
    before: tuple[int, ...]
    word: tuple[int, ...]

    @staticmethod
    def nothing(prompt: Prompt) -> "Held":
        """The prompt as it is."""
        return Held(prompt.ids, prompt.ids[prompt.prefix_start : prompt.prefix_stop], ())

    @staticmethod
    def back(prompt: Prompt, detokenizer: Detokenizer, *, marks: bool = True) -> "Held":
        """The prompt without its last word; whole where nothing would be left of it."""
        start, stop = prompt.prefix_start, prompt.prefix_stop
        prefix = prompt.ids[start:stop]
        pieces = [detokenizer.bytes_of(token) for token in prefix[-MOST_TOKENS:]]
        kept = len(prefix) - unfinished(pieces, marks=marks)
        if not prompt.ids[: start + kept] + prompt.ids[stop:]:
            kept = len(prefix)  # a prompt has one token at least
        ids = prompt.ids[: start + kept] + prompt.ids[stop:]
        return Held(ids, prefix[:kept], prefix[kept:])
