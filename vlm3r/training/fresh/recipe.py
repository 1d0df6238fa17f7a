"""The recipe of a model that starts from nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vlm3r.training.vision.recipe import LARGEST_SIZE, TowerRecipe

LARGEST: Mapping[str, float] = {"rope_theta": 1e12, "max_position_embeddings": 2**31 - 1, "vocabulary": 2**20}
"""Upper ends of what is no width or count of parts."""

STARTS = ("plain", "copying")
"""What fresh weights of the language model can be."""


@dataclass(frozen=True)
class LanguageRecipe:
    """Sizes and start of the language model, a small Qwen2."""

    hidden_size: int = 192
    """Width of the tokens."""
    intermediate_size: int = 576
    """Hidden width of the gated MLPs."""
    num_hidden_layers: int = 6
    """Blocks."""
    num_attention_heads: int = 6
    """Attention heads."""
    num_key_value_heads: int = 6
    """Key and value heads; fewer than attention heads share them."""
    rope_theta: float = 10000.0
    """Base of the rotary positions."""
    max_position_embeddings: int = 32768
    """Longest sequence in tokens."""
    vocabulary: int = 1024
    """Most tokens that the tokenizer learns, markup aside."""
    start: str = "copying"
    """Fresh weights: `plain` as transformers fills them, or `copying`, which can already look back, match and copy."""

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise ValueError(f"start must be {' or '.join(STARTS)}, not {self.start!r}")
        for name in (one.name for one in fields(self) if one.name != "start"):
            size, largest = getattr(self, name), LARGEST.get(name, LARGEST_SIZE)
            if not 1 <= size <= largest:
                raise ValueError(f"{name} must lie between 1 and {largest:,}, not {size}")
        if self.hidden_size % self.num_attention_heads or self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads must divide hidden_size, num_key_value_heads num_attention_heads")


@dataclass(frozen=True)
class FreshRecipe:
    """A new model: sizes, a tokenizer from training rows, parts that were trained before, the rest from a seed."""

    corpus: tuple[Path, ...] = ()
    """Training rows, JSON Lines, that the tokenizer is learnt from."""
    language: LanguageRecipe = field(default_factory=LanguageRecipe)
    """Sizes of the language model."""
    vision: Path | None = None
    """Folder of a visual encoder that `vlm3r vision train` wrote; null makes a new one of the sizes in `tower`."""
    tower: TowerRecipe = field(default_factory=TowerRecipe)
    """Sizes of a new visual encoder."""
    geometry: Path | str | None = None
    """CUT3R folder or file; null makes a model without geometry, as base models are."""
    pool_mode: str = "bilinear"
    """2x2 pooling of frames: average, max or bilinear."""
    newline_position: str = "grid"
    """Newline tokens: grid, frame, one_token or no_token."""
    fusion_num_heads: int = 6
    """Attention heads of the fusion block."""
    fusion_dropout: float = 0.1
    """Dropout on the fused tokens while training."""
    processor: dict[str, Any] = field(default_factory=dict)
    """Further settings of the processor: num_frames, force_sample, add_time_instruction, ..."""
    untrained: bool = True
    """Marks the result as untrained; a training run takes the mark off."""
    seed: int = 0
    """Decides the fresh weights."""

    def __post_init__(self) -> None:
        if not self.corpus:
            raise ValueError("corpus must name at least one file of training rows")
