"""Opens the kernel that a model may have for passes of few tokens (`cuda_kernel.py`).

Compiling takes two seconds, in which the graphs are opened. Whatever goes wrong is logged, and the
graphs serve alone.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from autocoder.daemon.cuda_driver import Device, compiled
from autocoder.daemon.cuda_graph import StepGraph
from autocoder.daemon.cuda_kernel import RECORD, SOURCE, Kernel, KernelRecord
from autocoder.daemon.errors import ModelError
from autocoder.daemon.side_by_side import Begun

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compiling:
    """A kernel under way to the device."""

    record: KernelRecord
    device: Device
    image: Begun[bytes]


def compiling(step: Path) -> Compiling | None:
    """Begin to compile the kernel that lies beside a step's graph, if one does."""
    path = step.with_name(RECORD)
    if not path.exists():
        return None
    try:
        record, device = KernelRecord.read(path), Device()
        name = device.architecture.name
        return Compiling(record, device, Begun(lambda: compiled(SOURCE, name, record.macros)))
    except (ModelError, AttributeError) as error:  # an old driver lacks a function
        logger.warning("no kernel for few tokens: %s", error)
        return None


def give_kernel(graph: StepGraph, begun: Compiling | None) -> None:
    """Let a graph's passes of few tokens run in the kernel, once that is compiled."""
    if begun is None:
        return
    try:
        image, blocks = begun.image.result(), begun.device.architecture.processors
        graph.take_kernel(
            lambda buffers: Kernel(begun.record, image, buffers, begun.device, blocks)
        )
    except Exception as error:  # the runtime has an exception class for each status code
        logger.warning("no kernel for few tokens: %s", error)
