"""Which pixels of a pointmap become points, and which way their surfaces face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlm3r.reconstruct.options import ReconstructOptions

Mask = NDArray[np.bool_]


def select_points(
    points: NDArray[np.floating],
    depth: NDArray[np.floating],
    confidence: NDArray[np.floating],
    options: ReconstructOptions,
) -> tuple[Mask, dict[str, int]]:
    """The pixels (H, W) to keep, and how many each rule dropped (a pixel counts for the first rule that it fails).

    Args:
        points: (H, W, 3) metres.
        depth: (H, W) metres along the camera's own axis.
        confidence: (H, W), at least 1 in CUT3R.
        options: the rules.
    """
    finite = np.isfinite(points).all(-1) & np.isfinite(depth) & np.isfinite(confidence) & (confidence > 0)
    rules = {
        "not_finite": finite,
        "depth_range": (depth > options.min_depth) & (depth <= options.max_depth),
        "depth_step": _smooth(depth, options.max_depth_step),
        "low_confidence": _confident(confidence, finite, options),
    }
    keep, dropped = np.ones(depth.shape, bool), {}
    for name, passes in rules.items():
        dropped[name] = int((keep & ~passes).sum())
        keep &= passes
    return keep, dropped


def _smooth(depth: NDArray[np.floating], most: float | None) -> Mask:
    """Pixels (H, W) whose depth differs from each of the 4 neighbours' by at most the share `most` of their own."""
    passes = np.ones(depth.shape, bool)
    if most is None:
        return passes
    with np.errstate(invalid="ignore", over="ignore"):
        for axis in (0, 1):
            step = np.abs(np.diff(depth, axis=axis))
            near, far = (
                np.take(depth, range(depth.shape[axis] - 1), axis),
                np.take(depth, range(1, depth.shape[axis]), axis),
            )
            left, right = [slice(None)] * 2, [slice(None)] * 2
            left[axis], right[axis] = slice(None, -1), slice(1, None)
            passes[tuple(left)] &= ~(step > most * np.abs(near))
            passes[tuple(right)] &= ~(step > most * np.abs(far))
    return passes


def _confident(confidence: NDArray[np.floating], finite: Mask, options: ReconstructOptions) -> Mask:
    """Pixels (H, W) that are at or above both confidence limits."""
    limit = -np.inf if options.min_confidence is None else options.min_confidence
    if options.confidence_percentile > 0 and finite.any():
        limit = max(limit, float(np.percentile(confidence[finite], options.confidence_percentile)))
    return confidence >= limit


def surface_normals(
    points: NDArray[np.floating], camera_centre: NDArray[np.floating], reach: int = 2
) -> NDArray[np.float64]:
    """Unit normals (H, W, 3) of a pointmap (H, W, 3), turned towards the camera; zero where they can't be told.

    The cross product of differences over `reach` pixels to either side, less at the border.
    """
    points = np.asarray(points, np.float64)
    rows, columns = np.arange(points.shape[0]), np.arange(points.shape[1])
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        right = points[:, np.minimum(columns + reach, columns[-1])] - points[:, np.maximum(columns - reach, 0)]
        down = points[np.minimum(rows + reach, rows[-1])] - points[np.maximum(rows - reach, 0)]
        normal = np.cross(right, down)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        normal *= np.where((normal * (camera_centre - points)).sum(-1, keepdims=True) < 0, -1, 1)
    return np.where(np.isfinite(normal).all(-1, keepdims=True), normal, 0)
