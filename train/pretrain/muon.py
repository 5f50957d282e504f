"""Muon for the matrices of the blocks, AdamW for embeddings and norms.

Muon: momentum, orthogonalised by a Newton–Schulz iteration (Jordan et al., 2024), scaled so that
AdamW's learning rates and weight decay carry over (Liu et al., "Muon is scalable", 2025). Matrices
of one shape go through the iteration together. Knows parameters; knows no model.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(stack: Tensor, steps: int = 5) -> Tensor:
    """(N, rows ≤ columns) matrices with their singular values moved towards 1, bfloat16."""
    a, b, c = COEFFICIENTS
    x = stack.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Muon over 2-D parameters; `weight_decay` is decoupled."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 2e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        compile: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._orthogonalise = (
            torch.compile(orthogonalise, dynamic=False) if compile else orthogonalise
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[min(p.shape), max(p.shape)].append(p)
            for members in shapes.values():
                self._update(members, group)

    def _update(self, members: list[Tensor], group: dict[str, float]) -> None:
        grads = [p.grad for p in members]
        buffers = [self._buffer(p) for p in members]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, grads)
        looked_ahead = torch._foreach_add(grads, buffers, alpha=group["momentum"])
        flat = torch.stack([g if g.shape[0] <= g.shape[1] else g.mT for g in looked_ahead])
        updates = self._orthogonalise(flat).float()
        rate = group["lr"] * 0.2 * max(members[0].shape) ** 0.5
        torch._foreach_mul_(members, 1 - group["lr"] * group["weight_decay"])
        for p, update in zip(members, updates.unbind(0), strict=True):
            p.add_(update if p.shape[0] <= p.shape[1] else update.mT, alpha=-rate)

    def _buffer(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        return state["momentum"]
