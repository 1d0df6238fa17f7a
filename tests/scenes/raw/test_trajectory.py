"""Reading `.traj` files, against matrices inverted by NumPy and poses between two others by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.scenes.raw.arkitscenes_files import trajectory_line
from vlm3r.errors import UserError
from vlm3r.scenes.raw import trajectory
from vlm3r.scenes.raw.trajectory import Trajectory, read_trajectory


def pose_at(degrees: float, x: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    pose[0, 3] = x
    return pose


def test_world_to_camera_lines_become_camera_to_world_poses(tmp_path):
    rng = np.random.default_rng(1)
    motions = np.tile(np.eye(4), (5, 1, 1))
    motions[:, :3, :3] = Rotation.from_quat(rng.normal(size=(5, 4))).as_matrix()
    motions[:, :3, 3] = rng.uniform(-4, 4, (5, 3))
    lines = []
    for time, motion in zip([12.5, 12.1, 12.2, 12.3, 12.4], motions, strict=True):
        axis_angle = Rotation.from_matrix(motion[:3, :3]).as_rotvec()
        lines.append(" ".join(str(number) for number in [time, *axis_angle, *motion[:3, 3]]))
    (tmp_path / "a.traj").write_text("\n".join(lines))
    read, problems = read_trajectory(tmp_path / "a.traj")
    assert problems == () and read.times.tolist() == [12.1, 12.2, 12.3, 12.4, 12.5]
    assert read.poses == pytest.approx(np.linalg.inv(motions[[1, 2, 3, 4, 0]]), abs=1e-12)


def test_a_quarter_turn_by_hand(tmp_path):
    # the world's x axis is the camera's y axis; the camera stands at world (2, 0, 0)
    (tmp_path / "a.traj").write_text(f"1.0 0 0 {np.pi / 2} 0 -2 0\n")
    pose = read_trajectory(tmp_path / "a.traj")[0].poses[0]
    assert pose == pytest.approx(np.array([[0, 1, 0, 2], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), abs=1e-12)


TWO = Trajectory(np.array([10.0, 10.1]), np.stack([pose_at(0, 0), pose_at(20, 1)]))


@pytest.mark.parametrize(
    ("time", "x"),
    [(10.0, 0), (10.04, 0), (10.06, 1), (9.95, 0), (9.949, None), (10.15, 1), (10.151, None), (99.0, None), (-1, None)],
)
def test_the_nearest_pose_within_fifty_milliseconds_counts(time, x):
    pose = TWO.at(time)
    assert (None if pose is None else pose[0, 3]) == x


def test_between_two_poses_the_camera_turns_and_moves_evenly():
    assert TWO.at(10.025, interpolate=True) == pytest.approx(pose_at(5, 0.25))
    assert TWO.at(10.1, interpolate=True) == pytest.approx(pose_at(20, 1))
    assert TWO.at(10.14, interpolate=True) == pytest.approx(pose_at(20, 1))


def test_a_pose_taken_with_the_picture_is_not_touched():
    assert TWO.at(10.0014, interpolate=True) == pytest.approx(pose_at(0, 0), abs=0)


def test_the_middle_of_a_slow_step_has_the_pose_between_though_none_is_within_fifty_milliseconds():
    slow = Trajectory(np.array([10.0, 10.12]), TWO.poses)
    assert slow.at(10.06, interpolate=True) == pytest.approx(pose_at(10, 0.5))
    assert slow.at(10.06) is None


def test_nothing_is_made_up_within_a_gap():
    apart = Trajectory(np.array([10.0, 10.4]), TWO.poses)
    assert apart.at(10.2, interpolate=True) is None
    assert apart.at(10.04, interpolate=True) == pytest.approx(pose_at(0, 0))


@pytest.mark.parametrize(
    "bad",
    ["1.0 2.0", "1.2 0 0 0 0 0 nan", "1.2 0 0 0 0 0 x", "inf 0 0 0 0 0 0", "1.2 0 0 0 0 0 0 0", "1.2 0 0 0 0 0 1e300"],
)
def test_lines_that_are_no_pose_are_left_out_and_named(tmp_path, bad):
    good = trajectory_line(5.0, pose_at(10, 2))
    (tmp_path / "a.traj").write_text(f"{good}\n\n{bad}\n")
    read, problems = read_trajectory(tmp_path / "a.traj")
    assert read.times.tolist() == [5.0] and len(problems) == 1 and "line 3" in problems[0] and "1 of 2" in problems[0]


def test_of_two_poses_of_one_time_the_first_counts(tmp_path):
    lines = [trajectory_line(5.0, pose_at(0, 2)), trajectory_line(5.0, pose_at(0, 3))]
    (tmp_path / "a.traj").write_text("\n".join(lines))
    read, problems = read_trajectory(tmp_path / "a.traj")
    assert read.poses[:, 0, 3] == pytest.approx([2]) and "repeated" in problems[0]


@pytest.mark.parametrize("content", ["", "\n\n", "nonsense\n", "\x00\xff" * 50])
def test_a_file_without_poses_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "a.traj").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"a\.traj: none of its \d+ lines is a pose") as refusal:
        read_trajectory(tmp_path / "a.traj")
    assert "\n" not in str(refusal.value)


def test_missing_and_huge_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no such file"):
        read_trajectory(tmp_path / "a.traj")
    (tmp_path / "b.traj").write_text(trajectory_line(1, np.eye(4)))
    monkeypatch.setattr(trajectory, "MAX_BYTES", 10)
    with pytest.raises(UserError, match="too many for a trajectory"):
        read_trajectory(tmp_path / "b.traj")
