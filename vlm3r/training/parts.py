"""Which weights a run trains: freezing, precision, parameter groups, and the model on its device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from vlm3r.checkpoints.loading import build
from vlm3r.errors import UserError
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.training.recipe import OptimiserRecipe, PartsRecipe, Recipe
from vlm3r.training.start import Start

ROOTS = {
    "language_model": "language_model",
    "fusion": "fusion",
    "projector": "projector",
    "image_newline": "newline",
    "vision_tower": "vision_tower",
    "geometry_encoder": "geometry_encoder",
}
"""First part of a weight's name, and the recipe's name for it."""

TOWERS = ("vision_tower", "geometry_encoder")
VISUAL = ("fusion", "projector")
UNUSED = ("vision_tower.post_layernorm.", "geometry_encoder.downstream_head.")
"""Weights that checkpoints keep but no token depends on."""
LORA = ".lora_"


def build_trainable(
    start: Start, recipe: Recipe, device: torch.device, precision: torch.dtype
) -> tuple[VLM3RForConditionalGeneration, VLM3RProcessor]:
    """The model in training mode, its trained weights float32 and asking for gradients, and the processor.

    Frozen weights have the type `precision`; frozen parts are in evaluation mode, so that they drop nothing out.

    Raises:
        UserError: nothing is trained, or a part of the installation is missing.
    """
    model, processor = build(start.parts, device, precision, recipe.model.quantization, recipe.model.attention)
    trained = select_trained(model, recipe.parts)
    with torch.no_grad():
        for name, parameter in trained.items():
            # The stored weight again where there is one: it may be finer than the working precision.
            source = start.parts.tensors.get(name, parameter)
            parameter.data = source.to(parameter.device, torch.float32, copy=True)
    set_training_mode(model)
    if recipe.optimiser.gradient_checkpointing:
        model.language_model.activation_checkpointing_enable({"use_reentrant": False})
        if recipe.parts.vision_tower == "full":
            model.vision_tower.activation_checkpointing_enable({"use_reentrant": False})
    if recipe.optimiser.compile:
        for block in model.language_model.model.layers:
            block.compile()
    return model, processor


def select_trained(model: nn.Module, parts: PartsRecipe) -> dict[str, nn.Parameter]:
    """The weights that `parts` trains, by name, now the only ones that ask for gradients.

    Raises:
        UserError: there are none.
    """
    trained: dict[str, nn.Parameter] = {}
    modes = asdict(parts)
    for name, parameter in model.named_parameters():
        mode = modes[ROOTS[name.split(".")[0]]]
        wanted = LORA in name if mode == "lora" else mode == "full" and not name.startswith(UNUSED)
        parameter.requires_grad_(False)
        if wanted:
            parameter.requires_grad_(True)
            trained[name] = parameter
    if not trained:
        raise UserError("parts: every part that the model has is frozen; set one to full, or language_model to lora")
    return trained


def set_training_mode(model: nn.Module) -> None:
    """Training mode for parts with trained weights, evaluation mode for the others."""
    for child in model.children():
        child.train(any(parameter.requires_grad for parameter in child.parameters()))


def parameter_groups(named: Iterable[tuple[str, Tensor]], optimiser: OptimiserRecipe) -> list[dict[str, Any]]:
    """AdamW's groups: learning rate by part, and no weight decay on norms, biases and single vectors.

    Args:
        named: trained weights under the model's names.
        optimiser: rates and decay.
    """
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in named:
        part = ROOTS[name.split(".")[0]]
        visual = part in VISUAL and optimiser.fusion_learning_rate is not None
        rate = optimiser.fusion_learning_rate if visual else optimiser.learning_rate
        decay = optimiser.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate or optimiser.learning_rate, decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]


def set_towers_aside(model: nn.Module) -> dict[str, nn.Module]:
    """Take frozen towers out of the module tree, so that a sharding engine leaves them whole on every device.

    They stay attributes of the model and run as before. A sharded recurrent encoder would be gathered anew for every
    frame, and ranks with clips of different lengths would wait for each other for ever.
    """
    aside = {}
    for name in TOWERS:
        tower = model._modules.get(name)
        if tower is not None and not any(parameter.requires_grad for parameter in tower.parameters()):
            aside[name] = model._modules.pop(name)
            object.__setattr__(model, name, tower)
    return aside


def count_parameters(model: nn.Module) -> dict[str, dict[str, int]]:
    """Numbers of parameters `total` and `trained` by part, and over all parts."""
    counts: dict[str, dict[str, int]] = {}
    for name, parameter in model.named_parameters():
        entry = counts.setdefault(ROOTS[name.split(".")[0]], {"total": 0, "trained": 0})
        # Four-bit weights are packed two to a byte.
        size = parameter.numel() * (2 if parameter.dtype == torch.uint8 else 1)
        entry["total"] += size
        entry["trained"] += size if parameter.requires_grad else 0
    return counts | {"all": {key: sum(entry[key] for entry in counts.values()) for key in ("total", "trained")}}
