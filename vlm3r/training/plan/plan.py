"""A run's cost from its recipe and the model's configuration: parameters, FLOPs, memory, store and hours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vlm3r.model import VLM3RConfig
from vlm3r.training.features.manifest import PARTS, bytes_per_video
from vlm3r.training.plan.flops import TrainingCosts, training_costs
from vlm3r.training.plan.hardware import Device
from vlm3r.training.plan.memory import MemoryPlan, memory_of
from vlm3r.training.plan.parameters import PartParameters, parameters_of
from vlm3r.training.plan.sharding import Sharding
from vlm3r.training.plan.workload import DataCounts, Workload, make_workload
from vlm3r.training.recipe import Recipe

COMPARED_PACKS = (1, 4, 16, 64)
"""Questions a pack for which costs are shown side by side."""
HOUR = 3600
TERA = 1e12


@dataclass(frozen=True)
class Utilisation:
    """Assumed shares of a device's peak that executed FLOPs reach.

    Llama 3 405B is reported to reach 38 to 43 % MFU in bfloat16 on H100s (The Llama 3 Herd of Models, table 4); small
    batches on one machine reach less. CUT3R's decoder takes one frame at a time, and its published 14 to 17 frames a
    second on an A100 are about 5 % of that device's peak.
    """

    dense: float = 0.35
    """SigLIP, fusion, projector and language model: an assumption."""
    recurrent: float = 0.05
    """CUT3R: an assumption."""

    def seconds(self, costs: TrainingCosts, peak: float) -> float:
        """Seconds of one device with `peak` FLOP/s."""
        return (costs.geometry / self.recurrent + (costs.total - costs.geometry) / self.dense) / peak


@dataclass(frozen=True)
class RunCosts:
    """A whole run with packs of one size."""

    workload: Workload
    """The packs of one pass over the data."""
    questions: float
    """Questions of the run, passes counted."""
    tokens: float
    """Tokens of the run."""
    costs: TrainingCosts
    """FLOPs of the run, over all devices."""
    seconds: float
    """Wall-clock seconds of the run; loading of data and start left out."""
    memory: MemoryPlan
    """Memory of one device."""

    @property
    def flops_per_question(self) -> float:
        """Executed FLOPs of one question."""
        return self.costs.total / self.questions


@dataclass(frozen=True)
class Plan:
    """What a recipe costs on a number of devices."""

    parameters: dict[str, PartParameters]
    """Parameters by part."""
    counts: DataCounts
    """The data."""
    frames: int
    """Frames of a clip."""
    passes: float
    """Passes over the data."""
    steps: int
    """Optimiser steps."""
    device: Device
    """What one device is."""
    devices: int
    """How many there are."""
    peak_tflops: float
    """Peak of one device, TFLOP/s."""
    number_bytes: int
    """Bytes of a number in the forward pass."""
    sharding: Sharding
    """How weights and states are spread."""
    stored: frozenset[str]
    """Parts whose tokens come from the feature store."""
    utilisation: Utilisation
    """Assumed shares of the peak."""
    run: RunCosts
    """The recipe's own packs."""
    compared: tuple[RunCosts, ...]
    """The same run with other numbers of questions a pack."""
    store_bytes: float
    """Size of a feature store of all clips, with the parts that are stored, or geometry where none are."""
    store_seconds: float
    """Seconds of all devices to fill it once."""
    warnings: tuple[str, ...]
    """What will not work, and which key to change."""

    @property
    def mfu(self) -> float:
        """Useful FLOPs over what the devices could do in the planned time."""
        return self.run.costs.useful / (self.run.seconds * self.devices * self.peak_tflops * TERA)


def make_plan(
    config: VLM3RConfig,
    recipe: Recipe,
    counts: DataCounts,
    device: Device,
    devices: int = 1,
    *,
    frames: int = 32,
    sharding: Sharding | None = None,
    stored: frozenset[str] = frozenset(),
    utilisation: Utilisation | None = None,
    compared: Iterable[int] = COMPARED_PACKS,
) -> Plan:
    """The cost of a run; nothing is loaded.

    Args:
        config: the model's configuration.
        recipe: the run.
        counts: what of the data decides the cost.
        device: one device.
        devices: number of devices.
        frames: frames of a clip.
        sharding: how weights are spread; plain data parallelism by default.
        stored: `geometry` and `vision`, where the feature store holds them.
        utilisation: assumed shares of the peak.
        compared: questions a pack to be shown side by side.

    Raises:
        UserError: nothing is trained, or a question does not fit into `data.max_tokens`.
    """
    sharding, utilisation = sharding or Sharding(), utilisation or Utilisation()
    number, passes = _number_bytes(recipe, device), _passes(recipe, counts)
    peak = recipe.run.peak_tflops or device.peak_tflops
    parts = parameters_of(config, recipe)

    def run_of(size: int) -> RunCosts:
        workload = make_workload(config, recipe, counts, frames, size)
        costs = _costs(config, recipe, workload, stored).scaled(passes)
        seconds = utilisation.seconds(costs, peak * TERA) / devices
        memory = memory_of(
            config, recipe, parts, workload.pack, sharding, devices, number, stored, device.name != "cpu"
        )
        return RunCosts(workload, counts.questions * passes, workload.tokens * passes, costs, seconds, memory)

    run = run_of(recipe.data.questions_per_pack)
    store_bytes, extraction = _store(config, recipe, frames, run.workload, stored)
    return Plan(
        parameters=parts,
        counts=counts,
        frames=frames,
        passes=passes,
        steps=_steps(recipe, run),
        device=device,
        devices=devices,
        peak_tflops=peak,
        number_bytes=number,
        sharding=sharding,
        stored=stored,
        utilisation=utilisation,
        run=run,
        compared=tuple(run_of(size) for size in compared),
        store_bytes=counts.videos * store_bytes,
        store_seconds=counts.videos * utilisation.seconds(extraction, peak * TERA) / devices,
        warnings=_warnings(recipe, run, sharding, device, devices),
    )


def _number_bytes(recipe: Recipe, device: Device) -> int:
    """Bytes of a number in the forward pass."""
    precision = recipe.optimiser.precision
    return 4 if precision == "float32" or (precision == "auto" and device.name == "cpu") else 2


def _passes(recipe: Recipe, counts: DataCounts) -> float:
    """Passes over the data."""
    if recipe.optimiser.steps is None:
        return recipe.optimiser.epochs
    return recipe.optimiser.steps * recipe.optimiser.batch_size / counts.questions


def _store(
    config: VLM3RConfig, recipe: Recipe, frames: int, workload: Workload, stored: frozenset[str]
) -> tuple[float, TrainingCosts]:
    """Bytes and FLOPs of one clip in a feature store with the parts that are stored, or geometry where none are."""
    kept = stored or frozenset({"geometry"})
    costs = training_costs(config, recipe, replace(workload.pack, tokens=0, pairs=0, computed_pairs=0, targets=0))
    size = bytes_per_video(config, frames, [part for part in PARTS if part in kept]) if recipe.data.with_video else 0.0
    return size, replace(costs, **{name: 0.0 for name in costs.parts() if name not in kept})


def _costs(config: VLM3RConfig, recipe: Recipe, workload: Workload, stored: frozenset[str]) -> TrainingCosts:
    """FLOPs of one pass over the data."""
    total = training_costs(config, recipe, workload.pack, stored).scaled(workload.full_packs)
    if workload.rest is None:
        return total
    rest = training_costs(config, recipe, workload.rest, stored).scaled(workload.rest_packs).parts()
    return TrainingCosts(**{name: value + rest[name] for name, value in total.parts().items()})


def _steps(recipe: Recipe, run: RunCosts) -> int:
    if recipe.optimiser.steps is not None:
        return recipe.optimiser.steps
    mean = run.workload.packs and run.questions / (run.workload.packs * recipe.optimiser.epochs)
    packs_a_step = max(1, round(recipe.optimiser.batch_size / mean))
    return max(1, -int(-run.workload.packs * recipe.optimiser.epochs // packs_a_step))


def _warnings(recipe: Recipe, run: RunCosts, sharding: Sharding, device: Device, devices: int) -> tuple[str, ...]:
    found = []
    if device.usable_bytes is not None and run.memory.total > device.usable_bytes:
        gib = 2**30
        found.append(
            f"{run.memory.total / gib:.1f} GiB do not fit into the {device.usable_bytes / gib:.1f} GiB of one "
            f"{device.name}: {'; '.join(_remedies(recipe, run, sharding, devices))}"
        )
    if recipe.model.attention in ("sdpa", "eager") and run.costs.masked > 0.1 * run.costs.total:
        share = run.costs.masked / run.costs.total
        found.append(f"{share:.0%} of all FLOPs go into masked attention: set model.attention=flex_attention")
    return tuple(found)


def _remedies(recipe: Recipe, run: RunCosts, sharding: Sharding, devices: int) -> list[str]:
    """What to change where memory is short, what promises most first."""
    memory, found = run.memory, []
    if recipe.optimiser.micro_batch > 1:
        found.append((memory.activations + memory.working, "set optimiser.micro_batch=1"))
    if not recipe.optimiser.gradient_checkpointing:
        found.append((memory.activations, "set optimiser.gradient_checkpointing=true"))
    if recipe.parts.language_model != "full" and recipe.model.quantization is None:
        found.append((0.7 * memory.frozen, "set model.quantization=4bit"))
    if devices > 1 and sharding.stage < 2:
        found.append((memory.optimiser + memory.gradients, "set run.deepspeed to a ZeRO-2 configuration"))
    if devices > 1 and sharding.stage < 3:
        states = memory.optimiser + memory.gradients + memory.trained
        found.append((memory.frozen + states, "set run.deepspeed to a ZeRO-3 configuration"))
    if run.workload.questions_per_pack > 1:
        found.append((0.15 * (memory.activations + memory.working), "lower data.questions_per_pack"))
    found.append((0.3 * (memory.activations + memory.working + memory.video), "lower data.frames"))
    return [text for _, text in sorted(found, reverse=True)[:4]]
