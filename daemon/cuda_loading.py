"""Opens a model's graphs for serving on CUDA, and falls back where that cannot be done.

A graph whose CUDA graph cannot be captured is served without; lanes that do not fit are halved.
Knows graph files and sessions; knows no request.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autocoder.daemon.completer import ModelCompleter
from autocoder.daemon.cuda_choice import Chooser, Wish
from autocoder.daemon.cuda_completer import CudaCompleter
from autocoder.daemon.cuda_graph import StepGraph
from autocoder.daemon.cuda_kernel_loading import compiling, give_kernel
from autocoder.daemon.cuda_weights import hand_over_spread
from autocoder.daemon.detokenizer import Detokenizer
from autocoder.daemon.engine_runtime import import_runtime
from autocoder.daemon.engine_session import CUDA, NO_CUDA, open_on_cuda
from autocoder.daemon.engine_threads import thread_count
from autocoder.daemon.errors import CudaFailed, ModelError
from autocoder.daemon.prompt import PromptBuilder
from autocoder.daemon.protocol import ModelInfo
from autocoder.daemon.repository_index import RepositoryIndex

logger = logging.getLogger(__name__)

STEP, CHOOSE, WIDE = "cuda-step", "cuda-choose", "cuda-wide"
CAPTURING = {"enable_cuda_graph": "1"}
# Switches of ONNX Runtime's attention: one kernel slower than those it has besides, as measured on
# the bundled model. Models of other kinds, which have no kernel of ours either, keep its defaults.
QUICKER = {"ORT_ENABLE_XQA": "0"}
LANE_BYTES = 2**29  # of the device's memory for the lanes at least
MOST_LANES = 1024
FEWEST_LANES = 2


@dataclass(frozen=True)
class OpenDevice:
    """What serves on CUDA."""

    graph: StepGraph
    chooser: Chooser


def device_or_none(
    graphs: Mapping[str, Path], provider: str, capacity: int, threads: int | None, cache_bytes: int
) -> OpenDevice | None:
    """What serves on CUDA if it is wanted, there, and the model has the graphs; why not is logged.

    Raises ModelError where the runtime is missing or doubled, ConfigError for bad threads.
    """
    if provider == "cpu" or not {STEP, CHOOSE} <= set(graphs):
        return None
    import_runtime()
    try:
        lane_bytes = max(cache_bytes, LANE_BYTES)
        return open_device(graphs, capacity, thread_count(threads), lane_bytes=lane_bytes)
    except ModelError as error:
        logger.info("not served in lanes on CUDA: %s", error)
        return None


def serving(
    device: OpenDevice,
    builder: PromptBuilder,
    detokenizer: Detokenizer,
    info: ModelInfo,
    on_cpu: Callable[[str], ModelCompleter],
    index: RepositoryIndex | None = None,
) -> CudaCompleter:
    """A completer on CUDA; `on_cpu` makes the one that takes its place where the device fails."""
    completer = CudaCompleter(
        device.graph, device.chooser, builder, detokenizer, info, provider=CUDA, index=index
    )
    completer.on_cpu = lambda reason: on_cpu(f"CUDA failed: {reason}")
    return completer


def open_device(
    graphs: Mapping[str, Path],
    capacity: int,
    threads: int,
    *,
    lane_bytes: int = LANE_BYTES,
    captures: bool = True,
) -> OpenDevice:
    """Open `cuda-step` and `cuda-choose` of a model with as many lanes as `lane_bytes` hold.

    Raises ModelError, with the reason, where there is no CUDA or it does not do.
    """
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        raise ModelError(NO_CUDA)
    try:
        graph = _stepping(graphs, capacity, threads, lane_bytes, captures)
    except ModelError as error:
        if not captures:
            raise
        logger.warning("no CUDA graph can be captured: %s", error)
        return open_device(graphs, capacity, threads, lane_bytes=lane_bytes, captures=False)
    return OpenDevice(graph, _choosing(graphs[CHOOSE], graph.logits, threads, captures))


def _choosing(path: Path, logits: Any, threads: int, captures: bool) -> Chooser:
    """Captured if that can be, whatever the steps are."""
    try:
        chooser = Chooser(
            open_on_cuda(path, threads, CAPTURING if captures else {}), logits, captures=captures
        )
        for _ in range(3):  # the runtime captures at a second or third run
            chooser.choose([Wish(0)])
    except ModelError as error:
        if not captures:
            raise
        logger.warning("choosing cannot be captured: %s", error)
        return _choosing(path, logits, threads, False)
    return chooser


def _stepping(
    graphs: Mapping[str, Path], capacity: int, threads: int, lane_bytes: int, captures: bool
) -> StepGraph:
    settings: Mapping[str, str] = CAPTURING if captures else {}
    kernel = compiling(graphs[STEP])
    for name, value in QUICKER.items() if kernel else ():
        os.environ.setdefault(name, value)
    session = open_on_cuda(graphs[STEP], threads, settings)
    wide = _wide(graphs, threads, settings)
    graph = with_lanes(session, capacity, lane_bytes, wide=wide, captures=captures)
    give_kernel(graph, kernel)
    graph.warm_up()  # what cannot run fails now
    return graph


def _wide(graphs: Mapping[str, Path], threads: int, settings: Mapping[str, str]) -> Any | None:
    """A session of the graph for many tokens; without it they take a little longer."""
    if WIDE not in graphs:
        return None
    record = graphs[WIDE].with_suffix(".json")
    try:
        return open_on_cuda(graphs[WIDE], threads, settings, partial(hand_over_spread, record))
    except ModelError as error:
        logger.warning("no graph for many tokens on CUDA: %s", error)
        return None


def with_lanes(session: Any, capacity: int, lane_bytes: int, **options: Any) -> StepGraph:
    """A graph with the lanes that `lane_bytes` hold, or half of them, and so on, until they fit."""
    one = StepGraph(session, capacity, 1, **options).bytes
    lanes = max(FEWEST_LANES, min(MOST_LANES, lane_bytes // one))
    while True:
        try:
            return StepGraph(session, capacity, lanes, **options)
        except CudaFailed:
            if lanes <= FEWEST_LANES:
                raise
            lanes = max(FEWEST_LANES, lanes // 2)
