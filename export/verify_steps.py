"""Checks the graphs that CUDA serves with against the plain one: they must choose as it would.

On CUDA where there is one, else on the CPU. Knows an exported folder and the plain graph's logits;
knows no torch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from autocoder.daemon.cuda_graph import StepGraph
from autocoder.daemon.cuda_weights import hand_over_spread
from autocoder.daemon.errors import ModelError
from autocoder.export.cuda_step import STEP
from autocoder.export.cuda_wide import WIDE
from autocoder.export.decoder_session import CUDA, options

PIECE = 16  # tokens of a chunk, every row of which is looked at
MOST_TOKENS = 64  # of a window


def check_steps(
    folder: Path, windows: Sequence[list[int]], logits: Sequence[NDArray[np.float32]], share: float
) -> int:
    """How many tokens were compared: in chunks, and one by one beside another sequence.

    `logits` (T, V) are the plain graph's of each window; a token may lie below the best by `share`
    of the largest logit. Raises ModelError beyond.
    """
    device = "cuda" if CUDA in ort.get_available_providers() else "cpu"
    wide = _opened(folder / f"{WIDE}.onnx", device) if (folder / f"{WIDE}.onnx").exists() else None
    narrow = _opened(folder / f"{STEP}.onnx", device)
    compared, capacity = 0, min(MOST_TOKENS, max(map(len, windows[:2])))
    for session in (None, wide) if wide else (None,):
        graph = StepGraph(narrow, capacity, 2, wide=session, device=device, captures=False)
        for ids, rows in zip(windows[:2], logits[:2], strict=True):
            compared += _compare(graph, ids[:MOST_TOKENS], rows, share)
    return compared


def _opened(path: Path, device: str) -> Any:
    chosen = options()
    record = path.with_suffix(".json")
    made = hand_over_spread(record, chosen) if record.exists() else None
    provider = CUDA if device == "cuda" else "CPUExecutionProvider"
    session = ort.InferenceSession(str(path), chosen, providers=[provider])
    del made
    return session


def _compare(graph: StepGraph, ids: list[int], rows: NDArray[np.float32], share: float) -> int:
    for start in range(0, len(ids), PIECE):
        piece = ids[start : start + PIECE]
        for at, chosen in enumerate(graph.chunk(0, start, piece, rows=len(piece)), start):
            _refuse(rows[at], chosen.token, share)
    for place, token in enumerate(ids[:PIECE]):
        fed = {0: (token, place), 1: (token, place)}
        told = graph.step(fed, lambda start, stop: [ids[0]] * (stop - start))
        for chosen in told.values():
            _refuse(rows[place], chosen.token, share)
    return len(ids) + 2 * len(ids[:PIECE])


def _refuse(row: NDArray[np.float32], token: int, share: float) -> None:
    gap = float(row.max() - row[token])
    if not gap <= share * float(np.abs(row).max()):
        raise ModelError(
            f"CUDA's graph for serving chose token {token}, {gap:.3f} below the best logit of "
            "cuda.onnx; not written. The graph is wrong: please report it with the config.json"
        )
