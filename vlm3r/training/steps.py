"""Which pack is computed in which step, on which process and in which micro-batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader

Batch = dict[str, Any]


class EpochDataset(Protocol):
    """Packs in an order of their own for every epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Take the order (and sample) of an epoch."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True)
class Shape:
    """How the packs of a step are spread."""

    packs: int
    """Packs of one step, over all processes."""
    micro_batch: int
    """Most packs that one process computes at a time."""
    world: int = 1
    """Number of processes."""
    rank: int = 0
    """This process."""


@dataclass(frozen=True)
class Slot:
    """One micro-batch of one process."""

    indices: tuple[int, ...]
    """Packs of the epoch."""
    padding: bool
    """Whether the slot only keeps this process in step with the others and counts for nothing."""


def slots_of_step(first: int, count: int, shape: Shape) -> list[Slot]:
    """This process's micro-batches for the packs `first` to `first + count - 1`.

    Every process gets equally many, because collective operations need them all: packs are spread as evenly as they
    go, and a slot without any repeats the first pack as padding.
    """
    rounds = math.ceil(count / (shape.world * shape.micro_batch))
    slots = rounds * shape.world
    base, extra = divmod(count, slots)
    sizes = [base + (slot < extra) for slot in range(slots)]
    starts = [first + sum(sizes[:slot]) for slot in range(slots)]
    return [
        Slot(tuple(range(starts[slot], starts[slot] + sizes[slot])) or (first,), sizes[slot] == 0)
        for slot in range(shape.rank, slots, shape.world)
    ]


def steps_per_epoch(packs: int, shape: Shape) -> int:
    """Steps over `packs` packs; the last one may be smaller."""
    return math.ceil(packs / shape.packs)


class StepLoader:
    """This process's micro-batches of every step from `first_step` on, one list a step, over as many epochs as needed.

    The order is that of the data set; nothing random happens here, so a run that continues at a step sees what it
    would have seen without the break.
    """

    def __init__(
        self,
        dataset: EpochDataset,
        collate: Callable[[Sequence[Any]], Batch],
        shape: Shape,
        steps: int,
        workers: int = 0,
        pin_memory: bool = False,
    ):
        self.dataset = dataset
        self.collate = collate
        self.shape = shape
        self.steps = steps
        self.workers = workers
        self.pin_memory = pin_memory
        self.first_step = 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Batch]]:
        before, epoch = 0, 0
        while before < self.steps:
            self.dataset.set_epoch(epoch)
            packs = len(self.dataset)
            own = steps_per_epoch(packs, self.shape)
            plans = [
                slots_of_step(
                    step * self.shape.packs, min(self.shape.packs, packs - step * self.shape.packs), self.shape
                )
                for step in range(max(self.first_step - before, 0), min(own, self.steps - before))
            ]
            yield from self._epoch(plans)
            before, epoch = before + own, epoch + 1

    def _epoch(self, plans: list[list[Slot]]) -> Iterator[list[Batch]]:
        if not plans:
            return
        batches = iter(
            DataLoader(
                self.dataset,  # pyright: ignore[reportArgumentType] (a map-style data set by its methods)
                batch_sampler=[list(slot.indices) for plan in plans for slot in plan],
                collate_fn=self.collate,
                num_workers=self.workers,
                pin_memory=self.pin_memory,
                # A generator of its own: drawing worker seeds must not move the one that dropout draws from.
                generator=torch.Generator(),
            )
        )
        for plan in plans:
            yield [_neutral(next(batches)) if slot.padding else next(batches) for slot in plan]


def _neutral(batch: Batch) -> Batch:
    """The batch with nothing to count: no questions, targets of weight 0, no failures."""
    return batch | {
        "weights": torch.zeros_like(batch["weights"]),
        "question_count": torch.zeros_like(batch["question_count"]),
        "failures": [],
        "padding": True,
    }
