"""Attention that stays within a document, where a window packs several.

A packed window shows a token the documents before its own, which serving never does, and pays for
them: attention over 2,048 tokens where a sample has some 300. Every sample begins with a control
code, so the control codes tell where documents begin. On a GPU by FlexAttention (Dong et al.,
2024), which skips the blocks that hold no pair of one document; elsewhere by a mask. Rotary
positions are relative, so a document computes what it would alone. Knows no model.

An attention has two halves: `prepare` looks at a batch before the compiled step, `attend` is called
within it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autocoder.train.pretrain.model import Attend, causally

BLOCK = 128


def documents_of(ids: Tensor, controls: Sequence[int]) -> Tensor:
    """The number of each token's document in its window: (B, T) to (B, T) int32, ascending."""
    begins = torch.zeros_like(ids, dtype=torch.bool)
    for control in controls:
        begins |= ids == control
    return begins.cumsum(dim=1, dtype=torch.int32)


class WholeWindow:
    """Plain causal attention; documents do not matter."""

    def prepare(self, ids: Tensor) -> None:
        return None

    def attend(self, found: None) -> Attend:
        return causally


class Masked:
    """Any device: a mask over all pairs of tokens, (B, 1, T, T) bool."""

    def __init__(self, controls: Sequence[int]) -> None:
        self._controls = tuple(controls)

    def prepare(self, ids: Tensor) -> Tensor:
        documents = documents_of(ids, self._controls)
        same = documents[:, None, :, None] == documents[:, None, None, :]
        return same & torch.ones(same.shape[-2:], dtype=torch.bool, device=ids.device).tril()

    def attend(self, found: Tensor) -> Attend:
        return partial(_masked, found)


def _masked(mask: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


class Blocks:
    """A GPU: FlexAttention over blocks of 128 × 128 tokens. T must be a multiple of 128."""

    def __init__(self, controls: Sequence[int]) -> None:
        from torch.nn.attention.flex_attention import flex_attention

        self._controls = tuple(controls)
        self._flex = flex_attention

    def prepare(self, ids: Tensor) -> Any:
        """The block mask. Documents ascend, so block j holds a token that block i may see where
        j's last document is not before i's first: no need to look at every pair of tokens."""
        from torch.nn.attention.flex_attention import BlockMask

        documents = documents_of(ids, self._controls)
        first, last = documents[:, ::BLOCK], documents[:, BLOCK - 1 :: BLOCK]
        wanted = (last[:, None, :] >= first[:, :, None]).tril()  # (B, rows of blocks, columns)
        whole = (first[:, None, :] == last[:, :, None]).tril(-1)  # every pair counts: no mask

        def seen(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (q >= k) & (documents[b, q] == documents[b, k])

        parts = (*_listed(wanted & ~whole), *_listed(whole))
        return BlockMask.from_kv_blocks(*parts, BLOCK_SIZE=BLOCK, mask_mod=seen)

    def attend(self, found: Any) -> Attend:
        return partial(self._flex, block_mask=found, enable_gqa=True)


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """For each row how many blocks, and which first: (B, 1, R) and (B, 1, R, R) int32."""
    columns = blocks.int().argsort(dim=-1, descending=True, stable=True)
    return blocks.sum(-1, dtype=torch.int32)[:, None], columns.int()[:, None]


Attention = WholeWindow | Masked | Blocks


def attention_for(device: torch.device, controls: Sequence[int], within: bool) -> Attention:
    """What suits a device; `within` asks for attention within documents."""
    if not within:
        return WholeWindow()
    return Blocks(controls) if device.type == "cuda" else Masked(controls)
