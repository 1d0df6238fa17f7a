"""The recipe of a small visual encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vlm3r.training.recipe import Method
from vlm3r.training.settings import SEEDS

LARGEST_SIZE = 65_536
"""Of anything in a small model; beyond it a slip is likelier than a wish."""


@dataclass(frozen=True)
class TowerRecipe:
    """Sizes of the visual encoder."""

    image_size: int = 144
    """Side in pixels to which frames are squashed."""
    patch_size: int = 16
    """Side of a patch in pixels."""
    hidden_size: int = 192
    """Width of the tokens."""
    intermediate_size: int = 576
    """Hidden width of the MLPs."""
    num_hidden_layers: int = 4
    """Encoder layers."""
    num_attention_heads: int = 6
    """Attention heads."""

    def __post_init__(self) -> None:
        for name, size in vars(self).items():
            if not 1 <= size <= LARGEST_SIZE:
                raise ValueError(f"{name} must lie between 1 and {LARGEST_SIZE}, not {size}")
        if self.image_size % self.patch_size or self.hidden_size % self.num_attention_heads:
            raise ValueError("image_size must be a multiple of patch_size, hidden_size of num_attention_heads")


@dataclass(frozen=True)
class VisionRecipe:
    """Training of a small visual encoder on annotated scenes."""

    scenes: tuple[Path, ...] = ()
    """Folders of scenes with instance masks."""
    held_out: int = 16
    """Scenes, the last ones by name, that are measured instead of trained on."""
    cache: Path = Path("outputs/vision_cache")
    """Folder for decoded pictures and patch labels; made once."""
    out: Path = Path("outputs/vision")
    """Folder of the encoder; a run that was cut off continues from its last checkpoint."""
    tower: TowerRecipe = field(default_factory=TowerRecipe)
    """Sizes of the encoder."""
    text_width: int = 64
    """Width of the space in which patches and names meet."""
    present_share: float = 0.1
    """A patch shows a category that covers at least this share of its pixels."""
    place_weight: float = 1.0
    """Weight of the patches' places in the loss; at 0 the encoder of mirrored frames forgets left and right."""
    steps: int = 3000
    """Optimiser steps."""
    batch_size: int = 64
    """Frames a step."""
    method: Method = "adamw"
    """adamw, or muon on the weights of linear layers and AdamW on the rest."""
    learning_rate: float = 1e-3
    """Peak learning rate, reached after the warm-up, then a cosine down to 0."""
    warmup: float = 0.05
    """Share of the steps over which the rate rises."""
    weight_decay: float = 0.05
    """Weight decay of matrices."""
    precision: str = "bfloat16"
    """Arithmetic of the forward pass: float32 or bfloat16."""
    save_every: int = 500
    """Steps between checkpoints."""
    workers: int = 2
    """Processes that decode scenes into the cache."""
    seed: int = 0
    """Decides order, augmentation and fresh weights."""

    def __post_init__(self) -> None:
        if not self.scenes:
            raise ValueError("scenes must name at least one folder")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be float32 or bfloat16, not {self.precision}")
        if not 0 < self.present_share <= 1:
            raise ValueError("present_share must lie above 0 and at most 1")
        if min(self.text_width, self.steps, self.batch_size, self.save_every, self.workers) < 1 or self.held_out < 0:
            raise ValueError(
                "text_width, steps, batch_size, save_every and workers must be 1 or more, held_out 0 or more"
            )
        if self.place_weight < 0:
            raise ValueError("place_weight must be 0 or more")
        if self.learning_rate <= 0 or not 0 <= self.warmup < 1 or self.weight_decay < 0:
            raise ValueError("learning_rate must be above 0, warmup at least 0 and below 1, weight_decay at least 0")
        if self.text_width > LARGEST_SIZE or not 0 <= self.seed < SEEDS:
            raise ValueError(f"text_width must be at most {LARGEST_SIZE}, and seed 0 or more and below 2^32")
