"""Patch tokens against category names: SigLIP's sigmoid loss, one level finer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SiglipVisionConfig

from vlm3r.model.vision import VisionTower
from vlm3r.training.vision.recipe import TowerRecipe

INITIAL_SCALE, INITIAL_BIAS = 10.0, -10.0
"""As SigLIP starts (arXiv:2303.15343, section 3.3): hardly anything matches at first."""
WORD_STD = 0.5


def tower_config(tower: TowerRecipe) -> SiglipVisionConfig:
    """SigLIP's configuration for the recipe's sizes, without pooling head."""
    return SiglipVisionConfig(
        hidden_size=tower.hidden_size,
        intermediate_size=tower.intermediate_size,
        num_hidden_layers=tower.num_hidden_layers,
        num_attention_heads=tower.num_attention_heads,
        image_size=tower.image_size,
        patch_size=tower.patch_size,
        vision_use_head=False,
    )


class NameEncoder(nn.Module):
    """Names of categories as vectors: the mean of their words' embeddings, projected."""

    def __init__(self, names: Sequence[str], width: int):
        super().__init__()
        words = sorted({word for name in names for word in name.split()})
        self.words = nn.Parameter(torch.randn(len(words), width) * WORD_STD)
        self.project = nn.Linear(width, width)
        spelt = torch.zeros(len(names), len(words))
        for row, name in zip(spelt, names, strict=True):
            for word in name.split():
                row[words.index(word)] = 1 / len(name.split())
        self.register_buffer("spelt", spelt, persistent=False)

    def forward(self) -> Tensor:
        """`(name, width)`, of unit length."""
        spelt: Any = self.spelt
        return F.normalize(self.project(spelt @ self.words), dim=-1)


class PatchNameModel(nn.Module):
    """A visual encoder and the names that its patches are told apart by.

    Per patch and name there is one yes-or-no question, answered by the sigmoid of the scaled cosine of the two vectors,
    as SigLIP does for whole pictures and captions. Captions also say where things are, names do not: a linear layer
    reads each patch's place from its token, or the encoder would forget it (of mirrored frames, left and right).
    """

    def __init__(self, tower: VisionTower, names: Sequence[str], width: int, present_share: float, place_weight: float):
        super().__init__()
        self.tower = tower
        self.names = NameEncoder(names, width)
        self.norm = nn.LayerNorm(tower.config.hidden_size)
        self.project = nn.Linear(tower.config.hidden_size, width)
        self.place = nn.Linear(tower.config.hidden_size, 2)
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))
        self.bias = nn.Parameter(torch.tensor(INITIAL_BIAS))
        self.present_share, self.place_weight = present_share, place_weight
        side = tower.config.image_size // tower.config.patch_size
        self.register_buffer("places", patch_places(side), persistent=False)

    def match(self, pixel_values: Tensor) -> Tensor:
        """Logits `(frame, patch, name)` that a patch of `pixel_values` `(frame, 3, H, W)` shows a name's category."""
        return self._match(self._tokens(pixel_values))

    def find(self, pixel_values: Tensor) -> Tensor:
        """Where patches lie in their frame, as read from their tokens: `(frame, patch, 2)`, x and y from -1 to 1."""
        return self.place(self._tokens(pixel_values))

    def _tokens(self, pixel_values: Tensor) -> Tensor:
        return self.norm(self.tower(pixel_values))

    def _match(self, tokens: Tensor) -> Tensor:
        return self.log_scale.exp() * (F.normalize(self.project(tokens), dim=-1) @ self.names().T) + self.bias

    def forward(self, pixel_values: Tensor, shares: Tensor) -> dict[str, Tensor]:
        """The loss: binary cross-entropies summed over names, and places' weighted squared error; mean over patches.

        Args:
            pixel_values: `(frame, 3, H, W)`, normalised.
            shares: `(frame, patch, name)`, the share of the patch that each category covers, in 255ths.
        """
        tokens = self._tokens(pixel_values)
        logits = self._match(tokens).float()
        present = (shares >= self.present_share * 255).float()
        losses = F.binary_cross_entropy_with_logits(logits, present, reduction="none")
        places: Any = self.places
        misplaced = (self.place(tokens).float() - places).square().sum(-1).mean()
        return {"loss": losses.sum(-1).mean() + self.place_weight * misplaced, "logits": logits}


def patch_places(side: int) -> Tensor:
    """Centres of `side` by `side` patches, row by row: `(patch, 2)`, x to the right and y down, from -1 to 1."""
    centres = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack((x, y), -1).flatten(0, 1)
