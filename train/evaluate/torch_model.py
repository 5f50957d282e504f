"""A checkpoint as a batched model: slots of keys and values, read by transformers' own layers.

The keys and values of all slots lie in one pair of tensors per layer, (slots, K, capacity + 1, H).
A batch writes its new ones behind what its slots hold and attends under a mask of its own, so
sequences of any lengths share a batch and only the new tokens are padded. Attention, positions and
norms are those of transformers, 4.57 and 5.x alike. Knows torch and token ids; knows no text.
"""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from transformers import DynamicCache

from autocoder.train.evaluate.batching import Pass

Tensor = torch.Tensor


class Store:
    """Keys and values of every layer and slot; the last place of a slot takes what is padding."""

    def __init__(self, slots: int, capacity: int) -> None:
        self.slots, self.capacity = slots, capacity
        self._layers: list[tuple[Tensor, Tensor]] = []

    def layer(self, number: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """The pair of a layer, made when it is first asked for, after the pattern of new keys."""
        while len(self._layers) <= number:
            shape = (self.slots, like.shape[1], self.capacity + 1, like.shape[3])
            self._layers.append((like.new_zeros(shape), like.new_zeros(shape)))
        return self._layers[number]


class SlotCache(DynamicCache):
    """What transformers' attention sees of the store in one batch."""

    def __init__(self, store: Store, slots: Tensor, places: Tensor, length: int) -> None:
        super().__init__()
        self._store = store
        self._slots = slots  # (B,)
        self._places = places  # (B, T) where the new tokens' keys and values go
        self._length = length  # tokens of the cache that any query may see

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Take the new (B, K, T, H); give all that may be seen, (B, K, length, H)."""
        kept = self._store.layer(layer_idx, key_states)
        for new, place in zip((key_states, value_states), kept, strict=True):
            place[self._slots[:, None], :, self._places] = new.transpose(1, 2)
        keys, values = (place[self._slots, :, : self._length] for place in kept)
        return keys, values


class TorchModel:
    """A transformers causal language model as `batching.Batched`, with room for `slots` sequences
    of `capacity` tokens."""

    def __init__(self, model: Any, *, slots: int, capacity: int) -> None:
        self.capacity = capacity
        self.device = next(model.parameters()).device
        self.dtype = next(model.parameters()).dtype
        self._body = model.base_model
        self._head = model.get_output_embeddings()
        taken = signature(self._body.forward).parameters  # transformers 5 renames the cache
        self._cache_name = "cache" if "cache" in taken else "past_key_values"
        self._store = Store(slots, capacity)

    @torch.inference_mode()
    def run(self, passes: Sequence[Pass]) -> None:
        """Set the logits (T, V) float32 of every pass."""
        lengths = [len(each.ids) for each in passes]
        ids = np.zeros((len(passes), max(lengths)), np.int64)
        for row, each in zip(ids, passes, strict=True):
            row[: len(each.ids)] = each.ids
        hidden = self._hidden(torch.from_numpy(ids), passes)
        for each, row in zip(passes, self._last_logits(hidden, lengths), strict=True):
            each.logits = row[None]

    def _last_logits(self, hidden: Tensor, lengths: list[int]) -> NDArray[np.float32]:  # (B, V)
        rows = torch.arange(len(lengths), device=self.device)
        logits = self._head(hidden[rows, self._numbers(lengths) - 1])
        result: NDArray[np.float32] = logits.float().cpu().numpy()
        return result

    def _hidden(self, ids: Tensor, passes: Sequence[Pass]) -> Tensor:  # (B, T, C)
        new = torch.arange(ids.shape[1], device=self.device)
        past = self._numbers([each.past for each in passes])
        ends = past + self._numbers([len(each.ids) for each in passes])
        at = past[:, None] + new
        length = int(ends.max())
        real = at < ends[:, None]
        cache = SlotCache(
            self._store,
            self._numbers([each.slot for each in passes]),
            at.where(real, torch.full_like(at, self.capacity)),
            length,
        )
        unseen = torch.arange(length, device=self.device) > at[:, :, None]
        mask = torch.zeros(unseen.shape, dtype=self.dtype, device=self.device)
        mask = mask.masked_fill(unseen, torch.finfo(self.dtype).min)
        hidden: Tensor = self._body(
            input_ids=ids.to(self.device),
            attention_mask=mask[:, None],
            position_ids=at.clamp(max=self.capacity - 1),
            use_cache=True,
            **{self._cache_name: cache},
        ).last_hidden_state
        return hidden

    def _numbers(self, numbers: Sequence[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self.device)

    @torch.inference_mode()
    def nats(self, sequences: Sequence[Sequence[int]], known: Sequence[int]) -> list[float]:
        """Summed −log p of ids[known:] of each sequence, all in one batch padded at the right."""
        ids = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.long)
        wanted = torch.full_like(ids, -100)
        for row, (tokens, start) in enumerate(zip(sequences, known, strict=True)):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            wanted[row, start : len(tokens)] = torch.tensor(tokens[start:])
        hidden = self._body(input_ids=ids.to(self.device), use_cache=False).last_hidden_state
        return [
            float(F.cross_entropy(self._head(h[:-1]).float(), w[1:], reduction="sum"))
            for h, w in zip(hidden, wanted.to(self.device), strict=True)
        ]
