"""Attention with rotary 2-D positions, MLP, and the three kinds of transformer block that CUT3R is made of."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Rope(NamedTuple):
    """Rotation tables of some positions for one head width, float32, (batch or 1, 1, token, head width)."""

    cos: Tensor
    sin: Tensor

    def tokens_from(self, start: int) -> Rope:
        """The tables of the tokens from `start` on."""
        return Rope(self.cos[..., start:, :], self.sin[..., start:, :])


def rope_tables(positions: Tensor, head_width: int, base: float) -> Rope:
    """Rotation tables for integer positions `(batch or 1, token, 2)`, the last axis being (y, x); they may be negative.

    The first half of a head's channels turns by y, the second by x. Within a half of width 2Q, channel i pairs with
    channel i + Q and turns by `position * base ** (-i / Q)`.
    """
    quarter = head_width // 4
    exponent = torch.arange(quarter, device=positions.device, dtype=torch.float32) / quarter
    frequencies = torch.pow(base, -exponent)
    angles = positions.to(torch.float32)[..., None] * frequencies  # (batch, token, 2, Q)
    cos, sin = angles.cos(), angles.sin()
    # The sign of the swapped partner is folded into the sine: u' = u cos - v sin, v' = v cos + u sin.
    cos = torch.stack((cos, cos), dim=-2).flatten(-3)  # (batch, token, head width)
    sin = torch.stack((-sin, sin), dim=-2).flatten(-3)
    return Rope(cos[:, None], sin[:, None])


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """`x` (..., head, token, head width) turned by its positions; computed in float32, returned in x's dtype."""
    quarter = x.shape[-1] // 4
    partner = x.unflatten(-1, (2, 2, quarter)).flip(-2).flatten(-3)
    return torch.addcmul(x * rope.cos, partner, rope.sin).to(x.dtype)


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, dim: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) to (..., out)."""
        return self.fc2(F.gelu(self.fc1(x)))


class Attention(nn.Module):
    """Self-attention with one fused projection for query, key and value."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, rope: Rope | None) -> Tensor:
        """(batch, token, dim) to the same shape; `rope` turns queries and keys."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, batch, head, token, width)
        query_key, value = qkv[:2], qkv[2]
        if rope is not None:
            query_key = rotate(query_key, rope)
        out = F.scaled_dot_product_attention(query_key[0], query_key[1], value)
        return self.proj(out.transpose(1, 2).flatten(2))  # (batch, token, dim)


class CrossAttention(nn.Module):
    """Attention of query tokens to context tokens."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projq = nn.Linear(dim, dim)
        self.projk = nn.Linear(dim, dim)
        self.projv = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self, x: Tensor, context: Tensor, rope: tuple[Rope, Rope] | None, want_logits: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """`x` (batch, query, dim) attends to `context` (batch, key, dim).

        `rope` holds the tables of the queries and of the keys. Returns (batch, query, dim) and, with `want_logits`,
        the attention logits averaged over heads and keys, float32 (batch, query).
        """
        query, key, value = (
            linear(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (batch, head, token, width)
            for linear, tokens in ((self.projq, x), (self.projk, context), (self.projv, context))
        )
        if rope is not None:
            query, key = rotate(query, rope[0]), rotate(key, rope[1])
        out = F.scaled_dot_product_attention(query, key, value)
        out = self.proj(out.transpose(1, 2).flatten(2))  # (batch, query, dim)
        return out, mean_logits(query, key) if want_logits else None


def mean_logits(query: Tensor, key: Tensor) -> Tensor:
    """Scaled dot products averaged over heads and keys: (batch, head, token, width) twice to float32 (batch, query).

    The mean over keys of q.k is q.mean(k), so the (query, key) matrix is never formed.
    """
    mean_key = key.float().mean(dim=2, keepdim=True)
    return (query.float() * mean_key).sum(-1).mean(1) * query.shape[-1] ** -0.5


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, mlp_ratio * dim, dim)

    def forward(self, x: Tensor, rope: Rope) -> Tensor:
        """(batch, token, dim) to the same shape."""
        x = x + self.attn(self.norm1(x), rope)
        return x + self.mlp(self.norm2(x))


class DecoderBlock(nn.Module):
    """Pre-norm self-attention, cross-attention to a normed context, and MLP."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, heads)
        self.cross_attn = CrossAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.norm3 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, mlp_ratio * dim, dim)
        self.norm_y = nn.LayerNorm(dim, eps=eps)

    def forward(
        self, x: Tensor, context: Tensor, rope: tuple[Rope, Rope] | None = None, want_logits: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """`x` (batch, token, dim) after one layer, and its mean cross-attention logits (batch, token) if asked for.

        `rope` holds the tables of x's tokens and of the context's, for this block's head width.
        """
        x = x + self.attn(self.norm1(x), None if rope is None else rope[0])
        attended, logits = self.cross_attn(self.norm2(x), self.norm_y(context), rope, want_logits)
        x = x + attended
        return x + self.mlp(self.norm3(x)), logits


class ModulatedNorm(nn.Module):
    """LayerNorm whose output is shifted and scaled by a condition vector."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`x` (batch, token, dim), `condition` (batch, 1, dim), to the shape of x."""
        shift, scale = self.mlp(condition).chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class ModulatedBlock(nn.Module):
    """An encoder block whose two norms are modulated by the camera token."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int, eps: float) -> None:
        super().__init__()
        self.norm1 = ModulatedNorm(dim, eps)
        self.attn = Attention(dim, heads)
        self.norm2 = ModulatedNorm(dim, eps)
        self.mlp = Mlp(dim, mlp_ratio * dim, dim)

    def forward(self, x: Tensor, condition: Tensor, rope: Rope) -> Tensor:
        """`x` (batch, token, dim), `condition` (batch, 1, dim), to the shape of x."""
        x = x + self.attn(self.norm1(x, condition), rope)
        return x + self.mlp(self.norm2(x, condition))
