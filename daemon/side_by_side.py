"""Work begun in a thread of its own, whose result is asked for later. Knows nothing of the work."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Begun(Generic[Result]):
    """`work`, begun at once; most of it should be native code, which lets other threads run."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._results: list[Result] = []
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except Exception as error:  # raised where the result is asked for
            self._error = error

    def result(self) -> Result:
        """Wait for it. Raises what the work raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._results[0]
