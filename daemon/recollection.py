"""The logits behind the last answer, kept: a key that leaves the prompt as it was needs no pass.

Typing on in a word only lengthens the text that the first tokens must agree with (`healing.py`);
the prompt stays, and so do the logits behind it. As long as what is chosen is what was chosen
before, the keys and values of those tokens are in the sequence, and the logits are here. Each
choice is made anew from them, under the rules of the new request.

One answer is kept, with the branches that were looked at (`best_line.py`), some nine megabytes at
most. Knows sequences and logits; knows no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import ReferenceType, ref

from autocoder.daemon.live_sequence import Branches, LiveSequence, Logits

MOST_ROWS = 32
MOST_BRANCHES = 64  # rows; with more, none is kept


@dataclass(frozen=True)
class Recalled:
    """Tokens that a sequence holds again behind a prompt, and the logits before and behind each.

    `branches`: those behind other ways to go on.
    """

    tokens: tuple[int, ...]
    rows: tuple[Logits, ...]
    branches: Branches


@dataclass(frozen=True)
class Answer:
    """What a prompt was continued with, and how many passes its sequence had run by then."""

    sequence: ReferenceType[LiveSequence]
    passes: int
    prompt: tuple[int, ...]
    recalled: Recalled


class Recollection:
    """What is known of the last prompt that was answered."""

    def __init__(self) -> None:
        self._answer: Answer | None = None

    def keep(
        self,
        sequence: LiveSequence,
        prompt: tuple[int, ...],
        tokens: tuple[int, ...],
        rows: Sequence[Logits],
        branches: Branches,
    ) -> None:
        """`rows` (V,) are those that each of `tokens` was chosen from; the last token was not run.

        Each row is this object's from now on.
        """
        count = min(len(rows), MOST_ROWS)
        branches = branches if len(branches) <= MOST_BRANCHES else {}
        recalled = Recalled(tokens[: count - 1], tuple(rows[:count]), branches)
        self._answer = Answer(ref(sequence), sequence.passes, prompt, recalled) if count else None

    def recall(self, sequence: LiveSequence, prompt: tuple[int, ...]) -> Recalled | None:
        """The last answer, if it was to this prompt and its sequence has run no pass since.

        The sequence then holds prompt and tokens once more.
        """
        answer = self._answer
        if answer is None or answer.sequence() is not sequence:
            return None
        if answer.passes != sequence.passes or answer.prompt != prompt:
            return None
        sequence.take_up((*prompt, *answer.recalled.tokens))
        return answer.recalled
