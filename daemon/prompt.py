"""Prefix and suffix become a token window. Training builds its samples by this very code.

A prompt is `control code, other files, suffix, prefix, <middle>`: what changes least comes first.
Typing only appends; moving the cursor changes the suffix and leaves the other files' tokens alone;
a cache of the earlier prompt stays valid up to the first change. A model without `{context}` in
its parts gets no other files. Knows token ids and texts; knows no sockets, no model, no language's
grammar.

The order (suffix before prefix, "SPM") is from Bavarian et al., "Efficient Training of Language
Models to Fill in the Middle" (2022); the left edge that stays put while text is typed is a
winnowing minimum, Schleimer et al., "Winnowing" (2003).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from zlib import crc32

from autocoder.daemon.errors import ModelError
from autocoder.daemon.pieces import Pieces

CONTROL, PREFIX, SUFFIX = "{control}", "{prefix}", "{suffix}"
CONTEXT, PATH, TEXT = "{context}", "{path}", "{text}"
PLACEHOLDERS = frozenset({CONTROL, PREFIX, SUFFIX, CONTEXT, PATH, TEXT})
PATH_PARTS = 3  # the last parts of another file's path: what it is called, not where it lies
Context = Sequence[tuple[str, str]]  # (path, text) of other files, the most useful last


class Tokenizer(Protocol):
    """What prompts need of a `tokenizers.Tokenizer`."""

    def encode(self, sequence: str, *, add_special_tokens: bool = True) -> Any: ...
    def token_to_id(self, token: str) -> int | None: ...


@dataclass(frozen=True)
class PromptFormat:
    """How one model wants its prompt, as its manifest says.

    `parts` is used where the model knows a suffix, `plain` where it does not (`parts` empty).
    Each part is `{control}`, `{prefix}`, `{suffix}`, `{context}` or a special token of the
    tokenizer; `{context}` repeats `other_file`, made of `{path}`, `{text}` and special tokens.
    `controls` maps a language's name to its control token; a language without one gets none.
    """

    parts: tuple[str, ...] = (CONTROL, "<suffix>", SUFFIX, "<prefix>", PREFIX, "<middle>")
    plain: tuple[str, ...] = (CONTROL, PREFIX)
    controls: Mapping[str, str] = field(
        default_factory=lambda: {"python": "<python>", "java": "<java>"}
    )
    end: str = "<eos>"
    stop_tokens: tuple[str, ...] = ("<eos>",)
    other_file: tuple[str, ...] = ()

    @staticmethod
    def with_context() -> "PromptFormat":
        """The format of a model that was trained with other files before the hole."""
        return PromptFormat(
            parts=(CONTROL, CONTEXT, "<suffix>", SUFFIX, "<prefix>", PREFIX, "<middle>"),
            other_file=("<path>", PATH, "<file>", TEXT),
        )

    @staticmethod
    def from_manifest(record: Mapping[str, Any]) -> "PromptFormat":
        """Read the manifest's `prompt` record. Raises ModelError where a field is missing."""
        try:
            return PromptFormat(
                parts=tuple(record["parts"]),
                plain=tuple(record["plain"]),
                controls=dict(record["controls"]),
                end=str(record["end"]),
                stop_tokens=tuple(record.get("stop_tokens", [record["end"]])),
                other_file=tuple(record.get("other_file", ())),
            )
        except (KeyError, TypeError) as error:
            raise ModelError(
                f"the manifest's prompt record lacks or garbles {error}; export the model again"
            ) from error

    def to_manifest(self) -> dict[str, Any]:
        """The record that `from_manifest` reads."""
        return {
            "parts": list(self.parts),
            "plain": list(self.plain),
            "controls": dict(self.controls),
            "end": self.end,
            "stop_tokens": list(self.stop_tokens),
            **({"other_file": list(self.other_file)} if self.other_file else {}),
        }


@dataclass(frozen=True)
class Budget:
    """How much context a prompt may hold, in tokens; characters bound the work of finding it.

    `context_tokens` is for all other files together; each gets an equal share.
    """

    prefix_tokens: int = 512
    suffix_tokens: int = 128
    chars_per_token: float = 4.0
    context_tokens: int = 0

    @property
    def prefix_chars(self) -> int:
        return int(self.prefix_tokens * self.chars_per_token)

    @property
    def suffix_chars(self) -> int:
        return int(self.suffix_tokens * self.chars_per_token)


@dataclass(frozen=True)
class Prompt:
    """Token ids, and where in them the prefix's own tokens lie: ids[start:stop]."""

    ids: tuple[int, ...]
    prefix_start: int
    prefix_stop: int


class PromptBuilder:
    """Builds the prompts of one model. Raises ModelError if the tokenizer lacks a special token."""

    def __init__(
        self, tokenizer: Tokenizer, form: PromptFormat, budget: Budget | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.form = form
        self.budget = budget or Budget()
        parts = {*form.parts, *form.plain, *form.other_file} - PLACEHOLDERS
        names = {*parts, *form.controls.values(), form.end, *form.stop_tokens}
        self._ids = {name: self._special(name) for name in names}
        self._pieces = Pieces(tokenizer)

    def _special(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise ModelError(f"the tokenizer has no token {token!r}; export the model again")
        return found

    @property
    def end_id(self) -> int:
        """The token that closes a middle (or a file)."""
        return self._ids[self.form.end]

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens at which decoding stops."""
        return frozenset(self._ids[name] for name in self.form.stop_tokens)

    def control_id(self, language: str) -> int:
        """The control token of a language. Raises ModelError where the model has none for it."""
        token = self.form.controls.get(language)
        if token is None:
            raise ModelError(f"this model has no control code for {language!r}")
        return self._ids[token]

    def encode(self, text: str) -> list[int]:
        """Plain text to token ids, no special tokens added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def build(
        self,
        language: str | None,
        prefix: str,
        suffix: str,
        budget: Budget | None = None,
        context: Context = (),
    ) -> Prompt:
        """The serving prompt: all texts cut to the budget, tokenised, put in the model's order."""
        budget = budget or self.budget
        others = self.other_files(context, budget)
        left = self._left(prefix, budget)
        right = self._pieces.encode(suffix[: right_edge(suffix, budget.suffix_chars)]).ids
        return self.assemble(language, left, right[: budget.suffix_tokens], others)

    def other_files(self, context: Context, budget: Budget) -> list[int]:
        """The tokens of other files, each from its beginning to its share of the budget."""
        if not context or not budget.context_tokens or CONTEXT not in self.form.parts:
            return []
        share = budget.context_tokens // len(context)
        chars = int(share * budget.chars_per_token)
        files = [(path, text[: right_edge(text, chars)]) for path, text in context]
        return [token for file in files for token in self._other_file(*file)[:share]]

    def _other_file(self, path: str, text: str) -> list[int]:
        ids: list[int] = []
        for part in self.form.other_file:
            if part == PATH:
                ids += self.encode("/".join(path.split("/")[-PATH_PARTS:]))
            elif part == TEXT:
                ids += self.encode(text)
            else:
                ids.append(self._ids[part])
        return ids

    def _left(self, prefix: str, budget: Budget) -> list[int]:
        """The tokens of the prefix's end, from an edge that stays while the prefix grows.

        Where tokens are short, the characters let in too many; those in excess go in a block too,
        since one token less at every keystroke would leave nothing of the cache.
        """
        limit, start = budget.prefix_tokens, left_edge(prefix, budget.prefix_chars)
        encoded = self._pieces.encode(prefix[start:])
        excess = len(encoded.ids) - limit
        if excess > 0:
            first, last = encoded.starts[excess], encoded.starts[excess + limit // 4]
            latest = max(start + last, len(prefix) - budget.prefix_chars * 3 // 4)
            edge = stable_edge(prefix, start + first, latest if start else last)
            encoded = self._pieces.encode(prefix[edge:])
        return encoded.ids[-limit:]

    def assemble(
        self,
        language: str | None,
        prefix_ids: Sequence[int],
        suffix_ids: Sequence[int],
        context_ids: Sequence[int] = (),
    ) -> Prompt:
        """Put ready token ids into the model's order (training calls this too)."""
        ids: list[int] = []
        span = (0, 0)
        for part in self.form.parts or self.form.plain:
            if part == CONTROL:
                ids += self._control(language)
            elif part == PREFIX:
                span = (len(ids), len(ids) + len(prefix_ids))
                ids += prefix_ids
            elif part == SUFFIX:
                ids += suffix_ids
            elif part == CONTEXT:
                ids += context_ids
            else:
                ids.append(self._ids[part])
        return Prompt(tuple(ids), *span)

    def _control(self, language: str | None) -> list[int]:
        token = self.form.controls.get(language or "")
        return [] if token is None else [self._ids[token]]


def left_edge(text: str, limit: int) -> int:
    """Where a prefix of at most `limit` characters begins: an index into `text`.

    One that leaves between three quarters and all of `limit`, and moves in jumps (`stable_edge`).
    """
    if len(text) <= limit:
        return 0
    return stable_edge(text, len(text) - limit, len(text) - limit * 3 // 4)


def stable_edge(text: str, first: int, last: int) -> int:
    """Of the line starts in first…last, the one whose line ranks lowest.

    A line at indentation 0 ranks first, then a hash of the line counts. That choice depends on
    nothing to the left, so it stays while characters are appended, and moves in jumps. Where no
    line starts, a hash of the next few characters chooses.
    """
    starts = _line_starts(text, first, last)
    if starts:
        return min(starts, key=lambda at: _rank(text, at))
    return min(range(first, last), key=lambda at: _hash(text[at : at + 8]), default=first)


def _line_starts(text: str, first: int, last: int) -> list[int]:
    found, at = [], text.find("\n", max(first - 1, 0), last)
    while at != -1:
        found.append(at + 1)
        at = text.find("\n", at + 1, last)
    return found


def _rank(text: str, at: int) -> tuple[bool, int]:
    end = text.find("\n", at)
    line = text[at : end if end != -1 else len(text)]
    return (not line[:1].isalpha(), _hash(line))


def _hash(text: str) -> int:
    return crc32(text.encode("utf-8", "replace"))


def right_edge(text: str, limit: int) -> int:
    """Where a suffix of at most `limit` characters ends: after its last whole line, if any."""
    if len(text) <= limit:
        return len(text)
    line_end = text.rfind("\n", limit // 2, limit)
    return line_end + 1 if line_end != -1 else limit
