"""The float16 weights of CUDA's graph for many tokens, spread out at load from the stored blocks.

Twice to four times the bytes of the blocks, but on the device only, and a product there need not
spread them out itself (`autocoder.export.cuda_wide`). Knows the stored grid and arrays; knows no
transformer.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.engine_prefill import PrefillWeights, StoredProduct, blocks


def hand_over_spread(record: Path, options: Any) -> tuple[Any, ...]:
    """Let session options give a graph the weights that it lacks: `.half` (K, N) float16 each.

    Keep the result until the session is made, which copies what it needs. Raises ModelError.
    """
    from onnxruntime import OrtValue

    names, arrays = zip(*_spread_out(PrefillWeights.read(record)), strict=True)
    values = [OrtValue.ortvalue_from_numpy(array) for array in arrays]
    options.add_external_initializers(list(names), values)
    return arrays, values


def _spread_out(weights: PrefillWeights) -> Iterator[tuple[str, NDArray[np.float16]]]:
    stored = np.memmap(weights.file, np.uint8, "r")
    for product in weights.products:
        yield f"{product.name}.half", spread(stored, product)


def spread(stored: NDArray[np.uint8], product: StoredProduct) -> NDArray[np.float16]:
    """A product's weight (K, N) as the kernels see it: step times scale, in float16."""
    steps, scales = blocks(stored, product)
    values = steps.astype(np.float16) * scales.astype(np.float16)[..., None]
    return np.ascontiguousarray(values.reshape(product.rows, product.columns).T)
