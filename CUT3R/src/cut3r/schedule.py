"""How long the sequences of a step are, how many there are, and how fast it learns: functions of the step."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """Consecutive steps with sequences of one length."""

    share: float = 1.0
    """Share of all steps; the shares of all stages are brought to the sum 1."""
    frames: int = 4
    """Frames of a sequence."""
    batch: int = 8
    """Sequences of a step."""

    def __post_init__(self) -> None:
        if self.share <= 0 or self.frames < 1 or self.batch < 1:
            raise ValueError("a stage needs a share above 0, and at least 1 frame and 1 sequence")


class Curriculum:
    """Stages laid over a number of steps, short sequences first where they are given first."""

    def __init__(self, stages: Sequence[Stage], steps: int) -> None:
        if not stages:
            raise ValueError("the curriculum needs at least one stage")
        self.stages, total = tuple(stages), sum(stage.share for stage in stages)
        shares = [sum(stage.share for stage in stages[: i + 1]) / total for i in range(len(stages))]
        self._ends = [round(share * steps) for share in shares]

    def at(self, step: int) -> Stage:
        """The stage of a step, counted from 0; the last stage also after the end."""
        return self.stages[min(bisect.bisect_right(self._ends, step), len(self.stages) - 1)]

    def drawn_before(self, step: int) -> int:
        """Sequences that all earlier steps have drawn together."""
        return self._total(step, lambda stage: stage.batch)

    def frames_before(self, step: int) -> int:
        """Frames that all earlier steps have seen together."""
        return self._total(step, lambda stage: stage.batch * stage.frames)

    def _total(self, step: int, amount: Callable[[Stage], int]) -> int:
        starts = [0, *self._ends[:-1]]
        ends = [*self._ends[:-1], max(step, self._ends[-1])]
        return sum(
            amount(stage) * max(0, min(step, end) - start)
            for stage, start, end in zip(self.stages, starts, ends, strict=True)
        )


def learning_rate(step: int, steps: int, peak: float, warmup: int, floor: float) -> float:
    """Linear from 0 to `peak` over `warmup` steps, then half a cosine down to `floor * peak` at `steps`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)
