"""Sightings against brute force: loops over pixels, and boxes whose visible share is known."""

import numpy as np
import pytest
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh

from tests.scenes.synthetic import homes, lit
from vlm3r.scenes.schema import Intrinsics
from vlm3r.scenes.synthetic.mesh import grid_triangles
from vlm3r.scenes.synthetic.visibility import Visibility, surface_sample
from vlm3r.scenes.synthetic.walk import look_pose

CAMERA = Intrinsics(160, 120, 110.0, 110.0, 80.0, 60.0)
FORWARD = look_pose(np.array([0.0, 2.5, 0.5]), 0.0, 0.0)


def world_with_a_cube(x=3.0):
    world = homes.square_room()
    homes.block(world, (x, 2.5), (1.0, 1.0, 1.0))
    return world


def test_boxes_pixels_and_depth_equal_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    world = homes.square_room()
    for k in range(5):
        homes.block(world, (1.0 + 0.6 * k, 2.5), (0.3, 0.3, 0.3))
    instances = np.zeros((120, 160), int)
    for instance in (1, 2, 4):
        row, column = rng.integers(0, 80), rng.integers(0, 120)
        instances[row : row + 30, column : column + 20][rng.random((30, 20)) < 0.7] = instance
    depth = rng.uniform(0.5, 5.0, instances.shape)
    sightings = Visibility(world, CAMERA, (0,)).sightings(FORWARD, depth, instances)
    assert [s.instance_id for s in sightings] == np.unique(instances)[1:].tolist()
    for s in sightings:
        pixels = [(v, u) for v in range(120) for u in range(160) if instances[v, u] == s.instance_id]
        rows, columns = zip(*pixels, strict=True)
        assert s.box == (min(columns), min(rows), max(columns), max(rows))
        assert s.pixels == len(pixels)
        assert s.depth == pytest.approx(np.median([depth[p] for p in pixels]), abs=1e-4)


def test_an_unhidden_object_in_the_middle_is_seen_whole():
    depth = np.full((120, 160), 10.0)
    fraction = Visibility(world_with_a_cube(), CAMERA, (0,)).fractions(FORWARD, depth, np.array([0]))
    assert fraction[0] == 1.0


def test_a_wall_in_front_hides_the_object():
    visibility = Visibility(world_with_a_cube(), CAMERA, (0,))
    assert visibility.fractions(FORWARD, np.full((120, 160), 1.0), np.array([0]))[0] == 0.0
    half = np.full((120, 160), 10.0)
    half[:, :80] = 1.0
    assert visibility.fractions(FORWARD, half, np.array([0]))[0] == pytest.approx(0.5, abs=0.12)


def test_what_lies_beyond_the_picture_counts_as_unseen():
    turned = look_pose(np.array([0.0, 2.5, 0.5]), np.arctan2(80, 110), 0.0)  # the picture's edge runs through the cube
    fraction = Visibility(world_with_a_cube(), CAMERA, (0,)).fractions(turned, np.full((120, 160), 10.0), np.array([0]))
    assert fraction[0] == pytest.approx(0.5, abs=0.12)
    behind = look_pose(np.array([0.0, 2.5, 0.5]), np.pi, 0.0)
    assert (
        Visibility(world_with_a_cube(), CAMERA, (0,)).fractions(behind, np.full((120, 160), 10.0), np.array([0]))[0]
        == 0
    )


def test_samples_lie_on_the_surface_in_proportion_to_area():
    world = homes.square_room()
    homes.block(world, (0.0, 0.0), (2.0, 1.0, 0.5))
    points, normals = surface_sample(world.objects[0].solid, 20000, np.random.default_rng(0))
    local = np.abs(points - [0, 0, 0.25]) / [1.0, 0.5, 0.25]
    assert np.allclose(local.max(1), 1.0)
    on_top = normals[:, 2] > 0.9
    assert on_top.mean() == pytest.approx(2.0 / 7.0, abs=0.01)  # 2 of 2 * (2 + 1 + 0.5) square metres
    assert np.allclose(np.take_along_axis(normals, local.argmax(1)[:, None], 1) ** 2, 1)


@pytest.mark.parametrize(("eye", "yaw"), [((0.6, 0.7, 1.5), 52), ((4.4, 0.6, 1.1), 115), ((2.5, 4.7, 2.2), -70)])
def test_the_visible_share_is_that_of_rays_which_reach_the_eye(eye, yaw):
    world = lit.room_with_blocks()
    pose = look_pose(np.array(eye), np.radians(yaw), np.radians(-15))
    depth, _ = lit.seen_by_geometry(world, pose, CAMERA)
    visibility = Visibility(world, CAMERA, (0,))
    fractions = visibility.fractions(pose, depth, np.arange(5))
    patches = [patch for thing in world.objects for patch in thing.solid]
    scene = rtcore_scene.EmbreeScene(robust=True)
    corners = [p.points.reshape(-1, 3)[grid_triangles(*p.points.shape[:2])] for p in patches]
    TriangleMesh(scene, np.concatenate(corners).astype(np.float32))
    for number in range(5):
        points, normals = visibility.points[number], visibility.normals[number]
        facing = ((pose[:3, 3] - points) * normals).sum(1) > 0
        start = (points + 1e-3 * normals).astype(np.float32)
        free = scene.run(start, (pose[:3, 3] - start).astype(np.float32), query="OCCLUDED") < 0
        local = (points - pose[:3, 3]) @ pose[:3, :3]
        across, down = local[:, 0] / local[:, 2] * 110 + 80, local[:, 1] / local[:, 2] * 110 + 60
        inside = (local[:, 2] > 0) & (across > 0) & (across < 160) & (down > 0) & (down < 120)
        assert fractions[number] == pytest.approx((facing & free & inside).sum() / facing.sum(), abs=0.06)
    assert fractions.max() > fractions.min()
