"""From samples to pixels: smooth edges, and no cracks between surfaces that meet."""

from __future__ import annotations

import numpy as np

from .shapes import Array


def averaged(samples: Array, factor: int) -> Array:
    """A picture, uint8 (height, width, RGB), of `factor` x `factor` samples per pixel.

    Samples are weighted by a tent that reaches into the neighbouring pixels: smoother edges than a plain mean.
    """
    if factor == 1:
        return np.ascontiguousarray(samples, np.uint8)
    wide = _tent(_tent(samples.astype(np.uint16), 0), 1)
    height, width = samples.shape[0] // factor, samples.shape[1] // factor
    total = wide.reshape(height, factor, width, factor, 3).sum(axis=(1, 3), dtype=np.uint32)
    weight = 16 * factor * factor
    return ((total + weight // 2) // weight).astype(np.uint8)


def _tent(samples: Array, axis: int) -> Array:
    """Sums of neighbours along an axis with weights 1, 2, 1; the border repeats."""
    padded = np.pad(samples, [(1, 1) if a == axis else (0, 0) for a in range(samples.ndim)], mode="edge")
    moved = np.moveaxis(padded, axis, 0)
    return np.moveaxis(moved[:-2] + 2 * moved[1:-1] + moved[2:], 0, axis)


def close_cracks(covered: Array, *images: Array) -> None:
    """Give samples that nothing covers between two that are covered, at cracks, their neighbour's values, in place.

    Args:
        covered: (height, width) of bool.
        images: (height, width, ...), changed.
    """
    if covered.all():
        return
    row, column = np.nonzero(~covered)
    padded = np.pad(covered, 1)
    left, right, above, below = (padded[row + r, column + c] for r, c in ((1, 0), (1, 2), (0, 1), (2, 1)))
    level, upright = left & right, above & below
    for image in images:
        beside = np.where(level, column - 1, column), np.where(upright & ~level, row - 1, row)
        image[row, column] = image[beside[1], beside[0]]
