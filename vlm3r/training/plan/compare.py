"""What a run was planned to need beside what it took."""

from __future__ import annotations

from dataclasses import dataclass

from vlm3r.training.plan.plan import TERA, Plan

GIB = 2**30


@dataclass(frozen=True)
class MeasuredRun:
    """What a run, or the part of it since it was continued, took."""

    seconds: float
    """Wall-clock seconds of training, start and saving left out."""
    steps: int
    """Optimiser steps."""
    questions: int
    """Questions learnt from, over all devices."""
    tokens: int
    """Tokens computed, over all devices, padding left out."""
    peak_bytes: int | None
    """Most memory in use on one device; None where it was not measured."""
    device: str
    """The driver's name for the device."""
    devices: int = 1
    """Number of devices."""
    useful_flops: float | None = None
    """Sum of `training_flops` over all batches and devices; None takes the planned FLOPs of as many questions."""


@dataclass(frozen=True)
class ComparedQuantity:
    """One line of the comparison."""

    name: str
    """What is compared, with its unit."""
    planned: float | None
    """By the plan, for as many questions as were measured."""
    measured: float | None
    """By the run."""

    @property
    def ratio(self) -> float | None:
        """Measured over planned; None where one is missing or nothing was planned."""
        if not self.planned or self.measured is None:
            return None
        return self.measured / self.planned


def compare(planned: Plan, measured: MeasuredRun) -> tuple[ComparedQuantity, ...]:
    """Planned and measured side by side, the plan scaled to as many questions as the run learnt from.

    Args:
        planned: the plan of the run.
        measured: what it took.
    """
    run = planned.run
    share = measured.questions / run.questions
    seconds = run.seconds * share * planned.devices / measured.devices
    useful = measured.useful_flops if measured.useful_flops is not None else run.costs.useful * share
    speed = useful / measured.seconds / measured.devices / TERA if measured.seconds else None
    planned_speed = planned.mfu * planned.peak_tflops
    peak = planned.peak_tflops
    return (
        ComparedQuantity("seconds", seconds, measured.seconds),
        ComparedQuantity("steps", planned.steps * share, measured.steps),
        ComparedQuantity("questions/s", measured.questions / seconds, _rate(measured.questions, measured.seconds)),
        ComparedQuantity("tokens a question", run.tokens / run.questions, _rate(measured.tokens, measured.questions)),
        ComparedQuantity("tokens/s", run.tokens * share / seconds, _rate(measured.tokens, measured.seconds)),
        ComparedQuantity("useful TFLOP/s a device", planned_speed, speed),
        ComparedQuantity("MFU, %", 100 * planned.mfu, None if speed is None else 100 * speed / peak),
        ComparedQuantity(
            "peak memory, GiB",
            run.memory.total / GIB,
            None if measured.peak_bytes is None else measured.peak_bytes / GIB,
        ),
    )


def _rate(number: float, over: float) -> float | None:
    return number / over if over else None
