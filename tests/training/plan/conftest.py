"""A small model that really trains: adapters, frozen parts, packed batches, with or without checkpointing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import LoraConfig

from vlm3r.model import VLM3RConfig, VLM3RForConditionalGeneration
from vlm3r.training.objective import PackedObjective
from vlm3r.training.packing import EncodedRow, pack_rows, target_weights
from vlm3r.training.recipe import LoraRecipe, OptimiserRecipe, PartsRecipe, Recipe

FRAMES = 3
ENCODER = {"enc_depth": 2, "enc_embed_dim": 32, "enc_num_heads": 2, "dec_depth": 2, "dec_embed_dim": 24} | {
    "dec_num_heads": 2,
    "ray_enc_num_heads": 2,
    "state_dec_num_heads": 2,
    "state_size": 16,
    "local_mem_size": 8,
    "head_type": "linear",
}
PART_MODULES = ("language_model", "fusion", "projector", "vision_tower", "geometry_encoder")


def small_config(geometry: str = "cut3r", layers: int = 3) -> VLM3RConfig:
    return VLM3RConfig(
        text_config={
            "vocab_size": 96,
            "hidden_size": 32,
            "intermediate_size": 80,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        },
        vision_config={
            "hidden_size": 24,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 70,
            "patch_size": 14,
            "vision_use_head": False,
        },
        geometry=geometry,
        geometry_config=ENCODER,
        geometry_image_size=64,
        fusion_num_heads=2,
        video_token_id=96,
        image_token_id=97,
        num_output_tokens=96,
    )


def make_recipe(checkpointing: bool = True, rank: int = 4, dropout: float = 0.0, **parts: Any) -> Recipe:
    recipe = Recipe(parts=PartsRecipe(**parts), lora=LoraRecipe(rank=rank, dropout=dropout))
    optimiser = OptimiserRecipe(gradient_checkpointing=checkpointing, precision="float32")
    return replace(recipe, optimiser=optimiser, model=replace(recipe.model, attention="eager"))


def make_objective(config: VLM3RConfig, recipe: Recipe) -> PackedObjective:
    """The model of a recipe, in float32, with random weights; parts that are not trained ask for no gradient."""
    torch.manual_seed(0)
    model = VLM3RForConditionalGeneration(config).requires_grad_(False)
    model.set_attn_implementation(recipe.model.attention)
    if recipe.parts.language_model == "lora":
        lora: dict[str, Any] = {"r": recipe.lora.rank, "lora_dropout": recipe.lora.dropout}
        names = "|".join(recipe.lora.targets)
        model.add_adapter(LoraConfig(target_modules=rf"language_model\..*({names})", **lora))
    for part in PART_MODULES:
        if getattr(recipe.parts, part) == "full" and hasattr(model, part):
            getattr(model, part).requires_grad_(True)
    model.image_newline.requires_grad_(recipe.parts.newline == "full")
    if recipe.optimiser.gradient_checkpointing:
        model.language_model.gradient_checkpointing_enable({"use_reentrant": False})
        if recipe.parts.vision_tower == "full":
            model.vision_tower.gradient_checkpointing_enable({"use_reentrant": False})
    return PackedObjective(model.train())


def make_batch(config: VLM3RConfig, questions: int, own: int = 20) -> dict[str, Any]:
    """One pack of rows that share a clip and a few words."""
    tokens = config.layout.video_tokens(FRAMES)
    start = [1, 2, *[config.video_token_id] * tokens, 3]
    rows = []
    for number in range(questions):
        text = [(4 + number + place) % 90 for place in range(own)]
        rows.append(EncodedRow(start + text, [-100] * (len(start) + own - 5) + text[-5:]))
    pack = pack_rows(rows)
    side = config.image_size
    return {
        "input_ids": pack.ids[None],
        "position_ids": pack.positions[None],
        "segments": pack.segments[None],
        "sources": pack.sources,
        "targets": pack.targets,
        "weights": target_weights(pack, "question"),
        "pixel_values": torch.randn(1, FRAMES, 3, side, side, generator=torch.Generator().manual_seed(0)),
    }


@pytest.fixture
def config() -> VLM3RConfig:
    return small_config()
