"""Configuration of the whole model; the published sizes are the defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast, get_args

from transformers import PreTrainedConfig, Qwen2Config, SiglipVisionConfig
from transformers.configuration_utils import SubConfigSpec

from vlm3r.model.layout import NEWLINE_POSITIONS, POOL_MODES, NewlinePosition, PoolMode, VisualLayout

Geometry = Literal["cut3r", "none"]
GEOMETRY_FEATURES = ("all", "camera_tokens", "patch_tokens")

# SigLIP so400m/14 at 384 pixels, without its last layer (27) and its pooling head.
PUBLISHED_VISION = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 26,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
    "vision_use_head": False,
}

# Qwen2-7B as LLaVA-NeXT-Video-7B-Qwen2 ships it.
PUBLISHED_TEXT = {
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
}


class VLM3RConfig(PreTrainedConfig):
    """Sizes of every part, and the choices that decide which visual tokens the language model sees.

    Raises:
        ValueError: a choice is not one of the known ones; the message lists them.
    """

    model_type = "vlm3r"
    sub_configs_defaults = {  # noqa: RUF012 (declared by the base class as a class variable)
        "text_config": SubConfigSpec(config_class=Qwen2Config, init_kwargs=PUBLISHED_TEXT),
        "vision_config": SubConfigSpec(config_class=SiglipVisionConfig, init_kwargs=PUBLISHED_VISION),
    }

    text_config: dict[str, Any] | PreTrainedConfig | None = None
    """Qwen2 configuration."""
    vision_config: dict[str, Any] | PreTrainedConfig | None = None
    """SigLIP configuration; `num_hidden_layers` counts the layers that run (26 of the 27 published ones)."""
    geometry: str = "cut3r"
    """`cut3r`, or `none` for plain LLaVA-Video: no geometry encoder and no fusion."""
    geometry_config: dict[str, Any] | None = None
    """Fields of `cut3r.CUT3RConfig`; None means the published size."""
    geometry_features: str = "all"
    """Geometry tokens that fusion sees: `camera_tokens`, `patch_tokens`, `all` (also spelled `all_tokens`), or a
    comma-separated list."""
    geometry_image_size: int = 432
    """Side in pixels to which processed frames are resized for the geometry encoder."""
    fusion_num_heads: int = 18
    """Attention heads of the fusion block."""
    fusion_dropout: float = 0.1
    """Dropout on the sum of visual tokens and attended geometry."""
    pool_mode: str = "bilinear"
    """2x2 pooling of video frames: `average`, `max` or `bilinear`."""
    newline_position: str = "grid"
    """Newline tokens of a video: `grid`, `frame`, `one_token` or `no_token`."""
    video_token_id: int = 151646
    """Placeholder id of one video token in `input_ids`; need not be a row of the embedding."""
    image_token_id: int = 151647
    """Placeholder id of one still-image token in `input_ids`."""
    num_output_tokens: int = 151646
    """Ids below this exist in the tokenizer; `generate` never yields a higher one."""
    untrained: bool = False
    """True when the weights are a deterministic filling; programs then say so beside every answer."""
    tie_word_embeddings: bool = False
    """Whether the output layer shares the input embedding (never in published checkpoints)."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.geometry_features = normalise_geometry_features(self.geometry_features)
        _require("geometry", self.geometry, get_args(Geometry))
        _require("pool_mode", self.pool_mode, POOL_MODES)
        _require("newline_position", self.newline_position, NEWLINE_POSITIONS)

    @property
    def qwen2(self) -> Qwen2Config:
        """The language model's configuration."""
        assert isinstance(self.text_config, Qwen2Config)
        return self.text_config

    @property
    def siglip(self) -> SiglipVisionConfig:
        """The visual encoder's configuration."""
        assert isinstance(self.vision_config, SiglipVisionConfig)
        return self.vision_config

    @property
    def image_size(self) -> int:
        """Side in pixels of the frames that the visual encoder reads."""
        return _side(self.siglip.image_size)

    @property
    def patch_size(self) -> int:
        """Side in pixels of the visual encoder's patches."""
        return _side(self.siglip.patch_size)

    @property
    def layout(self) -> VisualLayout:
        """Token counts that follow from the patch grid, pooling and newline choices."""
        return VisualLayout(
            self.image_size // self.patch_size,
            cast(PoolMode, self.pool_mode),
            cast(NewlinePosition, self.newline_position),
        )


def _side(size: int | Sequence[int]) -> int:
    return size if isinstance(size, int) else size[0]


def normalise_geometry_features(selection: str) -> str:
    """The selection with `all_tokens` spelled `all` and a full list reduced to `all`.

    Raises:
        ValueError: a name in the comma-separated list is unknown.
    """
    names = [name.strip() for name in selection.split(",")]
    names = ["all" if name == "all_tokens" else name for name in names]
    for name in names:
        _require("geometry_features", name, GEOMETRY_FEATURES)
    if "all" in names or {"camera_tokens", "patch_tokens"} <= set(names):
        return "all"
    return names[0]


def _require(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"unknown {field} {value!r}: expected one of {', '.join(known)}")
