"""Spatial-Visual-View Fusion: every visual token looks at its frame's geometry tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

NORM_EPS = 1e-5
INIT_STD = 0.02


class ProjectedAttention(nn.Module):
    """Multi-head attention with joined input projections, under the weight names of `torch.nn.MultiheadAttention`.

    Written out, because torch's own reads its output projection without calling it, so that an adapter on it (or its
    offloading) would go unnoticed.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ValueError(f"a width of {dim} cannot be split into {num_heads} attention heads")
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier-uniform input projections with zero biases, as torch initialises its own."""
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.in_proj_bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`query` `(batch, token, dim)` attending to `key` and `value` `(batch, key, dim)`: `(batch, token, dim)`."""
        query, key, value = (self._heads(i, tokens) for i, tokens in enumerate((query, key, value)))
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.out_proj(rearrange(attended, "b h t d -> b t (h d)"))

    def weights(self, query: Tensor, key: Tensor) -> Tensor:
        """Attention weights `(batch, token, key)`, mean over heads; for looking at, not for computing."""
        query, key = self._heads(0, query), self._heads(1, key)
        return (query @ key.mT * query.shape[-1] ** -0.5).softmax(dim=-1).mean(dim=1)

    def _heads(self, part: int, tokens: Tensor) -> Tensor:
        """Query (0), key (1) or value (2) projection `(batch, head, token, head dim)`."""
        weight, bias = self.in_proj_weight.chunk(3)[part], self.in_proj_bias.chunk(3)[part]
        return rearrange(F.linear(tokens, weight, bias), "b t (h d) -> b h t d", h=self.num_heads)


class SpatialFusion(nn.Module):
    """`H' = Hv + CrossAttention(query=Hv, key=value=Z3D)` with `Z3D = concat(z', F')` (VLM-3R, section 3.2).

    As published, the attention is a full multi-head attention (with input and output projections of its own) on top
    of outer query, key and value projections; its result is projected, normed, added to the un-normed visual tokens,
    and dropout acts on the sum. Keys carry no position, so the order of the geometry tokens does not matter.
    """

    def __init__(self, visual_dim: int, geometry_dim: int, num_heads: int, dropout: float = 0.1):
        super().__init__()
        self.visual_norm = nn.LayerNorm(visual_dim, eps=NORM_EPS)
        self.geometry_norm = nn.LayerNorm(geometry_dim, eps=NORM_EPS)
        self.query_proj = nn.Linear(visual_dim, visual_dim)
        self.key_proj = nn.Linear(geometry_dim, visual_dim)
        self.value_proj = nn.Linear(geometry_dim, visual_dim)
        self.attention = ProjectedAttention(visual_dim, num_heads)
        self.out_proj = nn.Linear(visual_dim, visual_dim)
        self.out_norm = nn.LayerNorm(visual_dim, eps=NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, visual: Tensor, geometry: Tensor) -> Tensor:
        """Visual tokens enriched with geometry.

        Args:
            visual: `(..., token, visual dim)`, the visual encoder's tokens of each frame.
            geometry: `(..., geometry token, geometry dim)`, the selected geometry tokens of the same frames.

        Returns:
            `(..., token, visual dim)`.

        Raises:
            ValueError: the leading axes (clip, frame) of the two inputs differ.
        """
        if visual.shape[:-2] != geometry.shape[:-2]:
            raise ValueError(
                f"visual tokens of (clip, frame) = {tuple(visual.shape[:-2])} cannot look at geometry tokens of "
                f"{tuple(geometry.shape[:-2])}: every frame needs its own"
            )
        query, key, value = self.project(visual.flatten(0, -3), geometry.flatten(0, -3))
        attended = self.attention(query, key, value)  # (frame, token, visual dim)
        attended = self.out_norm(self.out_proj(attended)).view_as(visual)
        return self.dropout(visual + attended)

    def project(self, visual: Tensor, geometry: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value `(frame, token, visual dim)` as they enter the multi-head attention."""
        geometry = self.geometry_norm(geometry)
        return self.query_proj(self.visual_norm(visual)), self.key_proj(geometry), self.value_proj(geometry)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise as the published code does before training: linears normal(0, 0.02), biases 0, norms 1 and 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, ProjectedAttention):
                module.reset_parameters()


class Projector(nn.Module):
    """Two-layer MLP with an exact GELU from the visual width to the language model's width."""

    def __init__(self, visual_dim: int, text_dim: int):
        super().__init__()
        self.linear_1 = nn.Linear(visual_dim, text_dim)
        self.linear_2 = nn.Linear(text_dim, text_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(..., token, visual dim)` to `(..., token, text dim)`."""
        return self.linear_2(F.gelu(self.linear_1(tokens)))
