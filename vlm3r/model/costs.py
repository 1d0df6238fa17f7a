"""FLOPs and bytes of answering one question, from the configuration alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from cut3r import CUT3RConfig
from cut3r.costs import flops_per_frame, parameters_by_part

from vlm3r.model.config import VLM3RConfig
from vlm3r.model.modeling import VLM3RForConditionalGeneration


@dataclass(frozen=True)
class PrefillCosts:
    """FLOPs from frames to the first answer token, two for a multiply-add; matrix products and attention only."""

    vision: int
    """SigLIP over all frames."""
    geometry: int
    """CUT3R over all frames, without its heads; 0 without geometry."""
    fusion: int
    """Cross-attention block and projector over all frames."""
    language: int
    """Qwen2 over the whole prompt, attention counted for the causal half only."""

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return self.vision + self.geometry + self.fusion + self.language


def prefill_flops(config: VLM3RConfig, frames: int, text_tokens: int) -> PrefillCosts:
    """FLOPs to read a video of `frames` frames and a prompt with `text_tokens` tokens beside the visual ones."""
    geometry = 0
    if config.geometry == "cut3r":
        size = config.geometry_image_size
        geometry = flops_per_frame(CUT3RConfig.from_dict(config.geometry_config or {}), size, size).total
    tokens = config.layout.video_tokens(frames) + text_tokens
    return PrefillCosts(
        vision=frames * _vision(config),
        geometry=frames * geometry,
        fusion=frames * (_fusion(config) + _projector(config)),
        language=_language(config, tokens),
    )


def cache_bytes(config: VLM3RConfig, tokens: int, bytes_per_number: int = 2) -> int:
    """Bytes of Qwen2's key/value cache for `tokens` tokens."""
    return 2 * config.qwen2.num_hidden_layers * _key_value_dim(config) * tokens * bytes_per_number


def count_parameters(config: VLM3RConfig) -> dict[str, int]:
    """Numbers of parameters by part, and their `total`; no memory is allocated."""
    with torch.device("meta"):
        return parameters_by_part(VLM3RForConditionalGeneration(config))


def _linear(tokens: int, dim: int, out: int) -> int:
    return 2 * tokens * dim * out


def _vision(config: VLM3RConfig) -> int:
    vision = config.siglip
    tokens, dim = config.layout.grid_side**2, vision.hidden_size
    layer = 4 * _linear(tokens, dim, dim) + 2 * _linear(tokens, dim, vision.intermediate_size) + 4 * tokens**2 * dim
    return _linear(tokens, 3 * config.patch_size**2, dim) + vision.num_hidden_layers * layer


def _fusion(config: VLM3RConfig) -> int:
    if config.geometry == "none":
        return 0
    encoder = CUT3RConfig.from_dict(config.geometry_config or {})
    queries, dim, width = config.layout.grid_side**2, config.siglip.hidden_size, encoder.dec_embed_dim
    patches = (config.geometry_image_size // encoder.patch_size) ** 2
    keys = {"all": patches + 1, "patch_tokens": patches, "camera_tokens": 1}[config.geometry_features]
    # Query, its in-projection, two output projections; keys and values likewise on their side.
    projections = 4 * _linear(queries, dim, dim) + 2 * _linear(keys, width, dim) + 2 * _linear(keys, dim, dim)
    return projections + 4 * queries * keys * dim


def _projector(config: VLM3RConfig) -> int:
    tokens, dim = config.layout.grid_side**2, config.qwen2.hidden_size
    return _linear(tokens, config.siglip.hidden_size, dim) + _linear(tokens, dim, dim)


def _language(config: VLM3RConfig, tokens: int) -> int:
    text = config.qwen2
    dim = text.hidden_size
    layer = 2 * _linear(tokens, dim, dim) + 2 * _linear(tokens, dim, _key_value_dim(config))
    layer += 3 * _linear(tokens, dim, text.intermediate_size) + 2 * tokens**2 * dim
    return text.num_hidden_layers * layer + _linear(1, dim, text.vocab_size)


def _key_value_dim(config: VLM3RConfig) -> int:
    """Width of the keys (and of the values) of one token in one layer."""
    text = config.qwen2
    heads = text.num_key_value_heads or text.num_attention_heads
    return heads * (text.hidden_size // text.num_attention_heads)
