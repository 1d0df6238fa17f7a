"""How many parameters a recipe trains, by part; no memory is allocated."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vlm3r.errors import UserError
from vlm3r.model import VLM3RConfig, VLM3RForConditionalGeneration
from vlm3r.training.parts import ROOTS, UNUSED
from vlm3r.training.plan.flops import adapted_layers, linear_layers
from vlm3r.training.recipe import Recipe

ADAPTERS = "adapters"
SHARDED = ("language_model", "projector", "fusion", "newline", ADAPTERS)
"""Parts that a sharding engine spreads over devices, beside towers that are trained."""


@dataclass(frozen=True)
class PartParameters:
    """Numbers of one part."""

    total: int
    """All parameters."""
    trained: int
    """Those that are trained."""


def parameters_of(config: VLM3RConfig, recipe: Recipe) -> dict[str, PartParameters]:
    """Parameters by part of the recipe, `adapters` among them.

    Raises:
        UserError: an adapter's target is no linear layer of the language model, or nothing is trained.
    """
    layers = linear_layers(config)
    unknown = sorted(set(recipe.lora.targets) - set(layers))
    if recipe.parts.language_model == "lora" and (unknown or not recipe.lora.targets):
        raise UserError(f"lora.targets: {', '.join(unknown) or 'none given'}; the layers are {', '.join(layers)}")
    with torch.device("meta"):
        model = VLM3RForConditionalGeneration(config)
    counts: dict[str, list[int]] = {}
    for name, parameter in model.named_parameters():
        part = ROOTS[name.split(".")[0]]
        entry = counts.setdefault(part, [0, 0])
        entry[0] += parameter.numel()
        full = getattr(recipe.parts, part) == "full" and not name.startswith(UNUSED)
        entry[1] += parameter.numel() if full else 0
    found = {part: PartParameters(*entry) for part, entry in counts.items()}
    if recipe.parts.language_model == "lora":
        a_block = sum(recipe.lora.rank * (rows + columns) for rows, columns in adapted_layers(config, recipe).values())
        number = a_block * config.qwen2.num_hidden_layers
        found[ADAPTERS] = PartParameters(number, number)
    if not any(part.trained for part in found.values()):
        raise UserError("parts: every part that the model has is frozen; set one to full, or language_model to lora")
    return found


def quantised_parameters(config: VLM3RConfig, recipe: Recipe) -> int:
    """Weights that are held in 4 or 8 bits: those of the language model's blocks."""
    if recipe.model.quantization is None:
        return 0
    return config.qwen2.num_hidden_layers * sum(a * b for a, b in linear_layers(config).values())
