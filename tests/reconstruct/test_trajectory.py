from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vlm3r.reconstruct.frames import Frame, Framing
from vlm3r.reconstruct.trajectory import Trajectory


@pytest.fixture
def trajectory(room):
    result = Trajectory()
    for (index, timestamp, image), pose in zip(room.frames(), room.poses, strict=True):
        result.add(Frame(index, timestamp, image), pose * [1, 1, 1, 2, 2, 2, 2], room.focal + index)
    return result


def test_tum_lines_hold_camera_to_world_with_the_scalar_last(room, trajectory):
    rows = np.array([line.split() for line in trajectory.tum().splitlines()], float)
    assert rows.shape == (room.count, 8)
    np.testing.assert_allclose(rows[:, 0], [3 * i / 10 for i in range(room.count)], atol=1e-6)
    np.testing.assert_allclose(rows[:, 1:4], room.to_world[:, :3, 3], atol=1e-8)
    np.testing.assert_allclose(Rotation.from_quat(rows[:, 4:]).as_matrix(), room.to_world[:, :3, :3], atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(rows[:, 4:], axis=1), 1, atol=1e-8)


def test_json_holds_the_same_matrices_and_both_focal_lengths(room, trajectory):
    document = json.loads(trajectory.json(Framing.plan(room.width * 2, room.height * 2, room.width)))
    frames = document["frames"]
    np.testing.assert_allclose([frame["camera_to_world"] for frame in frames], room.to_world, atol=1e-12)
    assert [frame["frame_index"] for frame in frames] == list(range(0, 3 * room.count, 3))
    assert [frame["focal_px"] for frame in frames] == [room.focal + 3 * i for i in range(room.count)]
    assert [frame["focal_source_px"] for frame in frames] == [2 * (room.focal + 3 * i) for i in range(room.count)]
    assert document["image_size"] == [room.width, room.height]


def test_a_pose_that_is_not_finite_is_left_out(room):
    trajectory = Trajectory()
    assert trajectory.add(Frame(0, 0.0, room.images[0]), np.full(7, np.nan), None) is None
    assert len(trajectory) == 0
    assert trajectory.matrices.shape == (0, 4, 4)
    assert trajectory.tum() == ""


def test_length_adds_up_the_steps(room, trajectory):
    expected = sum(np.linalg.norm(b - a) for a, b in zip(room.poses[:-1, :3], room.poses[1:, :3], strict=True))
    assert trajectory.length == pytest.approx(expected)
