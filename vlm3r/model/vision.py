"""The visual encoder: SigLIP's embeddings and encoder layers, as LLaVA-NeXT-Video uses them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipEncoder, SiglipPreTrainedModel, SiglipVisionEmbeddings

VISION_CHUNK = 32
"""Frames encoded together unless told otherwise."""


class VisionTower(SiglipPreTrainedModel):
    """SigLIP patch tokens before the final norm.

    Published checkpoints drop SigLIP's last layer and read the hidden states that would enter it, so no final norm is
    applied. The `post_layernorm` weights are kept, unused, because published checkpoints store them.
    """

    config_class = SiglipVisionConfig

    def __init__(self, config: SiglipVisionConfig):
        super().__init__(config)
        self.embeddings = SiglipVisionEmbeddings(config)
        self.encoder = SiglipEncoder(config)  # pyright: ignore[reportArgumentType] (it is annotated too narrowly)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def forward(self, frames: Tensor, chunk: int = VISION_CHUNK) -> Tensor:
        """Patch tokens of every frame.

        Args:
            frames: `(..., 3, H, W)`, normalised as SigLIP expects.
            chunk: frames encoded at once; bounds memory, changes nothing else.

        Returns:
            `(..., patch, dim)`, row by row.
        """
        flat = frames.flatten(0, -4)  # (frame, 3, H, W)
        encoded = [
            self.encoder(inputs_embeds=self.embeddings(part)).last_hidden_state
            for part in flat.to(self.embeddings.patch_embedding.weight.dtype).split(chunk)
        ]
        tokens = torch.cat(encoded)  # (frame, patch, dim)
        return tokens.view(*frames.shape[:-3], *tokens.shape[1:])
