"""One request under way on a lane: which tokens it feeds next, how each is to be chosen, and when
it is over.

The same decisions as `decoding.py` and `candidates.py` take, but step by step, so that many
requests advance in one pass. Knows tokens and texts; knows no arrays of the device, no sockets.
"""

import secrets
from collections.abc import Callable, Sequence
from random import Random
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.cuda_choice import Answer, Wish
from autocoder.daemon.cuda_graph import Chosen
from autocoder.daemon.cuda_lanes import Lane
from autocoder.daemon.decoding import Continuation, Decoding
from autocoder.daemon.protocol import Complete

Finished = Callable[[Continuation], bool]
"""Takes a continuation; False when no further one is wanted."""


class LaneRequest:
    """A request's prompt and continuations on a lane that holds the first `cached` tokens of it.

    `finished` is told of every continuation. `pending` are the tokens to run next; behind the last
    one a token is chosen, by `wish` if that is not None.
    """

    def __init__(
        self,
        request: Complete,
        language: str,
        decoding: Decoding,
        ids: Sequence[int],
        lane: Lane,
        capacity: int,
        finished: Finished,
    ) -> None:
        self.request = request
        self.language = language
        self.decoding = decoding
        self.lane = lane
        self.cached = len(lane.ids)
        self.pending: list[int] = list(ids[self.cached :])
        self.over = False
        self.began = perf_counter()
        self.prompted = 0.0
        self.generated = 0
        self.drafted = self.accepted = 0
        self._ids = ids
        self._capacity = capacity
        self._finished = finished
        self._seed = request.seed
        self._attempts = 1 if request.candidates == 1 else 2 * request.candidates
        self._attempt = 0
        self._branches: list[Chosen] = []
        self._begin()

    def _begin(self) -> None:
        """Nothing is said yet."""
        self._random: Random | None = None
        self._tokens: list[int] = []
        self._pieces: list[bytes] = []
        self._probabilities: list[float] = []

    @property
    def _branching(self) -> bool:
        return self._attempts > 1 and self.request.temperature <= 0

    def ran(self, count: int) -> None:
        """The first `count` pending tokens are in the lane."""
        self.lane.ids += self.pending[:count]
        del self.pending[:count]

    @property
    def said(self) -> tuple[int, ...]:
        """The tokens of the continuation so far."""
        return tuple(self._tokens)

    def worth(self, guesses: Sequence[int], most: int) -> list[int]:
        """Guesses that could matter behind the pending tokens: none where tokens are drawn, nor
        behind the end of the text, nor of the lane."""
        room = self._capacity - len(self.lane.ids) - len(self.pending) - 1
        if not self._plain or (self._branching and not self._tokens):
            return []
        return list(self.decoding.worth(self._pieces, guesses[: max(0, min(most, room))]))

    @property
    def _plain(self) -> bool:
        """Whether the most probable token is chosen, where none disagrees with what is there."""
        sampling = self.decoding.sampling
        greedy = sampling.temperature <= 0 or sampling.top_k == 1
        return greedy and sampling.repetition_penalty == 1

    def agreeing(self, guesses: Sequence[int] = ()) -> NDArray[np.int64] | None:
        """The tokens among which one is chosen behind what was said and these guesses; None: all
        there are, or `wish` sees to it."""
        if not self.decoding.agreement.text or self._wishes:
            return None
        return self._allowed(guesses)

    @property
    def _wishes(self) -> bool:
        """Whether the most probable token of those that agree will not do."""
        return not self._plain or (self._branching and not self._tokens)

    def wish(self, row: int) -> Wish | None:
        """How the next token is to be chosen from a row of logits; None: as it is told."""
        if not self._wishes:
            return None
        allowed, sampling = self._allowed(), self.decoding.sampling
        seen = self.lane.ids if sampling.repetition_penalty != 1 else ()
        drawn = sampling.temperature > 0 and sampling.top_k != 1
        chance = self._chance().random() if drawn else 0.0
        return Wish(row, sampling, allowed, seen, chance, ranks=self._branching)

    def _chance(self) -> Random:
        """Each continuation's own; made only where something is drawn."""
        if self._seed is None:
            self._seed = secrets.randbits(64)
        if self._random is None:
            self._random = Random(f"{self._seed} {self._attempt}")
        return self._random

    def _allowed(self, guesses: Sequence[int] = ()) -> NDArray[np.int64] | None:
        agreement = self.decoding.agreement
        if not agreement.text:
            return None
        ahead = (len(self.decoding.detokenizer.bytes_of(guess)) for guess in guesses)
        try:
            return agreement.allowed(sum(map(len, self._pieces)) + sum(ahead))
        except KeyError:  # behind a guess that does not agree, where nothing matters
            return None

    def choose(self, answer: Answer) -> None:
        """The next token, as wished for."""
        if not self._branching or self._tokens:
            self.accept(answer.chosen)
            return
        if not self._branches:
            self._branches = self._branched(answer)
            self._attempts = min(self._attempts, len(self._branches))
        self.accept(self._branches[self._attempt])

    def _branched(self, answer: Answer) -> list[Chosen]:
        """The greedy choice, then the next best that do not end the text at once."""
        pairs = zip(answer.ranked, answer.probabilities, strict=True)
        best, *others = (Chosen(int(token), float(share)) for token, share in pairs if share > 0)
        kept = [other for other in others if other.token not in self.decoding.stop_ids]
        return [best, *kept][: self._attempts]

    def accept(self, chosen: Chosen) -> None:
        """A token is chosen: it is fed next, unless the text ends with it."""
        self.prompted = self.prompted or perf_counter()
        self._tokens.append(chosen.token)
        self.generated += 1
        end = self._end(chosen)
        if end is None:
            self.pending = [chosen.token]
            return
        repeated = len(self.decoding.agreement.text)
        continuation = Continuation(
            tuple(self._tokens), tuple(self._pieces), tuple(self._probabilities), repeated, *end
        )
        self._attempt += 1
        self.over = not self._finished(continuation) or self._attempt >= self._attempts
        if not self.over:
            self._again()

    def _end(self, chosen: Chosen) -> tuple[int, str] | None:
        if chosen.token in self.decoding.stop_ids:
            return len(self.decoding.new_text(self._pieces)), "end"
        self._pieces.append(self.decoding.detokenizer.bytes_of(chosen.token))
        self._probabilities.append(chosen.probability)
        return self.decoding.end(self._pieces, self._capacity - len(self.lane.ids))

    def _again(self) -> None:
        """Another continuation: the prompt's last token is run once more, for its logits."""
        del self.lane.ids[len(self._ids) - 1 :]
        self.pending = [self._ids[-1]]
        self._begin()
