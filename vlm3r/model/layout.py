"""How many visual tokens a clip becomes, and in what order: shared by the resampler and the processor.

Pure integer arithmetic, so that counting placeholder tokens needs neither weights nor frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

PoolMode = Literal["average", "max", "bilinear"]
NewlinePosition = Literal["grid", "frame", "one_token", "no_token"]

POOL_MODES: tuple[str, ...] = get_args(PoolMode)
NEWLINE_POSITIONS: tuple[str, ...] = get_args(NewlinePosition)


@dataclass(frozen=True)
class VisualLayout:
    """Token counts of one model: a square patch grid, 2x2 pooling of videos, newline tokens."""

    grid_side: int
    """Patches along one side of a frame: 27 for SigLIP so400m at 384 pixels."""
    pool_mode: PoolMode = "bilinear"
    """How 2x2 patches of a video frame become one token; images are never pooled."""
    newline_position: NewlinePosition = "grid"
    """Where newline tokens stand in a video; a still image always has them after every row (`grid`)."""

    @property
    def pooled_side(self) -> int:
        """Tokens along one side of a pooled frame: `average` and `max` drop an odd last row, `bilinear` keeps it."""
        return math.ceil(self.grid_side / 2) if self.pool_mode == "bilinear" else self.grid_side // 2

    def video_tokens(self, frames: int) -> int:
        """Number of tokens of a video of `frames` frames, newlines included."""
        side = self.pooled_side
        newlines = {"grid": frames * side, "frame": frames, "one_token": 1, "no_token": 0}[self.newline_position]
        return frames * side * side + newlines

    @property
    def image_tokens(self) -> int:
        """Number of tokens of one still image: the unpooled grid with a newline after every row."""
        return self.grid_side * (self.grid_side + 1)
