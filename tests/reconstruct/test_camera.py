from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vlm3r.reconstruct.camera import estimate_focal, pose_to_matrix, transform


def random_poses(count: int, seed: int = 0) -> tuple[np.ndarray, Rotation]:
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(count, rng=rng)
    x, y, z, w = rotation.as_quat().T
    return np.concatenate([rng.normal(size=(count, 3)), np.stack([w, x, y, z], 1)], 1), rotation


def test_pose_matrices_agree_with_scipy():
    poses, rotation = random_poses(50)
    matrices = pose_to_matrix(poses)
    np.testing.assert_allclose(matrices[:, :3, :3], rotation.as_matrix(), atol=1e-12)
    np.testing.assert_array_equal(matrices[:, :3, 3], poses[:, :3])
    np.testing.assert_array_equal(matrices[:, 3], np.tile([0, 0, 0, 1], (50, 1)))


def test_the_length_and_sign_of_a_quaternion_do_not_matter():
    poses, _ = random_poses(20)
    scaled = poses.copy()
    scaled[:, 3:] *= -3.7
    np.testing.assert_allclose(pose_to_matrix(scaled), pose_to_matrix(poses), atol=1e-12)


def test_a_pose_takes_the_camera_centre_to_its_translation():
    poses, rotation = random_poses(1)
    point = np.array([[0.0, 0, 0], [0, 0, 2]])
    expected = rotation[0].apply(point) + poses[0, :3]
    np.testing.assert_allclose(transform(pose_to_matrix(poses[0]), point), expected, atol=1e-12)


@pytest.mark.parametrize("bad", [[0, 0, 0, 0, 0, 0, 0], [np.nan, 0, 0, 1, 0, 0, 0], [0, np.inf, 0, 1, 0, 0, 0]])
def test_a_pose_that_is_none_gives_nan(bad):
    assert np.isnan(pose_to_matrix(np.array(bad, float))).any()


def test_a_pose_of_the_wrong_width_is_refused():
    with pytest.raises(ValueError, match="last axis must be 7"):
        pose_to_matrix(np.zeros((2, 6)))


def pinhole(focal: float, height: int = 60, width: int = 80) -> np.ndarray:
    rng = np.random.default_rng(1)
    u, v = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    depth = rng.uniform(1, 6, (height, width))
    return np.stack([u / focal * depth, v / focal * depth, depth], -1)


@pytest.mark.parametrize("focal", [30.0, 71.3, 400.0])
def test_the_focal_length_of_a_pinhole_pointmap_is_exact(focal):
    assert estimate_focal(pinhole(focal)) == pytest.approx(focal, rel=1e-9)


def test_the_focal_length_survives_subsampling():
    assert estimate_focal(pinhole(300, 300, 400), most_pixels=500) == pytest.approx(300, rel=1e-9)


def test_the_focal_length_is_not_moved_by_a_third_of_stray_points():
    points, rng = pinhole(70), np.random.default_rng(2)
    stray = rng.random(points.shape[:2]) < 0.33
    points[stray] = rng.normal(size=(int(stray.sum()), 3)) * 5
    points[::7, ::5] = np.nan
    assert estimate_focal(points) == pytest.approx(70, rel=0.02)


def test_the_focal_length_of_nothing_is_none():
    assert estimate_focal(np.full((8, 8, 3), np.nan)) is None
    assert estimate_focal(pinhole(50) * [1, 1, -1]) is None
    assert estimate_focal(pinhole(50) * [-1, -1, 1]) is None
