"""Opens an ONNX Runtime session: which provider, how many threads, with which settings.

CUDA is tried first where the runtime has it, and taken only if it really initialises; otherwise
the CPU serves, and the reason is kept for `status` and `doctor`. Knows graph files; knows no text.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autocoder.daemon.engine_graph import OnnxGraph
from autocoder.daemon.engine_prefill import hand_over
from autocoder.daemon.engine_runtime import RUNTIMES, import_runtime
from autocoder.daemon.engine_threads import thread_count
from autocoder.daemon.errors import ConfigError, ModelError

logger = logging.getLogger(__name__)

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# Installing autocoder[cuda] beside the CPU's package would leave two that overwrite each other.
NO_CUDA = (
    "the installed ONNX Runtime has no CUDA; for an NVIDIA GPU run "
    f"`pip uninstall -y {' '.join(RUNTIMES)}`, then `pip install 'autocoder[cuda]'`"
)
LINGERING_US = 500  # longer than what lies between two tokens, and soon over
PREFILL = "cpu-prefill"  # the name of the CPU's graph for many tokens at once


@dataclass(frozen=True)
class OpenSession:
    """A session, the provider that serves it, and why that is not CUDA ("" if it is)."""

    session: Any
    provider: str
    reason: str
    threads: int


def open_session(
    graphs: Mapping[str, Path], provider: str = "auto", threads: int | None = None
) -> OpenSession:
    """Open the best of `graphs`, which maps "cpu" and "cuda" to files.

    `provider` is "auto", "cpu" or "cuda"; where "cuda" cannot be had the CPU serves, and says why.
    Raises ConfigError for another provider and for a bad number of threads, and ModelError where
    the runtime is missing, doubled, or refuses the graph.
    """
    if provider not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"provider {provider!r}: choose auto, cpu or cuda")
    import_runtime()
    count = thread_count(threads)
    reason = "" if provider != "cpu" else "the CPU was asked for"
    if provider != "cpu":
        session, reason = _try_cuda(graphs.get("cuda"), count)
        if session is not None:
            return OpenSession(session, CUDA, "", count)
        if provider == "cuda":
            reason = f"CUDA was asked for, but {reason}"
            logger.warning("%s", reason)
    if "cpu" not in graphs:
        raise ModelError(f"the model folder has no cpu.onnx, and {reason}; export one for the CPU")
    return OpenSession(_create_on_cpu(graphs["cpu"], count), CPU, reason, count)


def open_prefill(graph: Path, threads: int) -> Any:
    """A session on the CPU of a graph for many tokens, its weights made now (`engine_prefill`).

    Takes a third of a second and some 45 MB for 60 M parameters. Raises ModelError.
    """
    import_runtime()
    options = session_options(threads, lingers=False)  # the other graph's threads come next
    made = hand_over(graph.with_suffix(".json"), options)
    session = _open(graph, options, [CPU])
    del made  # the session has its own by now
    return session


def open_on_cuda(
    graph: Path,
    threads: int,
    settings: Mapping[str, str] | None = None,
    hand_over: Callable[[Any], Any] = lambda options: None,
) -> Any:
    """A session on CUDA, with further `settings` of its provider; `hand_over` gives its options
    the weights that the graph lacks. Raises ModelError."""
    import onnxruntime

    _preload_cuda_libraries(onnxruntime)
    chosen = {"device_id": "0", "arena_extend_strategy": "kSameAsRequested", **(settings or {})}
    options = session_options(threads, lingers=False)
    made = hand_over(options)
    session = _open(graph, options, [(CUDA, chosen), CPU])
    del made  # the session has its own by now
    if session.get_providers()[0] != CUDA:
        raise ModelError("CUDA did not start: no usable GPU, or its libraries do not load")
    return session


def _try_cuda(graph: Path | None, threads: int) -> tuple[Any | None, str]:
    """A session on CUDA, or None and the reason why there is none."""
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        return None, NO_CUDA
    if graph is None:
        return None, "the model folder has no cuda.onnx"
    try:
        session = open_on_cuda(graph, threads)
        _run_once(session)
    except ModelError as error:
        return None, str(error)
    return session, ""


def _run_once(session: Any) -> None:
    """One token: a GPU that the kernels were not built for, or without memory, fails only here."""
    graph = OnnxGraph(session, capacity=64, cuda=True)
    graph.run(graph.new_cache(), 0, np.zeros(1, np.int64))


def _preload_cuda_libraries(onnxruntime: Any) -> None:
    """Load CUDA and cuDNN from their own wheels, where they are not on the system's path."""
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        preload()


def _create_on_cpu(graph: Path, threads: int) -> Any:
    import onnxruntime

    options = session_options(threads)
    # What lies beyond is the layout of convolutions, and looking for them takes ten milliseconds.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    return _open(graph, options, [CPU])


def _open(graph: Path, options: Any, providers: list[Any]) -> Any:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=providers)
    except Exception as error:  # the runtime has an exception class for each status code
        raise ModelError(f"ONNX Runtime cannot open {graph}: {error}") from error


def session_options(threads: int, *, lingers: bool = True) -> Any:
    """The settings of every session. `lingers`: its threads wait for the next pass for a moment."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Threads that spin between two operators save a quarter of a token's time, and between two
    # passes a twentieth; those that go on spinning would heat an idle machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(LINGERING_US))
    options.add_session_config_entry("session.force_spinning_stop", str(int(not lingers)))
    return options
