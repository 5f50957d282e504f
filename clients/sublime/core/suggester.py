"""The life of a suggestion in one view: asked for, shown, typed through, accepted or dismissed.

Every reply is compared with the text it was asked for. What to suggest, and whether, is the
daemon's affair. Knows no drawing and no process.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable

import sublime

from . import context
from .bridge import Bridge
from .ghost import Ghost
from .offer import Offer, Origin, part
from .settings import automatic, caret, number, possible, tab_size

ALTERNATIVES = 4
FARTHEST = 8_192  # characters typed through one suggestion
REMEMBERED = 64  # dismissed suggestions that are not offered again


class Suggester:
    """Suggestions in one view."""

    def __init__(self, view: sublime.View, bridge: Bridge, changed: Callable[[], None]) -> None:
        """`changed` is called when the status bar should tell something else."""
        self._view, self._bridge, self._changed = view, bridge, changed
        self._ghost = Ghost(view, self.dismiss)
        self._shown: Offer | None = None
        self._asked = ""
        self._timer = 0  # counts waits; only the last one is acted upon
        self._era = 0  # counts ends; an answer to what was asked before one is not heard
        self._place: tuple[int, int | None] | None = None  # change count and caret
        self._dismissed: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)

    # --- what happens -------------------------------------------------------------------------

    def follow(self, edited: bool) -> None:
        """The text or the caret changed: keep the ghost if what was typed agrees, else ask anew."""
        place = self._view.change_count(), caret(self._view)
        if not edited and place == self._place:
            return  # the caret's part of an edit
        self._place = place
        self._timer += 1
        if self._shown:
            self._keep()
        if edited and self._shown is None:
            self._schedule()

    def leave(self) -> None:
        """The view is left or closed: nothing stays on the screen or under way."""
        self._timer += 1
        self._place = None
        self._finish("dismissed")
        self._cancel()

    def is_visible(self) -> bool:
        """Does a suggestion show that fits the text as it is now?"""
        return bool(self._shown and self._rest())

    def take(self, amount: str) -> str:
        """What to insert for "all", a "word" or a "line" of the suggestion, or ""."""
        rest = self._rest()
        if not self._shown or not rest:
            return ""
        text = part(rest, amount)
        self._shown.accepted += len(text)
        if text == rest:
            self._finish("accepted")
        return text

    def dismiss(self) -> None:
        """Take it off the screen, and do not offer it here again."""
        self._timer += 1
        self._cancel()
        rest = self._rest()
        if rest:
            self._dismissed.append((self._line_before(), rest))
        self._finish("dismissed")

    def trigger(self) -> None:
        """Ask now and for more lines, also where nothing is shown of itself."""
        self._dismissed.clear()
        if possible(self._view):
            lines, tokens = (number("trigger_" + what, self._view) for what in ("lines", "tokens"))
            self._ask({"max_lines": lines, "max_tokens": tokens}, explicit=True)

    def cycle(self, step: int) -> None:
        """Show another suggestion; the first time, alternatives have to be asked for."""
        if not self._shown or not self.is_visible():
            return
        if self._shown.alternatives:
            self._shown.turn(step, self._typed(self._shown.origin))
            self._draw()
        else:
            lines, tokens = self._shown.origin.max_lines, number("max_tokens", self._view)
            wish = {"max_lines": lines, "max_tokens": tokens, "candidates": ALTERNATIVES}
            self._ask(wish, explicit=True, step=step)

    # --- asking -------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Ask after a little rest; whether anything is wanted here is looked at only then."""
        timer = self._timer
        sublime.set_timeout(lambda: self._fire(timer), number("delay", self._view))

    def _fire(self, timer: int) -> None:
        """Undoing is no typing: it leaves something to be redone."""
        if timer != self._timer or not self._view.is_valid():
            return
        if automatic(self._view) and not self._view.command_history(1)[0]:
            wish = {name: number(name, self._view) for name in ("max_lines", "max_tokens")}
            self._ask(wish, explicit=False)

    def _ask(self, wish: dict[str, Any], explicit: bool, step: int = 0) -> None:
        point = caret(self._view)
        if point is None:
            return
        offer = Offer(self._origin(point, wish["max_lines"]), alternatives="candidates" in wish)
        request = dict(context.request(self._view, point), **wish)
        era = self._era
        self._asked = self._bridge.send(
            request,
            lambda reply: self._answer(offer, reply, explicit, step) if era == self._era else None,
        )
        self._changed()

    def _answer(self, offer: Offer, reply: dict[str, Any], explicit: bool, step: int) -> None:
        """A reply. What shows and still fits stays, unless the user asked for something else."""
        if reply.get("id") == self._asked:
            self._asked = ""
        texts = self._texts(reply)
        if not texts or not possible(self._view) or (self.is_visible() and not explicit):
            return
        offer.id, offer.texts, offer.index = str(reply["id"]), texts, step % len(texts)
        rest = None if self._is_stale(offer.origin) else offer.rest(self._typed(offer.origin))
        if rest and (explicit or (self._line_before(), rest) not in self._dismissed):
            self._show(offer)

    def _is_stale(self, origin: Origin) -> bool:
        """Was the text changed without the caret having moved on, as it does in typing?"""
        changed = self._view.change_count() != origin.change_count
        return changed and caret(self._view) == origin.point

    def _texts(self, reply: dict[str, Any]) -> list[str]:
        """The suggestions' texts, as they will stand in this buffer."""
        found = reply.get("suggestions") if reply.get("type") == "completion" else None
        given = [item.get("text") for item in found or () if isinstance(item, dict)]
        texts = [text.replace("\r\n", "\n") for text in given if text and isinstance(text, str)]
        if self._view.settings().get("translate_tabs_to_spaces"):  # as inserting them would
            texts = [text.replace("\t", " " * tab_size(self._view)) for text in texts]
        return texts

    def _cancel(self) -> None:
        self._era += 1
        if self._asked:
            self._bridge.tell({"type": "cancel", "target": self._asked})
            self._asked = ""

    # --- the suggestion on the screen ---------------------------------------------------------

    def _show(self, offer: Offer) -> None:
        before, self._shown = self._shown, offer
        if self._draw():
            self._tell(offer, "shown")
        else:
            self._shown = before

    def _keep(self) -> None:
        """Draw what is left of the suggestion, or end it."""
        rest = self._rest()
        if not (rest and possible(self._view) and self._draw()):
            self._finish("partly" if rest == "" else "dismissed")

    def _draw(self) -> bool:
        point, rest = caret(self._view), self._rest()
        return bool(rest) and point is not None and self._ghost.draw(rest or "", point)

    def _finish(self, event: str) -> None:
        """Take the suggestion off the screen and tell the daemon what became of it, once."""
        over, self._shown = self._shown, None
        self._ghost.clear()
        if over:
            self._tell(over, "partly" if event == "dismissed" and over.accepted else event)

    def _tell(self, offer: Offer, event: str) -> None:
        self._bridge.tell(
            {
                "type": "feedback",
                "target": offer.id,
                "event": event,
                "characters": offer.accepted,
                "candidate": offer.index,
            }
        )

    # --- the text -----------------------------------------------------------------------------

    def _origin(self, point: int, max_lines: int) -> Origin:
        view = self._view
        return Origin(
            point,
            self._line_before(),
            view.size(),
            view.change_count(),
            max_lines,
        )

    def _line_before(self) -> str:
        point = self._view.sel()[0].b
        return self._view.substr(sublime.Region(self._view.line(point).begin(), point))

    def _rest(self) -> str | None:
        """What the user has not yet typed of the suggestion; None where the text went elsewhere."""
        return self._shown.rest(self._typed(self._shown.origin)) if self._shown else None

    def _typed(self, origin: Origin) -> str | None:
        """The text between the suggestion's origin and the caret; None where that cannot be said:
        a change elsewhere, another caret, or a caret before or far behind the origin."""
        point = caret(self._view)
        if point is None or not 0 <= point - origin.point <= FARTHEST:
            return None
        if self._view.change_count() == origin.change_count:
            return "" if point == origin.point else None
        if self._view.size() - origin.size != point - origin.point:
            return None
        start = origin.point - len(origin.head)
        text = self._view.substr(sublime.Region(start, point))
        return text[len(origin.head) :] if text.startswith(origin.head) else None
