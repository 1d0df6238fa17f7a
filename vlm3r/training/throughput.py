"""What the devices did between two log entries: questions, tokens, FLOPs, seconds and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from vlm3r.model import VLM3RConfig
from vlm3r.training.plan.flops import training_flops
from vlm3r.training.recipe import Recipe

Batch = dict[str, Any]


@dataclass(frozen=True)
class StepCounts:
    """What one step consists of, over all processes."""

    questions: float = 0.0
    """Questions with an answer to learn."""
    targets: float = 0.0
    """Supervised tokens."""
    tokens: float = 0.0
    """Tokens of all sequences, padding left out."""
    flops: float = 0.0
    """Useful FLOPs, as `training_flops` counts them."""
    failures: float = 0.0
    """Clips that could not be loaded."""
    stop: float = 0.0
    """The largest signal number that asked a process to stop."""


def count_step(batches: Sequence[Batch], config: VLM3RConfig, recipe: Recipe, stop: int) -> StepCounts:
    """This process's share of a step."""
    own = [batch for batch in batches if not batch.get("padding")]
    return StepCounts(
        questions=float(sum(int(batch["question_count"]) for batch in own)),
        targets=float(sum(len(batch["targets"]) for batch in own)),
        tokens=float(sum(sum(batch["lengths"]) for batch in own)),
        flops=float(sum(_flops(batch, config, recipe) for batch in own)),
        failures=float(sum(len(batch["failures"]) for batch in own)),
        stop=float(stop),
    )


def _flops(batch: Batch, config: VLM3RConfig, recipe: Recipe) -> float:
    names = {"vision": "vision_tokens", "geometry": "camera_tokens"}
    stored = frozenset(part for part, name in names.items() if batch.get(name) is not None)
    counts = [batch[name] for name in ("frame_counts", "image_counts") if batch.get(name) is not None]
    frames = sum(int(count.sum()) for count in counts)
    return training_flops(config, recipe, batch["segments"], len(batch["targets"]), frames, stored)


class Stopwatch:
    """Sums of counts and seconds since the last log entry, and the time that the rest of the run will take."""

    def __init__(self, device: torch.device):
        self.device = device
        self.reset()
        self._first: tuple[int, float] | None = None

    def add(self, counts: StepCounts) -> None:
        """Count a step."""
        self.questions += counts.questions
        self.tokens += counts.tokens
        self.flops += counts.flops

    def reset(self) -> None:
        """Begin a new interval."""
        self.questions = self.tokens = self.flops = self.waited = 0.0
        self._began = time.perf_counter()

    def state(self) -> dict[str, float]:
        """The sums so far."""
        return {
            "questions": self.questions,
            "tokens": self.tokens,
            "flops": self.flops,
            "waited": self.waited,
            "seconds": self.seconds,
        }

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from an earlier `state`."""
        self.questions, self.tokens = state["questions"], state["tokens"]
        self.flops, self.waited = state["flops"], state["waited"]
        self._began = time.perf_counter() - state["seconds"]

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block's time as waiting for data."""
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began

    @property
    def seconds(self) -> float:
        """Length of the interval so far."""
        return max(time.perf_counter() - self._began, 1e-9)

    def rates(self, peak: float | None) -> dict[str, float | None]:
        """Questions and tokens a second, model FLOPs utilisation, and the share of time spent waiting for data.

        Args:
            peak: FLOP/s of all devices together, None where it is unknown.
        """
        seconds = self.seconds
        return {
            "questions_per_second": self.questions / seconds,
            "tokens_per_second": self.tokens / seconds,
            "mfu": self.flops / seconds / peak if peak else None,
            "data_share": self.waited / seconds,
        }

    def seconds_left(self, step: int, steps: int) -> float | None:
        """Estimate from all steps of this process but the first, which warms up."""
        now = time.perf_counter()
        if self._first is None:
            self._first = (step, now)
            return None
        done = step - self._first[0]
        return (now - self._first[1]) / done * (steps - step) if done else None

    def peak_memory(self) -> int:
        """Most bytes in use so far: of the GPU, or of this process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
