"""The camera walk: free of collisions, calm, level, and through every room."""

import numpy as np
import pytest
import shapely
from scipy.spatial.transform import Rotation

from tests.scenes.synthetic import homes
from vlm3r.scenes.synthetic.ground import Ground, NoWay
from vlm3r.scenes.synthetic.walk import WalkSettings, draw_walk, look_pose


def walk(world, seed=0, fps=12.0):
    return draw_walk(world, np.random.default_rng(seed), fps)


@pytest.mark.parametrize("seed", range(12))
def test_the_camera_keeps_its_distance_from_walls_and_boxes(seed):
    world = homes.chance_home(seed)
    path = shapely.LineString(walk(world, seed).poses[:, :2, 3])
    walls = shapely.LinearRing(world.rooms[0].polygon)
    assert path.distance(walls) >= 0.249
    assert min(path.distance(thing.footprint) for thing in world.objects) >= 0.249


@pytest.mark.parametrize("seed", range(12))
def test_nobody_runs_or_spins(seed):
    poses = walk(homes.chance_home(seed), seed).poses
    speed = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) * 12
    turns = Rotation.from_matrix(poses[:-1, :3, :3]).inv() * Rotation.from_matrix(poses[1:, :3, :3])
    assert speed.max() < 1.05
    assert np.degrees(turns.magnitude()).max() * 12 < 63  # with the slow nodding of the gaze


def test_poses_are_rigid_at_eye_height_and_never_roll():
    result = walk(homes.square_room())
    poses = result.poses
    assert np.allclose(poses[:, :3, :3] @ poses[:, :3, :3].swapaxes(1, 2), np.eye(3))
    assert np.allclose(np.linalg.det(poses[:, :3, :3]), 1)
    assert (poses[:, 2, 3] > 1.38).all() and (poses[:, 2, 3] < 1.72).all()
    assert np.allclose(poses[:, 2, 0], 0)  # the picture's horizontal is the world's
    assert (poses[:, 2, 1] < 0).all()  # the picture's down is the world's down
    assert np.allclose(np.diff(result.times), 1 / 12)


def test_every_room_is_visited():
    world = homes.two_rooms()
    for seed in range(6):
        points = walk(world, seed).poses[:, :2, 3]
        for room in world.rooms:
            assert shapely.contains_xy(shapely.Polygon(room.polygon), points).any()


def test_most_objects_come_into_view():
    shares = []
    for seed in range(10):
        world = homes.chance_home(seed)
        poses = walk(world, seed).poses
        for thing in world.objects:
            local = (thing.centre - poses[:, :3, 3])[:, None] @ poses[:, :3, :3]
            ahead = np.degrees(np.arctan2(np.abs(local[:, 0, 0]), local[:, 0, 2]))
            shares.append((ahead < 36).any())
    assert np.mean(shares) > 0.95


def test_the_same_seed_walks_the_same_way():
    world = homes.chance_home(3)
    assert np.array_equal(walk(world, 5).poses, walk(world, 5).poses)
    assert walk(world, 5).poses.shape != walk(world, 6).poses.shape or not np.allclose(
        walk(world, 5).poses, walk(world, 6).poses
    )


def test_a_short_walk_is_slowed_down():
    result = draw_walk(homes.square_room(2.5), np.random.default_rng(0), 6, WalkSettings(shortest=30.0))
    assert 29 < result.times[-1] < 34


def test_a_room_without_floor_or_way_is_refused():
    full = homes.square_room(3.0)
    homes.block(full, (1.5, 1.5), (2.9, 2.9, 1.0))
    with pytest.raises(NoWay):
        walk(full)
    closed = homes.two_rooms()
    homes.block(closed, (4.06, 2.0), (0.5, 1.2, 1.0))
    with pytest.raises(NoWay, match=r"kitchen|living|connect"):
        walk(closed)


def test_clearance_is_the_distance_to_the_nearest_thing():
    world = homes.square_room(4.0)
    homes.block(world, (2.0, 2.0), (1.0, 1.0, 1.0))
    ground = Ground.of(world)
    rng = np.random.default_rng(0)
    for point in rng.uniform(0.05, 3.95, (50, 2)):
        to_box = np.linalg.norm(np.maximum(np.abs(point - 2) - 0.5, 0))
        expected = min(*point, *(4 - point), to_box)
        assert ground.exact_clearance(point[None]) == pytest.approx(expected, abs=1e-9)


def test_what_hangs_high_or_is_walked_over_is_in_nobodys_way():
    world = homes.square_room(4.0)
    homes.block(world, (2.0, 2.0), (1.0, 1.0, 0.01), blocks=False)
    homes.block(world, (1.0, 1.0, 2.0), (0.5, 0.5, 0.3))
    assert Ground.of(world).free.area == pytest.approx(16.0)


def test_a_pose_looks_where_it_says():
    pose = look_pose(np.array([1.0, 2.0, 1.5]), np.radians(90), np.radians(-30))
    assert np.allclose(pose[:3, 2], [0, np.cos(np.radians(30)), -0.5])  # forward
    assert np.allclose(pose[:3, 0], [1, 0, 0])  # right of someone who looks along +y
    assert np.allclose(pose[:3, 3], [1, 2, 1.5])
