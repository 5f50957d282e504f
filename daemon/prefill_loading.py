"""Opens the prefill graph while the daemon already answers: the first suggestion must not wait.

Whatever goes wrong in the thread is logged, and prompts are then as slow as they were. Knows graphs
and files; knows no prompt.
"""

import logging
import threading
import weakref
from pathlib import Path

from autocoder.daemon.engine_graph import OnnxGraph
from autocoder.daemon.engine_session import open_prefill
from autocoder.daemon.memory import trim

logger = logging.getLogger(__name__)


class PrefillLoading:
    """Gives `graph` its prefill session, at once or in a thread; `done` is set when that is over.

    A graph that was dropped meanwhile is not kept alive.
    """

    def __init__(self, graph: OnnxGraph, path: Path, threads: int) -> None:
        self.done = threading.Event()
        self._graph = weakref.ref(graph)
        self._path = path
        self._threads = threads
        self._begun = False

    def start(self) -> None:
        """Begin in a thread, once."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._in_thread, name="prefill", daemon=True).start()

    def load(self) -> None:
        """Do it now. Raises ModelError."""
        session = open_prefill(self._path, self._threads)
        if (graph := self._graph()) is not None:
            graph.widen(session)
        trim()

    def _in_thread(self) -> None:
        try:
            self.load()
        except Exception:  # the thread's outer edge
            logger.exception("no graph for long prompts")
        finally:
            self.done.set()
