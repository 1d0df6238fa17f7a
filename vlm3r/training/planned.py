"""What a run was planned to need beside what it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import torch

from vlm3r.errors import UserError
from vlm3r.model import VLM3RConfig
from vlm3r.training.plan.compare import ComparedQuantity, MeasuredRun, compare
from vlm3r.training.plan.hardware import Device, find_device, recognise
from vlm3r.training.plan.plan import Plan, make_plan
from vlm3r.training.plan.sharding import read_sharding
from vlm3r.training.plan.source import counted_data, stored_parts
from vlm3r.training.plan.workload import DataCounts
from vlm3r.training.recipe import Recipe


def device_of(device: torch.device) -> tuple[Device | None, str]:
    """The device as plans know it, None where they do not, and its driver's name."""
    if device.type != "cuda":
        return (find_device("cpu") if device.type == "cpu" else None), device.type
    name = torch.cuda.get_device_name(device)
    return recognise(name), name


def plan_of_run(recipe: Recipe, config: VLM3RConfig, frames: int, device: torch.device, devices: int) -> Plan | None:
    """The plan of a run on the devices that it runs on; None where they, or the data's counts, are unknown."""
    known, _ = device_of(device)
    counts = counted_data(recipe, DataCounts.answer_tokens)
    if known is None or counts is None:
        return None
    sharding, stored = read_sharding(recipe.run.deepspeed), stored_parts(recipe)
    # What a plan refuses has run all the same.
    with suppress(UserError):
        return make_plan(config, recipe, counts[0], known, devices, frames=frames, sharding=sharding, stored=stored)
    return None


def measured_run(entries: Sequence[Mapping[str, Any]], device: torch.device, devices: int) -> MeasuredRun:
    """The sums of a run's log entries."""
    return MeasuredRun(
        seconds=sum(entry["seconds"] for entry in entries),
        steps=entries[-1]["step"] if entries else 0,
        questions=sum(entry["questions"] for entry in entries),
        tokens=sum(entry["tokens"] for entry in entries),
        peak_bytes=max((entry["peak_memory"] for entry in entries), default=None),
        device=device_of(device)[1],
        devices=devices,
        useful_flops=sum(entry["flops"] for entry in entries),
    )


def side_by_side(plan: Plan | None, measured: MeasuredRun) -> tuple[ComparedQuantity, ...]:
    """Planned and measured quantities; empty without a plan."""
    return () if plan is None or not measured.questions else compare(plan, measured)


def comparison_record(quantities: Sequence[ComparedQuantity]) -> list[dict[str, Any]]:
    """Plain JSON values."""
    return [asdict(quantity) | {"ratio": quantity.ratio} for quantity in quantities]
