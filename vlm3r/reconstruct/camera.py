"""Camera arithmetic: poses, camera paths and focal lengths.

Cameras look along +z with x to the right and y down (OpenCV). A pose is CUT3R's `camera_pose`: translation (x, y, z)
and quaternion (w, x, y, z), taking camera coordinates to those of the first camera.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def pose_to_matrix(pose: NDArray[np.floating]) -> Array:
    """The camera-to-world matrices (..., 4, 4) of poses (..., 7); quaternions need not be normalised.

    A pose that is not finite or whose quaternion is zero gives a matrix of NaN.
    """
    pose = np.asarray(pose, np.float64)
    if pose.shape[-1] != 7:
        raise ValueError(f"camera_pose: last axis must be 7 (translation, quaternion), got shape {pose.shape}")
    with np.errstate(divide="ignore", invalid="ignore"):
        quaternion = pose[..., 3:] / np.linalg.norm(pose[..., 3:], axis=-1, keepdims=True)
    w, x, y, z = np.moveaxis(quaternion, -1, 0)
    matrix = np.zeros((*pose.shape[:-1], 4, 4))
    matrix[..., 0, :3] = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1)
    matrix[..., 1, :3] = np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1)
    matrix[..., 2, :3] = np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1)
    matrix[..., :3, 3] = pose[..., :3]
    matrix[..., 3, 3] = 1
    matrix[~np.isfinite(matrix).all((-2, -1))] = np.nan
    return matrix


def transform(matrix: Array, points: NDArray[np.floating]) -> Array:
    """Points (..., 3) moved by one rigid matrix (4, 4)."""
    with np.errstate(invalid="ignore"):  # infinite coordinates become NaN
        return points @ matrix[:3, :3].T + matrix[:3, 3]


def estimate_focal(points: NDArray[np.floating], iterations: int = 10, most_pixels: int = 20_000) -> float | None:
    """Focal length, in pixels, that best explains a pointmap (H, W, 3) in its own camera's frame; `None` if none does.

    Minimises the sum over pixels of |q - g p| over g = 1 / f, where p is the pixel's offset from the picture's centre
    (the principal point) and q = (x / z, y / z). A sum of distances, not of squares, and with the errors on the side of
    the estimated points, so that stray points have no leverage. Solved by reweighted least squares (Weiszfeld's
    algorithm) from the median of per-pixel estimates. Pixel centres lie at half-integers.
    """
    height, width = points.shape[:2]
    step = max(1, int(np.ceil(np.sqrt(height * width / most_pixels))))
    rows, columns = np.arange(0, height, step), np.arange(0, width, step)
    offset = np.stack(np.meshgrid(columns + 0.5 - width / 2, rows + 0.5 - height / 2), -1)  # (h, w, 2)
    sample = np.asarray(points[::step, ::step], np.float64)
    good = np.isfinite(sample).all(-1) & (sample[..., 2] > 0)
    p, xyz = offset[good], sample[good]  # (n, 2), (n, 3)
    with np.errstate(over="ignore", invalid="ignore"):
        q = xyz[:, :2] / xyz[:, 2:]
        dot, square = (p * q).sum(-1), (p * p).sum(-1)
    usable = np.isfinite(dot) & (square > 0)
    if usable.sum() < 2:
        return None
    p, q, dot, square = p[usable], q[usable], dot[usable], square[usable]
    inverse = float(np.median(dot / square))
    for _ in range(iterations):
        weight = 1 / np.maximum(np.linalg.norm(q - inverse * p, axis=-1), 1e-9)
        inverse = float((weight * dot).sum() / (weight * square).sum())
    return 1 / inverse if np.isfinite(inverse) and inverse > 0 else None
