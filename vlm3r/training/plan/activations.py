"""Bytes that the forward pass keeps for the backward pass, from the configuration alone.

Counted for GPUs: dropout keeps a mask of one byte a number, norms work in float32, and in bfloat16 every adapter keeps
an input of its own, because it is cast for each.
"""

from __future__ import annotations

from cut3r import CUT3RConfig

from vlm3r.model import VLM3RConfig
from vlm3r.model.vision import VISION_CHUNK
from vlm3r.training.objective import TARGET_CHUNK
from vlm3r.training.plan.flops import (
    BatchShape,
    adapted_layers,
    head_dim,
    linear_layers,
    reaches_language_inputs,
    reaches_projector_inputs,
)
from vlm3r.training.recipe import Recipe

INPUTS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))
"""Linear layers of a block by the input that they share."""
FLOAT = 4


def language_is_kept(config: VLM3RConfig, recipe: Recipe) -> bool:
    """Whether the backward pass goes through the language model's blocks."""
    return recipe.parts.language_model != "frozen" or reaches_language_inputs(config, recipe)


def block_bytes(config: VLM3RConfig, recipe: Recipe, tokens: int, sequences: int, number: int) -> int:
    """Bytes that one block of the language model keeps.

    Args:
        config: sizes.
        recipe: adapters, dropout and attention kernel.
        tokens: tokens of all sequences.
        sequences: sequences of equal length.
        number: bytes of a number in the forward pass, 2 or 4.
    """
    dim, hidden = config.qwen2.hidden_size, config.qwen2.intermediate_size
    full = recipe.parts.language_model == "full"
    norms = 2 * tokens * (dim * FLOAT + FLOAT + (dim * number if full else 0))
    gate = 3 * tokens * hidden * number
    return (
        norms + gate + _inputs(config, recipe, tokens, number) + _attention(config, recipe, tokens, sequences, number)
    )


def _inputs(config: VLM3RConfig, recipe: Recipe, tokens: int, number: int) -> int:
    """What linear layers and adapters keep of their inputs."""
    layers, adapted, lora = linear_layers(config), adapted_layers(config, recipe), recipe.lora
    total = len(adapted) * tokens * lora.rank * number
    for names in INPUTS:
        width, adapters = layers[names[0]][0], sum(name in adapted for name in names)
        copies = adapters if number < FLOAT or lora.dropout else min(adapters, 1)
        total += tokens * width * (copies * number + (adapters if lora.dropout else 0))
        total += tokens * width * number if recipe.parts.language_model == "full" else 0
    return total


def _attention(config: VLM3RConfig, recipe: Recipe, tokens: int, sequences: int, number: int) -> int:
    text, kernel = config.qwen2, recipe.model.attention
    queries = text.num_attention_heads * head_dim(config)
    shared = linear_layers(config)["k_proj"][1]
    pairs = tokens**2 // sequences
    if kernel == "eager":
        weights = pairs * text.num_attention_heads * (FLOAT + (number if number < FLOAT else 0))
        return 3 * tokens * queries * number + weights
    # Under a mask, SDPA's kernels want keys and values for every head, and the mask as numbers.
    keys, mask = (queries, pairs * number) if kernel == "sdpa" else (shared, 0)
    return tokens * (2 * queries + 2 * keys) * number + tokens * text.num_attention_heads * FLOAT + mask


def kept_bytes(config: VLM3RConfig, recipe: Recipe, shape: BatchShape, sequences: int, number: int) -> int:
    """Bytes that the language model's blocks keep until the backward pass reaches them."""
    if not language_is_kept(config, recipe):
        return 0
    blocks, dim = config.qwen2.num_hidden_layers, config.qwen2.hidden_size
    last_norm = shape.tokens * (dim * FLOAT + FLOAT)
    last_norm += shape.tokens * dim * number if recipe.parts.language_model == "full" else 0
    if recipe.optimiser.gradient_checkpointing:
        return last_norm + blocks * shape.tokens * dim * number
    return last_norm + blocks * block_bytes(config, recipe, shape.tokens, sequences, number)


def working_bytes(config: VLM3RConfig, recipe: Recipe, shape: BatchShape, sequences: int, number: int) -> int:
    """Bytes in use while one block is computed, beside what is kept: an estimate."""
    hidden = config.qwen2.intermediate_size
    gradients = 3 * shape.tokens * hidden * max(number, FLOAT if recipe.lora.dropout else number)
    if not language_is_kept(config, recipe) or not recipe.optimiser.gradient_checkpointing:
        return gradients
    return gradients + block_bytes(config, recipe, shape.tokens, sequences, number)


def logits_bytes(config: VLM3RConfig, shape: BatchShape, number: int) -> int:
    """Bytes of logits at supervised places: as computed, in float32, their log-softmax, and gradients of both."""
    targets = min(shape.targets, TARGET_CHUNK)
    copies = 2 * number + 3 * FLOAT if number < FLOAT else 3 * FLOAT
    return targets * config.qwen2.vocab_size * copies


def visual_bytes(config: VLM3RConfig, recipe: Recipe, frames: int, number: int) -> int:
    """Bytes that fusion, projector and the video's embeddings keep; trained towers, which keep far more, left out."""
    tokens, dim = frames * config.layout.grid_side**2, config.qwen2.hidden_size
    width = config.siglip.hidden_size
    below, trained = reaches_projector_inputs(config, recipe), recipe.parts.projector == "full"
    total = frames * config.layout.video_tokens(1) * dim * number
    if below and config.geometry != "none":
        total += _fusion_bytes(config, recipe, frames, number)
    if trained or below:
        total += tokens * (width * trained + dim * (1 + trained)) * number
    return total


def _fusion_bytes(config: VLM3RConfig, recipe: Recipe, frames: int, number: int) -> int:
    encoder, width = CUT3RConfig.from_dict(config.geometry_config or {}), config.siglip.hidden_size
    tokens = frames * config.layout.grid_side**2
    keys = frames * geometry_tokens(config)
    # Inputs of both norms in float32; of four projections, the query and the result in the working precision.
    visual = tokens * width * (2 * FLOAT + 6 * number + (1 if config.fusion_dropout else 0))
    inner = 2 * width if recipe.parts.fusion == "full" else 0
    geometry = keys * (encoder.dec_embed_dim * (FLOAT + number) + (2 * width + inner) * number)
    return visual + geometry


def geometry_tokens(config: VLM3RConfig) -> int:
    """Geometry tokens of one frame that fusion sees."""
    encoder = CUT3RConfig.from_dict(config.geometry_config or {})
    patches = (config.geometry_image_size // encoder.patch_size) ** 2
    return {"all": patches + 1, "patch_tokens": patches, "camera_tokens": 1}[config.geometry_features]


def tower_bytes(config: VLM3RConfig, frames: int, number: int, stored: frozenset[str]) -> int:
    """Bytes in use while frozen towers run, before the language model does: an estimate."""
    vision, found = config.siglip, 0
    if "vision" not in stored:
        tokens = min(frames, VISION_CHUNK) * config.layout.grid_side**2
        found = tokens * (3 * vision.hidden_size + 2 * vision.intermediate_size) * number
    if config.geometry != "none" and "geometry" not in stored:
        encoder = CUT3RConfig.from_dict(config.geometry_config or {})
        tokens = frames * (config.geometry_image_size // encoder.patch_size) ** 2
        found = max(found, tokens * (3 + 2 * encoder.mlp_ratio) * encoder.enc_embed_dim * number)
    return found
