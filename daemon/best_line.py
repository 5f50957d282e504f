"""The likeliest whole line, where the greedy one is only the likeliest step by step.

Greedy decoding takes the best token each time, and may so end in a line that is less likely than
another one: `items if score > 0]` begins better than `items]`, and is worse as a whole. Best-first
search (Meister et al., "Best-First Beam Search", 2020) sets out from the greedy line. A branch can
only lose probability, so what is below the best whole line already is never followed, and where the
model is sure nothing is. A line may end in many ways (the closing token, line breaks with any
indentation behind them): their probabilities are one sum.

Rows that were computed are kept, so that a key that leaves the prompt as it was walks the same
branches without a pass; what is found depends on the rows alone, not on what was kept. Knows token
ids, bytes and logits; knows no prompt and no request. Lanes on a GPU decode greedily instead
(`cuda_completer.py`).
"""

import heapq
import math
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.decoding import Continuation, Decoding
from autocoder.daemon.engine import common_prefix
from autocoder.daemon.live_sequence import Branches, LiveSequence, Logits, Rows, Tail

Path = tuple[int, ...]  # tokens behind the prompt

MOST_STEPS = 8  # tokens of branches, for one line: docs/performance.md has what more would bring
LEAST = math.log(0.05)  # of a branch's first token; below, it is hardly ever the way


@dataclass(frozen=True, eq=False)
class Node:
    """A path, what its tokens say, and the log-probabilities of them and (V,) of what comes next.

    `closing` are the tokens that end the line here without adding to it, `end` the log-probability
    of them all; minus infinity where a line that ends here is none.
    """

    path: Path
    pieces: tuple[bytes, ...]
    taken: tuple[float, ...]
    score: float  # the sum of `taken`
    chances: NDArray[np.float32]
    closing: NDArray[np.int64]
    end: float

    @property
    def whole(self) -> float:
        """The log-probability of the line that ends here."""
        return self.score + self.end

    def with_next(self, token: int) -> float:
        """The log-probability of the path with one token more."""
        return self.score + float(self.chances[token])

    def likeliest(self) -> int:
        """The next token of a line that does not end here."""
        inner = self.chances.copy()
        inner[self.closing] = -np.inf
        return int(inner.argmax())


class Search:
    """One search behind a prompt of `length` tokens, which `sequence` holds with the greedy line.

    `branches` are those known of this prompt; what is computed joins them. `steps`: how many tokens
    of branches were looked at.
    """

    def __init__(
        self, decoding: Decoding, sequence: LiveSequence, length: int, branches: Branches
    ) -> None:
        self.steps = 0
        self._decoding = decoding
        self._sequence = sequence
        self._length = length
        self._branches = branches
        self._held: Path = ()  # what the sequence holds behind the prompt
        self._greedy: tuple[Path, Tail] | None = None  # put back at little cost
        self._heap: list[tuple[float, int, Node, int]] = []
        self._order = count()

    def better(self, greedy: Continuation) -> Continuation:
        """The likeliest line found; the greedy one if it is that, or no line. The sequence then
        holds the greedy line again. Raises what a pass raises."""
        self._held = greedy.tokens[:-1]
        nodes = self._along(greedy)
        last = nodes[-1]
        if greedy.tokens[-1] not in last.closing or last.end == -math.inf:
            return greedy
        best = self._best(nodes, greedy.tokens)
        self._hold(last.path)
        return greedy if best is last else self._continuation(best, greedy.repeated)

    def _along(self, greedy: Continuation) -> list[Node]:
        """The nodes before each of the greedy tokens."""
        nodes = [self._node((), (), (), greedy.rows[0])]
        for token, row in zip(greedy.tokens, greedy.rows[1:], strict=False):
            nodes.append(self._behind(nodes[-1], token, row))
        return nodes

    def _best(self, nodes: list[Node], greedy: Path) -> Node:
        best = max(reversed(nodes), key=_whole)
        for node, token in zip(nodes, greedy, strict=True):
            self._branch(node, token, best)
        while self._heap:
            _, _, node, token = heapq.heappop(self._heap)
            best = self._followed(node, token, best)
        return best

    def _followed(self, node: Node, token: int, best: Node) -> Node:
        """The best line so far, or a better one on the way that sets out with a token."""
        while self._may_win(node, token, best):
            self.steps += 1
            node = self._behind(node, token, self._row((*node.path, token)))
            best = max(best, node, key=_whole)
            token = node.likeliest()
            self._branch(node, token, best)
        return best

    def _branch(self, node: Node, taken: int, best: Node) -> None:
        """Keep for later what may win: other tokens than the one taken."""
        least = max(LEAST, best.whole - node.score)
        for token in np.flatnonzero(node.chances > least).tolist():
            if token != taken and token not in node.closing:
                entry = (-node.with_next(token), next(self._order), node, token)
                heapq.heappush(self._heap, entry)

    def _may_win(self, node: Node, token: int, best: Node) -> bool:
        if self.steps == MOST_STEPS or node.with_next(token) <= best.whole:
            return False
        pieces = (*node.pieces, self._decoding.detokenizer.bytes_of(token))
        return self._decoding.end(pieces, self._room(node.path)) is None

    def _room(self, path: Path) -> int:
        """How many tokens fit behind a path."""
        return self._sequence.room + len(self._sequence.ids) - self._length - len(path)

    def _behind(self, node: Node, token: int, row: Logits) -> Node:
        return self._node(
            (*node.path, token),
            (*node.pieces, self._decoding.detokenizer.bytes_of(token)),
            (*node.taken, float(node.chances[token])),
            row,
        )

    def _node(
        self, path: Path, pieces: tuple[bytes, ...], taken: tuple[float, ...], row: Logits
    ) -> Node:
        agreement, written = self._decoding.agreement, sum(map(len, pieces))
        chances = _log_softmax(agreement.weighed(row, written))
        closing = self._decoding.closing(pieces)
        says = bool(self._decoding.new_text(pieces).strip())
        ends = says and len(closing) > 0 and written >= len(agreement.text)
        end = float(np.logaddexp.reduce(chances[closing])) if ends else -math.inf
        return Node(path, pieces, taken, sum(taken), chances, closing, end)

    def _row(self, path: Path) -> Logits:
        """The logits behind a path, by one pass where they are not known."""
        if path not in self._branches:
            self._branches[path] = self._hold(path)[-1].copy()
        return self._branches[path]

    def _hold(self, path: Path) -> Rows:
        """Have the sequence hold a path behind the prompt; the logits of what had to be run.

        All of them are asked for, since what lies before the first row that is asked for may go
        through the prefill graph, which rounds otherwise.
        """
        if path != self._held[: len(path)]:
            self._put_back(path)
        shared = common_prefix(path, self._held)
        self._sequence.rewind(self._length + shared)
        new, self._held = path[shared:], path[:shared]
        rows = np.empty((0, 0), np.float32)
        if new:
            rows = self._sequence.extend_guessing(new[:1], new[1:], self._decoding.interrupt)
            self._held = path
        return rows

    def _put_back(self, path: Path) -> None:
        """Hold the greedy line again where more of a path lies on it; keep it before the first."""
        if self._greedy is None:
            self._sequence.rewind(self._length + len(self._held))
            kept = self._sequence.keep(self._length)
            self._greedy = (self._held, kept) if kept else None
        elif common_prefix(path, self._greedy[0]) > common_prefix(path, self._held):
            self._held, kept = self._greedy
            self._sequence.put_back(kept)

    def _continuation(self, node: Node, repeated: int) -> Continuation:
        closer = int(node.closing[node.chances[node.closing].argmax()])
        chances = tuple(map(math.exp, node.taken))
        length = len(self._decoding.new_text(node.pieces))
        why = "end" if closer in self._decoding.stop_ids else "line"
        return Continuation((*node.path, closer), node.pieces, chances, repeated, length, why)


def _whole(node: Node) -> float:
    return node.whole


def _log_softmax(logits: Logits) -> NDArray[np.float32]:
    moved = logits - logits.max()
    chances: NDArray[np.float32] = moved - np.float32(np.log(np.exp(moved).sum(dtype=np.float64)))
    return chances
