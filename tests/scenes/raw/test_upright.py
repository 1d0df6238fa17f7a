"""Turning pictures and cameras, against projections and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vlm3r.scenes.raw.upright import sky_turns, turn_intrinsics, turn_picture, turn_pose, vote_upright
from vlm3r.scenes.schema import Intrinsics

CAMERA = Intrinsics(width=40, height=30, fx=31.0, fy=29.0, cx=17.5, cy=16.25)
LEVEL = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)
"""Columns: a camera that looks along the world's y axis with its x axis to the right and its y axis down."""


def level_pose(heading: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Degrees: heading about the vertical, pitch upwards, roll clockwise about the optical axis."""
    pose = np.eye(4)
    turn = Rotation.from_euler("z", heading, degrees=True).as_matrix()
    pose[:3, :3] = turn @ LEVEL @ Rotation.from_euler("XZ", [pitch, roll], degrees=True).as_matrix()
    pose[:3, 3] = 1.0, -2.0, 1.5
    return pose


def projected(camera: Intrinsics, pose: np.ndarray, point: np.ndarray) -> tuple[float, float]:
    """Pixels from the picture's top left corner."""
    x, y, z = pose[:3, :3].T @ (point - pose[:3, 3])
    return camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_point_is_seen_where_the_turned_picture_shows_it(turns):
    pose, points = level_pose(30, -10), np.random.default_rng(0).uniform(-1, 1, (400, 3)) * [3, 3, 1] + [0, 2, 1.5]
    shown = 0
    for point in points:
        u, v = projected(CAMERA, pose, point)
        if (pose[:3, :3].T @ (point - pose[:3, 3]))[2] < 0.1 or not (0 <= u < CAMERA.width and 0 <= v < CAMERA.height):
            continue
        picture = np.zeros((CAMERA.height, CAMERA.width), bool)
        picture[int(v), int(u)] = True
        u, v = projected(turn_intrinsics(CAMERA, turns), turn_pose(pose, turns), point)
        assert turn_picture(picture, turns)[int(v), int(u)]
        shown += 1
    assert shown > 30


def test_one_turn_moves_the_right_side_to_the_top():
    assert turn_picture(np.array([[0, 1], [0, 1]]), 1).tolist() == [[1, 1], [0, 0]]
    assert turn_intrinsics(CAMERA, 1) == Intrinsics(width=30, height=40, fx=29.0, fy=31.0, cx=16.25, cy=22.5)


def test_four_turns_change_nothing():
    picture, pose = np.arange(12).reshape(3, 4), level_pose(10, 20, 30)
    assert (turn_picture(picture, 4) == picture).all()
    assert turn_intrinsics(CAMERA, 4) == CAMERA
    assert turn_pose(pose, 4) == pytest.approx(pose)


def test_turning_keeps_the_camera_in_its_place_and_its_gaze():
    pose = level_pose(10, 20, 30)
    turned = turn_pose(pose, 3)
    assert turned[:3, 2:] == pytest.approx(pose[:3, 2:]) and np.linalg.det(turned[:3, :3]) == pytest.approx(1)


@pytest.mark.parametrize(("roll", "turns"), [(0, 0), (-90, 1), (180, 2), (90, 3), (30, 0), (-60, 1), (130, 3)])
def test_the_vote_brings_gravity_down_in_the_picture(roll, turns):
    vote = vote_upright(np.stack([level_pose(heading, -15, roll) for heading in range(0, 360, 45)]))
    assert (vote.turns, vote.agreement, vote.voters) == (turns, 1.0, 8)
    down = turn_pose(level_pose(0, -15, roll), vote.turns)[:3, :3].T @ [0, 0, -1]
    assert down[1] > abs(down[0])


def test_cameras_that_look_straight_down_have_no_say():
    down = [level_pose(heading, -86, 90) for heading in range(0, 360, 30)]
    vote = vote_upright(np.stack([*down, level_pose(0, -10)]))
    assert (vote.turns, vote.voters) == (0, 1)
    assert vote_upright(np.stack(down)).voters == 0
    assert vote_upright(np.zeros((0, 4, 4))).voters == 0


def test_a_device_turned_on_the_way_shows_in_the_agreement():
    vote = vote_upright(np.stack([level_pose(roll=roll) for roll in (0, 0, 0, 90)]))
    assert (vote.turns, vote.agreement) == (0, pytest.approx(0.75))


def test_the_recorded_side_of_the_sky_goes_to_the_top():
    for name, pixel in {"Up": (0, 1), "Left": (1, 0), "Down": (2, 1), "Right": (1, 2)}.items():
        picture = np.zeros((3, 3), int)
        picture[pixel] = 1
        assert turn_picture(picture, sky_turns(name) or 0)[0, 1] == 1
    assert sky_turns("NaN") is None and sky_turns(None) is None
