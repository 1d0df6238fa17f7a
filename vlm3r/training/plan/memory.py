"""Memory of one device by part while a recipe trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vlm3r.model import VLM3RConfig
from vlm3r.training.plan.activations import kept_bytes, logits_bytes, tower_bytes, visual_bytes, working_bytes
from vlm3r.training.plan.flops import BatchShape
from vlm3r.training.plan.hardware import GIB
from vlm3r.training.plan.parameters import SHARDED, PartParameters, quantised_parameters
from vlm3r.training.plan.sharding import Sharding
from vlm3r.training.recipe import Recipe

FLOAT = 4
STATE_BYTES = {"adamw": 8, "muon": 4}
"""State of a trained weight, float32: AdamW's two averages, Muon's one."""
QUANTISED_BYTES = {"4bit": 0.5 + FLOAT / 64, "8bit": 1.0}
"""Bytes of a quantised weight: NF4 with one float32 scale for 64 weights; 8 bits, the scale of a row left out."""
CONTEXT = GIB
"""Assumed for the CUDA context, library workspaces and what the allocator cannot use."""


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on one device at the moment when most are in use."""

    frozen: float
    """Weights that are not trained, as they are held."""
    trained: float
    """Trained weights in float32, and their copy in the working precision."""
    gathered: float
    """Weights that ZeRO-3 gathers from other devices while they are used."""
    gradients: float
    """Gradients in float32, and the buckets in which devices exchange them."""
    optimiser: float
    """What the optimiser keeps of trained weights."""
    activations: float
    """What the language model's blocks keep for the backward pass."""
    working: float
    """What is in use while one block is computed: an estimate."""
    logits: float
    """Logits at supervised places and what is made of them."""
    video: float
    """The video's tokens, and what fusion and projector keep."""
    context: float
    """Assumed for everything outside tensors."""

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return sum(vars(self).values())


def memory_of(
    config: VLM3RConfig,
    recipe: Recipe,
    parts: Mapping[str, PartParameters],
    shape: BatchShape,
    sharding: Sharding,
    devices: int,
    number: int,
    stored: frozenset[str] = frozenset(),
    on_gpu: bool = True,
) -> MemoryPlan:
    """Memory of one device.

    Args:
        config: sizes.
        recipe: what is trained and kept.
        parts: parameters by part, from `parameters_of`.
        shape: one pack; `micro_batch` of them are computed at a time.
        sharding: how weights and states are spread.
        devices: devices of the run.
        number: bytes of a number in the forward pass, 2 or 4.
        stored: parts whose tokens come from a feature store.
        on_gpu: whether to count what a GPU needs outside tensors.
    """
    packs = recipe.optimiser.micro_batch
    batch = BatchShape(
        packs * shape.tokens,
        packs * shape.pairs,
        packs * shape.computed_pairs,
        packs * shape.targets,
        packs * shape.frames,
    )
    weights = _weights(config, recipe, parts, sharding, devices, number)
    kept = kept_bytes(config, recipe, batch, packs, number)
    working = working_bytes(config, recipe, batch, packs, number)
    logits, video = logits_bytes(config, batch, number), visual_bytes(config, recipe, batch.frames, number)
    # Towers run before the language model; whatever they need beyond its peak raises the peak.
    towers = tower_bytes(config, batch.frames, number, stored) if batch.frames else 0
    working += max(0, towers - kept - working - logits)
    return MemoryPlan(
        **weights,
        activations=kept,
        working=working,
        logits=logits,
        video=video if batch.frames else 0,
        context=CONTEXT if on_gpu else 0,
    )


def _weights(
    config: VLM3RConfig,
    recipe: Recipe,
    parts: Mapping[str, PartParameters],
    sharding: Sharding,
    devices: int,
    number: int,
) -> dict[str, float]:
    """Weights, gradients and optimiser state of one device."""
    stage, trained = sharding.stage, sum(part.trained for part in parts.values())
    # Frozen towers stay whole on every device under ZeRO-3.
    spread = {name for name, part in parts.items() if stage == 3 and (name in SHARDED or part.trained)}
    saved = 0.0
    if recipe.model.quantization is not None:
        saved = quantised_parameters(config, recipe) * (number - QUANTISED_BYTES[recipe.model.quantization])
    frozen = 0.0
    for name, part in parts.items():
        size = number * (part.total - part.trained) - (saved if name == "language_model" else 0)
        shard = 0 if sharding.weights_on_host else size / devices
        frozen += shard if name in spread else size
    states = devices if stage else 1
    copy = number if number < FLOAT else 0
    weights = trained * (FLOAT / states + copy / (devices if stage == 3 else 1))
    bucket = trained * FLOAT if stage == 0 else min(trained, sharding.bucket) * number
    live = min(sum(parts[name].total for name in spread), sharding.live) * number
    return {
        "frozen": frozen,
        "trained": weights,
        "gathered": live if devices > 1 else 0,
        "gradients": trained * FLOAT / (devices if stage >= 2 else 1) + (bucket if devices > 1 else 0),
        "optimiser": 0 if sharding.optimiser_on_host else trained * STATE_BYTES[recipe.optimiser.method] / states,
    }
