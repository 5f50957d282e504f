"""Guesses at the next tokens of a request that has the device to itself: what a chunk judges beside
the token before them costs nearly nothing.

The sources are those of `guessing.py`. Requests that advance together are not guessed for: their
lanes fill the pass already. Knows tokens, lanes and requests; knows no model.
"""

from collections import deque
from collections.abc import Callable, Sequence

from autocoder.daemon.cuda_lanes import Lane, Lanes
from autocoder.daemon.cuda_request import LaneRequest
from autocoder.daemon.drafting import Drafter, Guess
from autocoder.daemon.guessing import LEAD, REMEMBERED
from autocoder.daemon.held import Held
from autocoder.daemon.repository_index import RepositoryIndex

MOST = 7  # guesses: with the token before them, the tokens of a chunk that is captured
FEWEST_MATCHED = 2  # tokens before a guess; of those behind fewer, less than half come true


class Ahead:
    """What one request may say next: `again` what it said before, else what follows in `others`."""

    def __init__(
        self,
        held: Held,
        others: Callable[[], list[Sequence[int]]],
        again: Sequence[int],
    ) -> None:
        self._held = held
        self._others = others  # asked for only where something is guessed
        self._again = tuple(again)
        self._drafter: Drafter | None = None
        self._pushed = 0

    def guesses(self, work: LaneRequest, index: RepositoryIndex | None) -> list[int]:
        """What is worth judging behind the pending tokens."""
        said = work.said
        if self._again[: len(said)] == said and len(self._again) > len(said):
            return work.worth(self._again[len(said) :], MOST)
        if not said:
            return work.worth(self._held.word, MOST)
        best = max(self._drafted(work, index), key=lambda guess: guess.matched, default=Guess())
        return work.worth(best.tokens, MOST) if best.matched >= FEWEST_MATCHED else []

    def _drafted(self, work: LaneRequest, index: RepositoryIndex | None) -> list[Guess]:
        said, request = work.said, work.request
        if self._drafter is None:
            library = index.around(request.path, work.language) if index else None
            room = len(self._held.word) + request.max_tokens
            self._drafter = Drafter(self._held.before, self._others(), room, library)
        if len(said) < self._pushed:  # another continuation
            self._drafter.reset()
            self._pushed = 0
        for token in said[self._pushed :]:
            self._drafter.push(token)
        self._pushed = len(said)
        return self._drafter.guesses(MOST)


class Memory:
    """What was said lately, and behind which prompt in which lane."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._last: dict[Lane, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self._said: deque[tuple[int, ...]] = deque(maxlen=REMEMBERED)

    def ahead(self, held: Held, suffix: Sequence[int], lane: Lane) -> Ahead:
        """What may come behind a prompt in a lane. `suffix` are its tokens behind the cursor."""
        ids, said = self._last.get(lane, ((), ()))
        again = said if ids == held.ids else ()
        return Ahead(held, lambda: [*self._lanes.others(lane), *self._said, suffix], again)

    def remember(self, held: Held, lane: Lane, tokens: tuple[int, ...]) -> None:
        """A prompt was continued with these tokens."""
        self._last[lane] = held.ids, tokens
        self._said.append((*held.before[-LEAD:], *tokens))
