"""Losses by task and throughput between two log entries, summed where the numbers are and read only when logged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

UNNAMED = "other"


class LossMeter:
    """Sums of weighted cross-entropies and of weights, for every task."""

    def __init__(self, device: torch.device):
        self.tasks: dict[str, int] = {}
        kind = torch.float32 if device.type == "mps" else torch.float64  # Metal has no float64
        self.sums = torch.zeros(0, 2, dtype=kind, device=device)  # (task, [loss, weight])

    def add(self, batch: Mapping[str, Any], per_target: Tensor) -> None:
        """Count a batch; nothing waits for the device.

        Args:
            batch: `rows` `(target,)`, the question that each target belongs to; `weights` `(target,)`; `tasks`, one
                name per question.
            per_target: `(target,)` cross-entropies.
        """
        if not len(per_target):
            return
        numbers = torch.tensor([self._number(task) for task in batch["tasks"]], dtype=torch.long)
        owners = numbers.to(self.sums.device, non_blocking=True)[batch["rows"]]  # (target,)
        weights = batch["weights"].to(self.sums.dtype)
        self.sums.index_add_(0, owners, torch.stack([weights * per_target, weights], dim=1))

    def state(self) -> dict[str, list[float]]:
        """Task name to `[loss, weight]`."""
        rows = self.sums.tolist()
        return {task: rows[number] for task, number in self.tasks.items()}

    def restore(self, state: Mapping[str, Iterable[float]]) -> None:
        """Go on from an earlier `state`."""
        self.reset()
        for task, values in state.items():
            number = self._number(task)
            self.sums[number] = torch.tensor(list(values), dtype=self.sums.dtype)

    def reset(self) -> None:
        """Forget everything counted."""
        self.sums.zero_()

    def _number(self, task: str | None) -> int:
        name = task or UNNAMED
        if name not in self.tasks:
            self.tasks[name] = len(self.tasks)
            self.sums = torch.cat([self.sums, self.sums.new_zeros(1, 2)])
        return self.tasks[name]


def merge_states(states: Iterable[Mapping[str, Iterable[float]]]) -> dict[str, list[float]]:
    """The sums of several processes' states."""
    merged: dict[str, list[float]] = {}
    for state in states:
        for task, values in state.items():
            merged[task] = [a + b for a, b in zip(merged.get(task, [0.0, 0.0]), values, strict=True)]
    return merged


def mean_losses(state: Mapping[str, list[float]]) -> tuple[float | None, dict[str, float]]:
    """The mean loss over everything, None where nothing was counted, and by task in order of name."""
    loss, weight = (sum(values[side] for values in state.values()) for side in (0, 1))
    tasks = {task: state[task][0] / state[task][1] for task in sorted(state) if state[task][1]}
    return (loss / weight if weight else None), tasks
