"""Line drawings of cameras and the colours of a path from start to end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PATH_COLOURS = "plasma"
"""Matplotlib's name of the path's colour map, early to late."""

_EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1))


def path_colours(count: int) -> NDArray[np.uint8]:
    """RGBA colours (count, 4) from early to late; the brightest end of the map is left out, as it vanishes on white."""
    import matplotlib

    return np.round(matplotlib.colormaps[PATH_COLOURS](np.linspace(0, 0.9, count)) * 255).astype(np.uint8)


def robust_bounds(positions: NDArray[np.floating], percent: float = 1.0) -> tuple[NDArray, NDArray]:
    """Corners (3,), (3,) of the box that leaves out `percent` of the points (point, 3) at either end of each axis."""
    low, high = np.percentile(positions.astype(np.float64), [percent, 100 - percent], axis=0)
    return low, high


def frustum_lines(
    matrices: NDArray[np.float64],
    positions: NDArray[np.floating],
    focal: float | None,
    size: tuple[int, int],
    most: int = 10,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Pyramids of at most `most` cameras, evenly spread over the path, each as deep as 4 % of the scene's diagonal.

    A path short against the pyramids gets fewer of them, so that they don't pile up.

    Args:
        matrices: (pose, 4, 4) camera-to-world, at least one.
        positions: (point, 3) the cloud, which sets the scale.
        focal: focal length in pixels; the pictures' longer side where unknown.
        size: (width, height) of the pictures in pixels.

    Returns:
        lines (line, 2, 3) in the world and the pose (line,) that each belongs to.
    """
    low, high = robust_bounds(np.concatenate([positions, matrices[:, :3, 3]]))
    depth = 0.04 * float(np.linalg.norm(high - low))
    travelled = float(np.linalg.norm(np.diff(matrices[:, :3, 3], axis=0), axis=-1).sum())
    most = min(most, len(matrices), 2 + int(travelled / max(depth, 1e-9)))
    width, height = np.array(size) / (2 * max(focal or max(size), max(size) / 2))  # no wider than 90 degrees
    corners = depth * np.array(
        [[0, 0, 0], [-width, -height, 1], [width, -height, 1], [width, height, 1], [-width, height, 1]]
    )
    chosen = np.unique(np.linspace(0, len(matrices) - 1, most).round().astype(int))
    placed = np.einsum("pij,cj->pci", matrices[chosen, :3, :3], corners) + matrices[chosen, None, :3, 3]  # (p, 5, 3)
    lines = placed[:, np.array(_EDGES)]  # (p, 8, 2, 3)
    return lines.reshape(-1, 2, 3), np.repeat(chosen, len(_EDGES))
