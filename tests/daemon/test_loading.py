"""A model folder is opened as fast as it can be: what takes long begins first."""

import threading
from typing import Any

import pytest

from autocoder.daemon import loading
from autocoder.daemon.protocol import Complete


def test_the_tokenizer_is_read_while_the_graph_is_being_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading it keeps the interpreter to itself; before the graph, it would only hold that up."""
    begun, read = threading.Event(), threading.Event()
    open_session, load_tokenizer = loading.open_session, loading.load_tokenizer

    def opening(*given: Any) -> Any:
        begun.set()
        assert read.wait(10)
        return open_session(*given)

    def reading(*given: Any) -> Any:
        assert begun.wait(10)
        read.set()
        return load_tokenizer(*given)

    monkeypatch.setattr(loading, "open_session", opening)
    monkeypatch.setattr(loading, "load_tokenizer", reading)
    completer = loading.load_completer(provider="cpu", hurry=True, repository=False)
    answer = completer.complete(Complete("for i in ran", language="python"), lambda: False)
    assert answer.suggestions[0].text.startswith("ge(")
