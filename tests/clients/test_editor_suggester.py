"""When suggestions are asked for, which answers show, and that failures stay in the status bar."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prompt_toolkit.document import Document

from autocoder.clients.editor.suggester import MAX_PREFIX, MAX_SUFFIX, Suggester, cut_prefix
from autocoder.daemon.errors import DaemonError
from autocoder.daemon.protocol import (
    Cancelled,
    Complete,
    Completion,
    Greeting,
    ModelInfo,
    Suggestion,
)

MODEL = ModelInfo("fake", "0" * 64, "/nowhere", ("python",), 512, True)


class FakeClient:
    """Answers by the end of the prefix, after `delay_s`; an exception as an answer is raised."""

    def __init__(self, answers: dict[str, list[str] | Exception], delay_s: float = 0.0) -> None:
        self.answers, self.delay_s = answers, delay_s
        self.requests: list[Complete] = []
        self.told: list[tuple[str, str, int]] = []
        self.greeting: Greeting | None = None
        self.failures: list[Exception] = []

    async def connect(self) -> Greeting:
        self.greeting = Greeting("0", 1, "CPUExecutionProvider", MODEL)
        return self.greeting

    async def close(self) -> None:
        pass

    def new_id(self) -> str:
        return str(len(self.requests) + 1)

    async def complete(self, request: Complete, *, id: str | None = None) -> Completion:
        self.requests.append(request)
        await asyncio.sleep(self.delay_s)
        if self.failures:
            raise self.failures.pop(0)
        found = next((a for end, a in self.answers.items() if request.prefix.endswith(end)), [])
        if isinstance(found, Exception):
            raise found
        texts = found[: request.candidates]
        return Completion(tuple(Suggestion(text, 0.5, (0.5,), "line") for text in texts))

    async def feedback(
        self, target: str, event: str, *, characters: int = 0, candidate: int = 0
    ) -> None:
        self.told.append((target, event, characters))


def at_end(text: str) -> Document:
    return Document(text, len(text))


def run(
    story: Callable[[Suggester, FakeClient], Awaitable[None]],
    answers: dict[str, list[str] | Exception],
    delay_s: float = 0.0,
) -> FakeClient:
    client = FakeClient(answers, delay_s)

    async def main() -> None:
        suggester = Suggester(client, "a.py", "a.py", "python", delay_s=0.001)
        await story(suggester, client)
        await suggester.close()

    asyncio.run(main())
    return client


async def until(seen: Callable[[], object]) -> None:
    for _ in range(1000):
        if seen():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never happened")


RANGE: dict[str, list[str] | Exception] = {"for i in ran": ["ge(10):", "dom():"]}


def test_an_edit_is_answered_and_told_as_shown() -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        document = at_end("for i in ran")
        suggester.text_changed(document)
        await until(lambda: suggester.ghost(document))
        assert suggester.ghost(document) == "ge(10):"
        assert suggester.state.latency_ms is not None

    client = run(story, RANGE)
    assert client.requests[0].document == "a.py" and client.requests[0].language == "python"
    assert client.told == [("1", "shown", 0)]


def test_typing_on_cancels_the_older_request() -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        for text in ("fo", "for", "for i in ran"):
            suggester.text_changed(at_end(text))
        await until(lambda: suggester.ghost(at_end("for i in ran")))

    assert [request.prefix for request in run(story, RANGE).requests] == ["for i in ran"]


def test_typing_through_asks_nothing() -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        suggester.text_changed(at_end("for i in ran"))
        await until(lambda: suggester.offer)
        for text in ("for i in rang", "for i in range(1", "for i in range("):
            suggester.text_changed(at_end(text))
            await asyncio.sleep(0.01)
            assert suggester.ghost(at_end(text))

    assert len(run(story, RANGE).requests) == 1


def test_an_answer_to_another_text_never_shows() -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        suggester.text_changed(at_end("for i in ran"))
        await asyncio.sleep(0.01)
        suggester.cursor_moved(Document("for i in ran", 3))
        await asyncio.sleep(0.05)
        assert not suggester.ghost(Document("for i in ran", 3))
        assert not suggester.ghost(at_end("for i in rant"))

    run(story, RANGE, delay_s=0.02)


def test_a_dismissed_suggestion_is_not_offered_again_there() -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        suggester.text_changed(at_end("for i in ran"))
        await until(lambda: suggester.offer)
        suggester.dismiss(at_end("for i in ran"))
        client.answers = {"for i in rang": ["e(10):"]}
        suggester.text_changed(at_end("for i in rang"))
        await until(lambda: len(client.requests) == 2)
        await asyncio.sleep(0.02)
        assert not suggester.ghost(at_end("for i in rang"))
        suggester.trigger(at_end("for i in rang"))
        await until(lambda: suggester.ghost(at_end("for i in rang")))

    assert ("1", "dismissed", 0) in run(story, RANGE).told


def test_accepting_by_word_then_all_is_told() -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        suggester.text_changed(at_end("for i in ran"))
        await until(lambda: suggester.offer)
        assert suggester.take(at_end("for i in ran"), "word") == "ge"
        assert suggester.take(at_end("for i in range"), "all") == "(10):"
        suggester.text_changed(at_end("for i in range(10):"))
        await asyncio.sleep(0.02)

    client = run(story, RANGE)
    assert client.told[1:] == [("1", "partly", 2), ("1", "accepted", 5)]
    assert len(client.requests) == 1, "a line that was just accepted is not continued at once"


def test_the_next_candidate_is_fetched_when_asked_for() -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        document = at_end("for i in ran")
        suggester.text_changed(document)
        await until(lambda: suggester.offer)
        suggester.turn(document, 1)
        await until(lambda: suggester.ghost(document) == "dom():")
        suggester.turn(document, -1)
        assert suggester.ghost(document) == "ge(10):"

    assert [request.candidates for request in run(story, RANGE).requests] == [1, 4]


def test_the_successor_of_a_daemon_that_died_is_asked_at_once() -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        client.failures = [DaemonError("the daemon ended")]
        suggester.text_changed(at_end("xx"))
        await until(lambda: suggester.ghost(at_end("xx")))
        assert suggester.state.trouble == ""

    assert len(run(story, {"xx": ["y"]}).requests) == 2


@pytest.mark.parametrize(
    ("error", "times"), [(DaemonError("no daemon"), 2), (ZeroDivisionError("bug"), 1)]
)
def test_failures_are_told_in_the_state_and_asked_less_often(error: Exception, times: int) -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        suggester.text_changed(at_end("xx"))
        await until(lambda: suggester.state.trouble)
        assert str(error) in suggester.state.trouble
        for _ in range(5):
            suggester.text_changed(at_end("xx"))
            await asyncio.sleep(0.005)
        assert len(client.requests) == times
        client.answers = {"xx": ["y"]}
        suggester.trigger(at_end("xx"))
        await until(lambda: suggester.ghost(at_end("xx")))
        assert suggester.state.trouble == ""

    run(story, {"xx": error})


def test_cancelled_requests_are_no_trouble() -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        suggester.text_changed(at_end("xx"))
        await until(lambda: client.requests)
        await asyncio.sleep(0.02)
        assert not suggester.state.trouble and not suggester.state.asking

    run(story, {"xx": Cancelled()})


def test_switched_off_it_asks_nothing() -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        suggester.enable(False)
        suggester.text_changed(at_end("for i in ran"))
        await asyncio.sleep(0.02)

    assert run(story, RANGE).requests == []


def test_long_texts_are_cut_at_a_line_start_that_stays_put() -> None:
    text = "".join(f"line number {n}\n" for n in range(10_000))
    starts = {len(text) + n - len(cut_prefix(text + "x" * n)) for n in range(2000)}
    assert len(starts) <= 2
    assert all(text[start - 1] == "\n" for start in starts)
    assert len(cut_prefix(text)) <= MAX_PREFIX
    assert len(cut_prefix("y" * 100_000)) <= MAX_PREFIX


def test_what_is_sent_is_valid_text_and_not_too_much() -> None:
    async def story(suggester: Suggester, client: FakeClient) -> None:
        suggester.text_changed(Document("a\udcff\n" + "\udc80" * 20_000, 3))
        await until(lambda: client.requests)

    [request] = run(story, {}).requests
    assert request.prefix == "a?\n"
    assert len(request.suffix.encode()) == MAX_SUFFIX
