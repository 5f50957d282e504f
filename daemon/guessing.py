"""Where the guesses of one request come from, and what is guessed before anything is said.

The sources are the prompt, the other live sequences, what was said lately, and the repository.
Knows prompts and sequences; knows no model, and not whether a guess is worth judging.
"""

from collections import deque
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from autocoder.daemon.drafting import Drafter, Guess
from autocoder.daemon.engine import Claim, Engine
from autocoder.daemon.held import Held
from autocoder.daemon.live_sequence import LiveSequence
from autocoder.daemon.lookahead import AGAIN, MOST_GUESSES
from autocoder.daemon.prompt import Prompt
from autocoder.daemon.repository_index import RepositoryIndex

FEW_NEW = 15  # tokens of a prompt behind which guesses may be judged; behind more few come true
REMEMBERED = 16  # suggestions that guesses are drawn from
LEAD = 8  # tokens before a suggestion that are remembered with it
AS_TYPED = 8  # the match that a word is worth which was typed as its tokens say


@dataclass(frozen=True)
class Said:
    """What a prompt was continued with, and the prefix's tokens before that."""

    prompt: tuple[int, ...]
    before: tuple[int, ...]
    tokens: tuple[int, ...]

    def with_lead(self) -> tuple[int, ...]:
        return (*self.before[-LEAD:], *self.tokens)


class Guessing:
    """The sources of guesses around one engine. `index` None: no repository is read."""

    def __init__(self, engine: Engine, index: RepositoryIndex | None = None) -> None:
        self._engine = engine
        self._index = index
        self._last: WeakKeyDictionary[LiveSequence, Said] = WeakKeyDictionary()
        self._said: deque[Said] = deque(maxlen=REMEMBERED)

    def busy(self) -> None:
        """A request runs: the reading of repositories pauses."""
        if self._index is not None:
            self._index.busy()

    def idle(self) -> None:
        """No request runs."""
        if self._index is not None:
            self._index.idle()

    def drafter(
        self, prompt: Prompt, held: Held, claim: Claim, path: str | None, language: str, room: int
    ) -> Drafter:
        """What guesses while a prompt is continued by at most `room` tokens behind its word."""
        suffix = prompt.ids[: prompt.prefix_start]
        said = [each.with_lead() for each in self._said]
        others = [*self._engine.others(claim.sequence), *said, suffix]
        library = self._index.around(path, language) if self._index else None
        return Drafter(held.before, others, len(held.word) + room, library)

    def first(self, held: Held, claim: Claim, drafter: Drafter) -> list[Guess]:
        """What may be judged in the prompt's last pass; nothing where the prompt is mostly new.

        The same prompt again will be continued as before, and a word given back as it was typed.
        """
        new = len(held.ids) - claim.cached
        if new > FEW_NEW or claim.sequence.room <= new + MOST_GUESSES:
            return []
        said = self._last.get(claim.sequence)
        if said and said.prompt == held.ids:
            return [Guess(said.tokens, AGAIN)]
        if held.word[:-1]:
            return [Guess(held.word[:-1], AS_TYPED)]
        return drafter.guesses(MOST_GUESSES)

    def remember(self, held: Held, sequence: LiveSequence, tokens: tuple[int, ...]) -> None:
        """A prompt was continued with these tokens."""
        self._last[sequence] = Said(held.ids, held.before, tokens)
        self._said.append(self._last[sequence])
