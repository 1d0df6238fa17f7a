"""FLOPs of one training batch by part, two for a multiply-add; matrix products and attention only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from vlm3r.model import VLM3RConfig
from vlm3r.model.costs import prefill_flops
from vlm3r.training.packing import PREFIX
from vlm3r.training.recipe import Recipe

BLOCK_KERNELS = ("flex_attention", "flash_attention_2")
"""Attention kernels that leave out what the mask rules out; the others compute every pair of tokens."""

INPUT_LAYERS = ("q_proj", "k_proj", "v_proj")
"""Linear layers that read a block's input."""

SCORE_PRODUCT = 0.5
"""The product that fused kernels repeat in the backward pass, as a share of attention's forward pass."""


@dataclass(frozen=True)
class BatchShape:
    """What decides the cost of a batch of packed sequences."""

    tokens: int
    """Tokens of all sequences, padding left out."""
    pairs: int
    """Pairs of a token and one that it may attend to, over all sequences."""
    computed_pairs: int
    """Pairs that a kernel without knowledge of the mask computes: the sum of squared sequence lengths."""
    targets: int
    """Supervised places, where logits are computed."""
    frames: int
    """Video frames and still images that are encoded, over all clips."""
    rows: int = 1
    """Questions."""


@dataclass(frozen=True)
class TrainingCosts:
    """FLOPs of a batch, forward and backward pass."""

    vision: float
    """SigLIP; 0 where its tokens come from a store."""
    geometry: float
    """CUT3R without its heads; 0 where its tokens come from a store, and without geometry."""
    fusion: float
    """Cross-attention block."""
    projector: float
    """MLP to the language model's width."""
    language_forward: float
    """The language model's own linear layers, forward."""
    language_backward: float
    """The same, backward: gradients of inputs and, where the weights are trained, of weights."""
    adapters: float
    """LoRA, forward and backward."""
    attention: float
    """The language model's attention over the pairs of tokens that may see each other, forward and backward."""
    output_layer: float
    """Logits at supervised places, forward and backward."""
    recomputed: float
    """Forward passes that gradient checkpointing repeats."""
    masked: float
    """Attention over pairs that the mask then rules out, and scores that a fused kernel repeats."""

    @property
    def useful(self) -> float:
        """FLOPs that the result needs, over which MFU is taken: nothing repeated, nothing masked."""
        return self.total - self.recomputed - self.masked

    @property
    def total(self) -> float:
        """FLOPs that are executed."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, float]:
        """FLOPs by the name of the part."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def scaled(self, factor: float) -> TrainingCosts:
        """The costs of `factor` such batches."""
        return TrainingCosts(**{name: factor * value for name, value in self.parts().items()})


def training_flops(
    config: VLM3RConfig,
    recipe: Recipe,
    segments: Tensor,
    targets: int,
    frames: int,
    stored: frozenset[str] = frozenset(),
) -> float:
    """Useful FLOPs of one training batch: divided by seconds and peak they are the MFU.

    Args:
        config: the model's configuration.
        recipe: decides which parts are trained.
        segments: `(batch, token)` as in a packed batch: 0 for the prefix, 1, 2, ... for rows, below 0 for padding;
            best before it moves to a GPU, which would have to be waited for.
        targets: supervised places in the batch.
        frames: video frames and still images in the batch, over all clips.
        stored: `vision` and `geometry` where those tokens are read from a feature store.
    """
    return training_costs(config, recipe, batch_shape(segments, targets, frames), stored).useful


def batch_shape(segments: Tensor, targets: int, frames: int) -> BatchShape:
    """The shape of a packed batch; arguments as in `training_flops`."""
    segments = segments.detach().cpu()
    tokens = pairs = rows = 0
    for sequence in segments:
        prefix = int((sequence == PREFIX).sum())
        own = torch.bincount(sequence[sequence > PREFIX])[1:].tolist()
        own = [count for count in own if count]
        tokens += prefix + sum(own)
        pairs += visible_pairs(prefix, own)
        rows += max(len(own), 1)
    return BatchShape(tokens, pairs, segments.shape[0] * segments.shape[1] ** 2, targets, frames, rows)


def visible_pairs(prefix: int, own: list[int]) -> int:
    """Pairs (token, token that it sees) of one sequence: a prefix, and rows with `own` tokens behind it."""
    return prefix * (prefix + 1) // 2 + sum(count * prefix + count * (count + 1) // 2 for count in own)


def linear_layers(config: VLM3RConfig) -> dict[str, tuple[int, int]]:
    """Widths (in, out) of the linear layers of one block of the language model, by name."""
    text = config.qwen2
    dim, hidden = text.hidden_size, text.intermediate_size
    key_values = (text.num_key_value_heads or text.num_attention_heads) * head_dim(config)
    queries = text.num_attention_heads * head_dim(config)
    return {
        "q_proj": (dim, queries),
        "k_proj": (dim, key_values),
        "v_proj": (dim, key_values),
        "o_proj": (queries, dim),
        "gate_proj": (dim, hidden),
        "up_proj": (dim, hidden),
        "down_proj": (hidden, dim),
    }


def head_dim(config: VLM3RConfig) -> int:
    """Width of one attention head of the language model."""
    text = config.qwen2
    return getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads


def adapted_layers(config: VLM3RConfig, recipe: Recipe) -> dict[str, tuple[int, int]]:
    """Those linear layers of a block that carry an adapter."""
    if recipe.parts.language_model != "lora":
        return {}
    return {name: widths for name, widths in linear_layers(config).items() if name in recipe.lora.targets}


def reaches_language_inputs(config: VLM3RConfig, recipe: Recipe) -> bool:
    """Whether the gradient goes on below the language model's first block."""
    parts = recipe.parts
    if parts.language_model == "full":
        return True
    if not recipe.data.with_video:
        return False
    return "full" in (parts.projector, parts.newline) or reaches_projector_inputs(config, recipe)


def reaches_projector_inputs(config: VLM3RConfig, recipe: Recipe) -> bool:
    """Whether the gradient goes on below the projector."""
    parts = recipe.parts
    with_geometry = config.geometry != "none" and "full" in (parts.fusion, parts.geometry_encoder)
    return recipe.data.with_video and (parts.vision_tower == "full" or with_geometry)


def training_costs(
    config: VLM3RConfig, recipe: Recipe, shape: BatchShape, stored: frozenset[str] = frozenset()
) -> TrainingCosts:
    """FLOPs of one batch by part; `stored` as in `training_flops`."""
    visual = _visual_costs(config, recipe, shape.frames, stored)
    linear = _linear_costs(config, recipe, shape.tokens)
    attention = _attention_costs(config, recipe, shape)
    output = 2.0 * shape.targets * config.qwen2.hidden_size * config.qwen2.vocab_size
    full = recipe.parts.language_model == "full"
    return TrainingCosts(
        vision=visual["vision"],
        geometry=visual["geometry"],
        fusion=visual["fusion"],
        projector=visual["projector"],
        language_forward=linear["forward"],
        language_backward=linear["backward"],
        adapters=linear["adapters"],
        attention=attention["useful"],
        output_layer=output * (3 if full else 2),
        recomputed=visual["recomputed"] + linear["recomputed"] + attention["recomputed"],
        masked=attention["masked"],
    )


def _visual_costs(config: VLM3RConfig, recipe: Recipe, frames: int, stored: frozenset[str]) -> Mapping[str, float]:
    """Towers, fusion and projector: once a clip, however many questions share it."""
    parts, forward = recipe.parts, prefill_flops(config, 1, 0)
    tokens, dim = config.layout.grid_side**2, config.qwen2.hidden_size
    first, second = 2 * tokens * config.siglip.hidden_size * dim, 2 * tokens * dim * dim
    below, trained = reaches_projector_inputs(config, recipe), parts.projector == "full"
    fusion_passes = 1
    if below and config.geometry != "none":
        fusion_passes += 1 + (parts.fusion == "full")
    vision, recomputed = 0.0, 0.0
    if "vision" not in stored:
        vision = float(forward.vision)
    if parts.vision_tower == "full":
        # Pixels ask for no gradient, and a repeated layer stops before its last product.
        patches = 2 * tokens * 3 * config.patch_size**2 * config.siglip.hidden_size
        last = 2 * tokens * config.siglip.hidden_size * config.siglip.intermediate_size
        again = vision - patches - config.siglip.num_hidden_layers * last
        vision, recomputed = 3 * vision - patches, again * recipe.optimiser.gradient_checkpointing
    geometry = 0 if "geometry" in stored else forward.geometry
    return {
        "vision": frames * vision,
        "geometry": frames * geometry * (3.0 if parts.geometry_encoder == "full" else 1.0),
        "fusion": float(frames * (forward.fusion - first - second) * fusion_passes),
        "projector": float(frames * (first * (1 + trained + below) + second * (1 + trained + (trained or below)))),
        "recomputed": frames * recomputed,
    }


def _linear_costs(config: VLM3RConfig, recipe: Recipe, tokens: int) -> Mapping[str, float]:
    """Linear layers of all blocks, and their adapters."""
    layers, blocks, rank = linear_layers(config), config.qwen2.num_hidden_layers, recipe.lora.rank
    adapted = adapted_layers(config, recipe)
    full = recipe.parts.language_model == "full"
    own = sum(2.0 * tokens * a * b for a, b in layers.values())
    low = sum(2.0 * tokens * rank * (a + b) for a, b in adapted.values())
    gradients, low_gradients = blocks * own, 2 * blocks * low
    if not reaches_language_inputs(config, recipe):
        # The first block's input asks for no gradient.
        gradients -= sum(2.0 * tokens * a * b for n, (a, b) in layers.items() if n in INPUT_LAYERS)
        low_gradients -= sum(2.0 * tokens * rank * a for n, (a, _) in adapted.items() if n in INPUT_LAYERS)
    if not (full or adapted or reaches_language_inputs(config, recipe)):
        gradients = 0.0
    recomputed = 0.0
    if recipe.optimiser.gradient_checkpointing and gradients:
        recomputed = blocks * (own + low - _stopped_early(layers["down_proj"], "down_proj" in adapted, tokens, rank))
    return {
        "forward": blocks * own,
        "backward": gradients + (blocks * own if full else 0.0),
        "adapters": blocks * low + low_gradients,
        "recomputed": recomputed,
    }


def _stopped_early(widths: tuple[int, int], adapted: bool, tokens: int, rank: int) -> float:
    """A block's last product, which a repeated forward pass leaves out because nothing needs its result."""
    return 2.0 * tokens * widths[1] * (rank if adapted else widths[0])


def _attention_costs(config: VLM3RConfig, recipe: Recipe, shape: BatchShape) -> Mapping[str, float]:
    text, kernel = config.qwen2, recipe.model.attention
    a_pair = 4.0 * text.num_hidden_layers * text.num_attention_heads * head_dim(config)
    trained = recipe.parts.language_model != "frozen" or reaches_language_inputs(config, recipe)
    # One question alone is an ordinary causal sequence, for which SDPA needs no mask.
    knows_mask = kernel in BLOCK_KERNELS or (kernel == "sdpa" and shape.rows == 1)
    pairs = shape.pairs if knows_mask else shape.computed_pairs
    backward = 2.0 * trained
    again = float(trained and recipe.optimiser.gradient_checkpointing)
    repeated = SCORE_PRODUCT * trained if kernel != "eager" else 0.0
    useful = a_pair * shape.pairs * (1 + backward)
    return {
        "useful": useful,
        "recomputed": a_pair * shape.pairs * again,
        "masked": a_pair * pairs * (1 + backward + again + repeated) - useful - a_pair * shape.pairs * again,
    }
