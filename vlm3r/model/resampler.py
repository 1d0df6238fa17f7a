"""2x2 pooling of projected frame tokens, and newline tokens between rows, frames or clips."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from vlm3r.model.layout import NewlinePosition, PoolMode


def pool_frames(tokens: Tensor, mode: PoolMode) -> Tensor:
    """Tokens of every frame pooled 2x2 on their square grid.

    Args:
        tokens: `(..., token, dim)` with `token` a square number, row by row.
        mode: `average` and `max` drop an odd last row and column; `bilinear` interpolates to half the side, rounded
            up, with `align_corners=False` and no antialiasing.

    Returns:
        `(..., pooled token, dim)`.

    Raises:
        ValueError: the token count is no square, or the mode is unknown.
    """
    side = _square_side(tokens)
    leading = tokens.shape[:-2]
    grid = rearrange(tokens.reshape(-1, side * side, tokens.shape[-1]), "f (h w) d -> f d h w", h=side)
    if mode == "average":
        pooled = F.avg_pool2d(grid, 2)
    elif mode == "max":
        pooled = F.max_pool2d(grid, 2)
    elif mode == "bilinear":
        half = (side + 1) // 2
        pooled = F.interpolate(grid, size=(half, half), mode="bilinear", align_corners=False)
    else:
        raise ValueError(f"unknown pool mode {mode!r}: expected average, max or bilinear")
    pooled = rearrange(pooled, "f d h w -> f (h w) d")
    return pooled.reshape(*leading, *pooled.shape[1:])


def place_newlines(frames: Tensor, newline: Tensor, position: NewlinePosition) -> Tensor:
    """One clip's token sequence: frames joined in time, with newline vectors where `position` says.

    Args:
        frames: `(frame, token, dim)`, each frame a square grid, row by row.
        newline: `(dim,)`.
        position: `grid` after every row of every frame, `frame` after every frame, `one_token` once at the very end,
            `no_token` nowhere.

    Returns:
        `(token, dim)`.
    """
    count, _, dim = frames.shape
    newline = newline.to(frames)
    if position == "grid":
        rows = rearrange(frames, "f (h w) d -> (f h) w d", h=_square_side(frames))
        return torch.cat([rows, newline.expand(rows.shape[0], 1, dim)], dim=1).flatten(0, 1)
    if position == "frame":
        return torch.cat([frames, newline.expand(count, 1, dim)], dim=1).flatten(0, 1)
    if position == "one_token":
        return torch.cat([frames.flatten(0, 1), newline[None]])
    if position == "no_token":
        return frames.flatten(0, 1)
    raise ValueError(f"unknown newline position {position!r}: expected grid, frame, one_token or no_token")


def _square_side(tokens: Tensor) -> int:
    side = round(tokens.shape[-2] ** 0.5)
    if side * side != tokens.shape[-2]:
        raise ValueError(f"{tokens.shape[-2]} tokens a frame (axis -2) are no square grid")
    return side
