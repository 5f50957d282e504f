"""Warm-up, stable, decay: the learning rate's share of its peak at each step.

Hu et al., "MiniCPM", 2024 (WSD). A function of the step alone.
"""

from autocoder.train.pretrain.recipe import Training


def share(step: int, training: Training) -> float:
    """0…1 for step 0, 1, …"""
    start = decay_start(training)
    if step < training.warm_up:
        return (step + 1) / training.warm_up
    if step < start:
        return 1.0
    left = (training.steps - step) / max(1, training.steps - start)
    return training.final_lr + (1 - training.final_lr) * left


def decay_start(training: Training) -> int:
    """The first step of the decay."""
    return training.steps - int(training.steps * training.decay)
