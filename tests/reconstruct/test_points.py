from __future__ import annotations

import numpy as np

from vlm3r.reconstruct.options import ReconstructOptions
from vlm3r.reconstruct.points import select_points, surface_normals

OPEN = {"confidence_percentile": 0, "max_depth_step": None}


def flat(depth: float = 2.0, height: int = 20, width: int = 30):
    u, v = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    points = np.stack([u * depth, v * depth, np.full_like(u, depth)], -1)
    return points, points[..., 2].copy(), np.linspace(1, 9, height * width).reshape(height, width)


def test_each_rule_drops_its_own_pixels():
    points, depth, confidence = flat()
    points[0, 0, 1] = np.nan
    confidence[0, 1] = np.inf
    depth[1, 0], depth[1, 1], depth[1, 2] = -1, 0, 70
    keep, dropped = select_points(points, depth, confidence, ReconstructOptions(**OPEN))
    assert dropped == {"not_finite": 2, "depth_range": 3, "depth_step": 0, "low_confidence": 0}
    assert keep.sum() == keep.size - 5
    assert not keep[[0, 0, 1, 1, 1], [0, 1, 0, 1, 2]].any()


def test_the_least_confident_share_is_dropped():
    points, depth, confidence = flat()
    options = ReconstructOptions(confidence_percentile=30, max_depth_step=None)
    keep, dropped = select_points(points, depth, confidence, options)
    assert dropped["low_confidence"] == 180
    assert confidence[keep].min() > confidence[~keep].max()


def test_equal_confidence_drops_nothing():
    points, depth, confidence = flat()
    keep, _ = select_points(points, depth, np.ones_like(confidence), ReconstructOptions(max_depth_step=None))
    assert keep.all()


def test_the_absolute_limit_joins_the_percentile():
    points, depth, confidence = flat()
    options = ReconstructOptions(confidence_percentile=10, min_confidence=5, max_depth_step=None)
    keep, _ = select_points(points, depth, confidence, options)
    np.testing.assert_array_equal(keep, confidence >= 5)


def test_both_sides_of_a_depth_edge_are_dropped_and_slopes_stay():
    points, depth, confidence = flat()
    depth[:, 15:] = 3
    depth *= np.linspace(1, 1.2, 20)[:, None]
    keep, dropped = select_points(points, depth, confidence, ReconstructOptions(confidence_percentile=0))
    assert dropped["depth_step"] == 40
    assert not keep[:, 14:16].any()
    assert keep[:, :14].all()
    assert keep[:, 16:].all()


def test_normals_of_a_slanted_plane_face_the_camera():
    normal = np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, -0.5, -0.8])
    u, v = np.meshgrid(np.linspace(-0.5, 0.5, 30), np.linspace(-0.4, 0.4, 20))
    rays = np.stack([u, v, np.ones_like(u)], -1)
    points = rays * (normal @ [0, 0, 2] / (rays @ normal))[..., None]
    found = surface_normals(points, np.zeros(3))
    np.testing.assert_allclose(found, np.broadcast_to(normal, found.shape), atol=1e-9)
    beyond = surface_normals(points, np.array([0.0, 0, 50]))
    np.testing.assert_allclose(beyond, -found, atol=1e-9)


def test_normals_are_zero_where_they_cannot_be_told():
    points, _, _ = flat()
    points[5, 5] = np.nan
    points[10:] = 1.0
    found = surface_normals(points, np.zeros(3))
    assert np.isfinite(found).all()
    assert not found[5, 7].any()
    assert not found[15, 15].any()
