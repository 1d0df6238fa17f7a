"""Relations between oriented boxes: which stands on which, which lies in which, in what direction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.boxes import BoxArray
from vlm3r.scenes.schema import Array

Mask = NDArray[np.bool_]

SUPPORT_GAP = 0.05
"""Metres by which an object's underside may miss the surface below it."""
CONTAINMENT_SLACK = 0.02
"""Metres by which a contained box may stick out."""


def supports(boxes: BoxArray, gap: float = SUPPORT_GAP) -> Mask:
    """[i, j]: box i rests on top of box j, (n, n).

    A vertical ray down through i's centre must enter j within `gap` metres of i's underside.
    """
    if not len(boxes):
        return np.zeros((0, 0), bool)
    offset = boxes.centres[:, None] - boxes.centres[None]
    start = np.einsum("ijd,jkd->ijk", offset, boxes.axes)
    down = -boxes.axes[None, :, :, 2]
    half = boxes.sizes[None] / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        near, far = (-half - start) / down, (half - start) / down
    flat = np.abs(down) < 1e-9  # the ray runs along this pair of faces: always or never between them
    between = np.abs(start) <= half
    enter = np.where(flat, np.where(between, -np.inf, np.inf), np.minimum(near, far)).max(-1)
    leave = np.where(flat, np.where(between, np.inf, -np.inf), np.maximum(near, far)).min(-1)
    height = boxes.centres[:, 2] - boxes.corners()[..., 2].min(1)  # centre to underside
    result = (enter <= leave) & (np.abs(enter - height[:, None]) <= gap)
    np.fill_diagonal(result, False)
    return result


def contains(boxes: BoxArray, slack: float = CONTAINMENT_SLACK) -> Mask:
    """[i, j]: box i lies inside the larger box j, (n, n)."""
    offset = boxes.corners()[:, None] - boxes.centres[None, :, None]  # (i, j, corner, 3)
    local = np.abs(np.einsum("ijcd,jkd->ijck", offset, boxes.axes))
    inside = (local <= boxes.sizes[None, :, None] / 2 + slack).all((2, 3))
    volume = boxes.sizes.prod(1)
    return inside & (volume[:, None] < volume[None])


def bearings(origins: Array, targets: Array) -> Array:
    """Directions from points to points in the floor plane, degrees counter-clockwise from +x, (origin, target...).

    Args:
        origins: (n, 3) or (n, 2).
        targets: (..., 3) or (..., 2).
    """
    extra = (1,) * (targets.ndim - 1)
    offset = targets[None, ..., :2] - origins[:, :2].reshape(-1, *extra, 2)
    return np.degrees(np.arctan2(offset[..., 1], offset[..., 0]))
