"""When to ask the daemon, and what to do with its answers. Runs in the editor's event loop.

After each edit: wait a little, cancel the request before, ask, and keep the answer as an `Offer`,
which shows only where it still fits. Knows no screen and no keys. Whatever goes wrong here ends up
in `state`; it never reaches the one who types.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol

from prompt_toolkit.document import Document

from autocoder.clients.editor.ghost import (
    BLOCK,
    Offer,
    first_line,
    first_word,
    lines_wanted,
    wants_suggestion,
)
from autocoder.daemon.errors import AutocoderError, DaemonError
from autocoder.daemon.protocol import Cancelled, Complete, Completion, Greeting

DELAY_S = 0.02
MAX_PREFIX, MAX_SUFFIX = 32_000, 8_000
LINE_TOKENS, BLOCK_TOKENS = 32, 96
MORE_CANDIDATES = 4
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
REMEMBERED = 64

log = logging.getLogger(__name__)


class Completes(Protocol):
    """What is needed of `autocoder.clients.client.Client`."""

    async def connect(self) -> Greeting: ...
    async def close(self) -> None: ...
    def new_id(self) -> str: ...
    async def complete(self, request: Complete, *, id: str | None = None) -> Completion: ...
    async def feedback(
        self, target: str, event: str, *, characters: int = 0, candidate: int = 0
    ) -> None: ...


@dataclass(frozen=True)
class State:
    """What the status bar tells: the model's name or the trouble, and the last answer's time."""

    model: str = ""
    trouble: str = ""
    asking: bool = False
    latency_ms: float | None = None
    enabled: bool = True


class Suggester:
    """Keeps the current offer for one document."""

    def __init__(
        self,
        client: Completes,
        document: str,
        path: str | None = None,
        language: str | None = None,
        changed: Callable[[], None] = lambda: None,
        delay_s: float = DELAY_S,
    ) -> None:
        """`changed` is called when what should be on the screen has changed."""
        self.state = State()
        self.offer: Offer | None = None
        self._client, self._changed, self._delay_s = client, changed, delay_s
        self._request = Complete("", document=document, path=path, language=language)
        self._task: asyncio.Task[None] | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._dismissed: deque[str] = deque(maxlen=REMEMBERED)
        self._just_accepted = False
        self._shown = ""
        self._pause_s, self._resume_at = 0.0, 0.0

    # --- what happens -------------------------------------------------------------------------

    def start(self) -> None:
        """Greet the daemon (or start it), so that the first suggestion need not wait for it."""
        self._run(self._connect())

    async def close(self) -> None:
        """Cancel what is under way and give up the connection."""
        asked = [self._task] if self._task else []
        self.stop_asking()
        for task in self._errands:
            task.cancel()
        await asyncio.gather(*asked, *self._errands, return_exceptions=True)
        try:
            await asyncio.wait_for(self._client.close(), 1.0)
        except Exception:
            log.exception("closing the connection")

    def text_changed(self, document: Document) -> None:
        """The user edited: keep the offer if it was typed through, else ask anew."""
        accepted, self._just_accepted = self._just_accepted, False
        if self.ghost(document):
            return
        self.stop_asking()
        self.offer = None  # or the cursor's move, which follows, would end what is asked now
        before, after = document.text_before_cursor, document.text_after_cursor
        if not self.state.enabled or accepted or not wants_suggestion(before, after):
            return
        if time.monotonic() >= self._resume_at:
            self._ask(document, lines_wanted(before, after))

    def cursor_moved(self, document: Document) -> None:
        """The cursor moved without an edit: an offer that is no longer at the cursor is dropped."""
        if self.offer and not self.ghost(document):
            self.stop_asking()
            self.offer = None

    def rename(self, document: str, path: str, language: str | None) -> None:
        """The text is from now on that of another file."""
        self._request = replace(self._request, document=document, path=path, language=language)

    def trigger(self, document: Document) -> None:
        """Ask here and now, whatever the policy says."""
        self._dismissed.clear()
        self._resume_at = 0.0
        self._ask(document, max(lines_wanted(document.text_before_cursor, ""), BLOCK))

    def enable(self, enabled: bool) -> None:
        """Switch suggestions on or off."""
        self.state = replace(self.state, enabled=enabled)
        if not enabled:
            self.stop_asking()
            self.offer = None

    def stop_asking(self) -> None:
        """Cancel the request under way."""
        if self._task and not self._task.done():
            self._task.cancel()
        self._task = None
        self.state = replace(self.state, asking=False)

    # --- the ghost ----------------------------------------------------------------------------

    def ghost(self, document: Document) -> str:
        """What shows at the cursor of this document, or ""."""
        if self.offer is None or document.selection:
            return ""
        text = self.offer.remaining(document.text, document.cursor_position)
        return "" if text and self._key(document, text) in self._dismissed else text

    def take(self, document: Document, amount: str = "all") -> str:
        """The text to insert on accepting "all", a "word" or a "line"."""
        ghost = self.ghost(document)
        piece = {"all": ghost, "word": first_word(ghost), "line": first_line(ghost)}[amount]
        self._just_accepted = piece == ghost and "\n" not in piece
        whole = "accepted" if piece == ghost else "partly"
        self._tell(whole, len(piece))
        return piece

    def dismiss(self, document: Document) -> None:
        """Send the ghost away, and do not offer the same at this place again."""
        ghost = self.ghost(document)
        if ghost:
            self._dismissed.append(self._key(document, ghost))
            self._tell("dismissed")
        self.stop_asking()
        self.offer = None

    def turn(self, document: Document, step: int) -> None:
        """Show the next (1) or the previous (-1) suggestion; the first time, ask for more."""
        offer = self.offer
        if offer is None or not self.ghost(document):
            return self.trigger(document)
        if len(offer.texts) > 1:
            self.offer = offer.turned(step, document.text, document.cursor_position)
        else:
            lines = BLOCK if "\n" in offer.texts[0] else 1
            self._ask(document, lines, candidates=MORE_CANDIDATES, also=self.ghost(document))
        self._changed()

    @staticmethod
    def _key(document: Document, ghost: str) -> str:
        """Names a suggestion at a place, the same after some of it was typed."""
        line = document.cursor_position_row
        return f"{line}:{document.current_line_before_cursor}{ghost}"

    # --- asking -------------------------------------------------------------------------------

    def _ask(self, document: Document, lines: int, candidates: int = 1, also: str = "") -> None:
        self.stop_asking()
        request = replace(
            self._request,
            prefix=_sendable(cut_prefix(document.text_before_cursor)),
            suffix=_sendable(document.text_after_cursor[:MAX_SUFFIX]),
            max_lines=lines,
            max_tokens=LINE_TOKENS if lines == 1 else BLOCK_TOKENS,
            candidates=candidates,
        )
        self.state = replace(self.state, asking=True)
        self._task = asyncio.get_running_loop().create_task(self._answer(document, request, also))

    async def _answer(self, document: Document, request: Complete, also: str) -> None:
        started = time.monotonic()
        task = asyncio.current_task()
        try:
            await asyncio.sleep(self._delay_s)
            id, completion = await self._completion(request)
            self._succeeded((time.monotonic() - started) * 1000)
            if task is self._task:
                self._show(document, completion, id, also)
        except (asyncio.CancelledError, Cancelled):
            pass
        except AutocoderError as error:
            self._failed(str(error))
        except Exception as error:
            log.exception("asking for a suggestion")
            self._failed(f"{type(error).__name__}: {error}")
        finally:
            if task is self._task:
                self.state = replace(self.state, asking=False)
                self._changed()

    async def _completion(self, request: Complete) -> tuple[str, Completion]:
        """The answer and its request's id; where the daemon just died, its successor is asked."""
        id = self._client.new_id()
        try:
            return id, await self._client.complete(request, id=id)
        except DaemonError:
            if self._pause_s:  # that was tried before: leave it to the pause
                raise
        id = self._client.new_id()
        return id, await self._client.complete(request, id=id)

    def _show(self, document: Document, completion: Completion, id: str, also: str) -> None:
        texts = [*([also] if also else []), *(s.text for s in completion.suggestions)]
        kept = tuple(dict.fromkeys(text for text in texts if text.strip()))
        index = 1 if also and len(kept) > 1 else 0
        before, after = document.text_before_cursor, document.text_after_cursor
        self.offer = Offer(before, after, kept, id, index) if kept else None
        if self.ghost(document):
            self._tell("shown")

    def _succeeded(self, latency_ms: float) -> None:
        self._pause_s, self._resume_at = 0.0, 0.0
        greeting = getattr(self._client, "greeting", None)
        model = greeting.model.name if greeting else self.state.model
        self.state = replace(self.state, model=model, trouble="", latency_ms=latency_ms)

    def _failed(self, why: str) -> None:
        """After a failure ask ever less often, so that typing does not start daemons in vain."""
        self._pause_s = min(max(FIRST_PAUSE_S, self._pause_s * 2), LONGEST_PAUSE_S)
        self._resume_at = time.monotonic() + self._pause_s
        self.state = replace(self.state, trouble=" ".join(why.split()), latency_ms=None)

    async def _connect(self) -> None:
        try:
            greeting = await self._client.connect()
            self.state = replace(self.state, model=greeting.model.name, trouble="")
        except AutocoderError as error:
            self._failed(str(error))
        finally:
            self._changed()

    def _tell(self, event: str, characters: int = 0) -> None:
        if self.offer and self.offer.id:
            index = self.offer.index
            self._run(
                self._client.feedback(self.offer.id, event, characters=characters, candidate=index)
            )

    def _run(self, errand: Coroutine[Any, Any, None]) -> None:
        """Do something whose failure concerns nobody."""

        async def quietly() -> None:
            try:
                await errand
            except Exception as error:
                log.info("%s: %s", type(error).__name__, error)

        task = asyncio.get_running_loop().create_task(quietly())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)


def cut_prefix(text: str) -> str:
    """At most MAX_PREFIX characters, from a line's start, in steps, so that typing only appends."""
    if len(text) <= MAX_PREFIX:
        return text
    step = MAX_PREFIX // 4
    least = len(text) - MAX_PREFIX
    start = (least + step - 1) // step * step
    line = text.find("\n", start, len(text) - MAX_PREFIX // 4)
    return text[line + 1 if line != -1 else start :]


def _sendable(text: str) -> str:
    """Undecodable bytes, which live in the text as surrogates, are no business of the model's."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
