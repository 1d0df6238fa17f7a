"""A new model from a recipe, as the parts of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from cut3r import CUT3R
from torch import Tensor

from vlm3r.checkpoints.files import read_json, read_model_folder
from vlm3r.checkpoints.parts import Parts, check_tensors, make_config
from vlm3r.checkpoints.published import greedy, read_cut3r
from vlm3r.errors import UserError
from vlm3r.model import VLM3RConfig, VLM3RForConditionalGeneration
from vlm3r.training.fresh.recipe import FreshRecipe
from vlm3r.training.fresh.start import copying_start
from vlm3r.training.fresh.tokenizer import corpus, make_tokenizer
from vlm3r.training.vision.contrast import tower_config

VOCABULARY_STEP = 64
"""The embedding's rows are rounded up to a multiple, as published models do."""


def make_fresh(recipe: FreshRecipe, dtype: torch.dtype = torch.float32) -> Parts:
    """The parts of a new model.

    Raises:
        UserError: a file cannot be read, or sizes do not fit together.
    """
    tokenizer = make_tokenizer(corpus(recipe.corpus), recipe.language.vocabulary)
    vision = None if recipe.vision is None else _read_vision(recipe.vision)
    geometry = None if recipe.geometry is None else read_cut3r(recipe.geometry)
    config = _config(recipe, len(tokenizer), vision, geometry)
    torch.manual_seed(recipe.seed)
    model = VLM3RForConditionalGeneration(config)
    if recipe.language.start == "copying":
        copying_start(model.language_model, torch.Generator().manual_seed(recipe.seed))
    tensors: dict[str, Tensor] = dict(model.state_dict())
    if vision is not None:
        tensors |= {f"vision_tower.{name}": tensor for name, tensor in vision[1].items()}
    if geometry is not None:
        tensors |= {f"geometry_encoder.{name}": tensor for name, tensor in geometry.state_dict().items()}
    tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    check_tensors(config, tensors, str(recipe.vision or "the recipe"))
    return Parts(config, tensors, None, tokenizer, greedy(tokenizer), dict(recipe.processor))


def _read_vision(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights of a visual encoder."""
    config = read_json(folder / "config.json")
    if config.get("model_type") != "siglip_vision_model":
        raise UserError(f"{folder}: is no SigLIP visual encoder; give a folder that `vlm3r vision train` wrote")
    return config, read_model_folder(folder)


def _config(
    recipe: FreshRecipe, tokens: int, vision: tuple[dict[str, Any], dict[str, Tensor]] | None, geometry: CUT3R | None
) -> VLM3RConfig:
    language = recipe.language
    sizes = {name: getattr(language, name) for name in ("hidden_size", "intermediate_size", "num_hidden_layers")}
    sizes |= {name: getattr(language, name) for name in ("num_attention_heads", "num_key_value_heads")}
    vision_config = tower_config(recipe.tower).to_dict() if vision is None else vision[0]
    fields: dict[str, Any] = {
        "text_config": sizes
        | {
            "vocab_size": -(-tokens // VOCABULARY_STEP) * VOCABULARY_STEP,
            "max_position_embeddings": language.max_position_embeddings,
            "rope_parameters": {"rope_type": "default", "rope_theta": language.rope_theta},
        },
        "vision_config": vision_config,
        "geometry": "none" if geometry is None else "cut3r",
        "geometry_config": None if geometry is None else geometry.config.to_dict(),
        "geometry_image_size": vision_config["image_size"],
        "fusion_num_heads": recipe.fusion_num_heads,
        "fusion_dropout": recipe.fusion_dropout,
        "pool_mode": recipe.pool_mode,
        "newline_position": recipe.newline_position,
        "num_output_tokens": tokens,
        "video_token_id": tokens,
        "image_token_id": tokens + 1,
        "untrained": recipe.untrained,
    }
    return make_config(fields, "the recipe")
