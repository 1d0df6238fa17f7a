"""A few frames spread evenly over a video of unknown length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Keyframe:
    """A small picture of a frame and its depth."""

    frame_index: int
    """Number of the frame in the source video."""

    timestamp: float
    """Seconds."""

    image: NDArray[np.uint8]
    """(height, width, 3) RGB."""

    depth: NDArray[np.float32]
    """(height, width) metres; NaN where there is none."""


class KeyframeSampler:
    """Keeps every n-th frame, doubling n whenever it holds too many: bounded memory, even spacing."""

    def __init__(self, count: int = 5, longest_side: int = 320) -> None:
        """A sampler of `count` frames, scaled to `longest_side` pixels."""
        self._count, self._longest_side = count, longest_side
        self._stride, self._seen = 1, 0
        self._kept: list[Keyframe] = []
        self._last: Keyframe | None = None

    def add(self, frame_index: int, timestamp: float, image: NDArray[np.uint8], depth: NDArray[np.floating]) -> None:
        """Offers a frame: image (H, W, 3) and depth (H, W) in metres."""
        self._last = self._shrink(frame_index, timestamp, image, depth)
        if self._seen % self._stride == 0:
            self._kept.append(self._last)
        self._seen += 1
        if len(self._kept) > 4 * self._count:
            self._kept, self._stride = self._kept[::2], self._stride * 2

    def frames(self) -> list[Keyframe]:
        """At most `count` frames in order, the first and the last of the video among them."""
        if self._last is None:
            return []
        held = self._kept if self._kept[-1] is self._last else [*self._kept, self._last]
        wanted = np.linspace(held[0].frame_index, held[-1].frame_index, min(self._count, len(held)))
        indices = np.array([frame.frame_index for frame in held])
        chosen = sorted({int(np.abs(indices - number).argmin()) for number in wanted})
        return [held[i] for i in chosen]

    def _shrink(
        self, frame_index: int, timestamp: float, image: NDArray[np.uint8], depth: NDArray[np.floating]
    ) -> Keyframe:
        height, width = depth.shape
        scale = min(1.0, self._longest_side / max(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
        rows = (np.arange(size[1]) + 0.5) * height / size[1]
        columns = (np.arange(size[0]) + 0.5) * width / size[0]
        sample = depth[rows.astype(int)[:, None], columns.astype(int)].astype(np.float32)
        with np.errstate(invalid="ignore"):
            return Keyframe(frame_index, timestamp, small, np.where(np.isfinite(sample) & (sample > 0), sample, np.nan))
