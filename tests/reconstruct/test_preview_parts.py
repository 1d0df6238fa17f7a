from __future__ import annotations

import numpy as np
import pytest

from vlm3r.reconstruct.keyframes import KeyframeSampler
from vlm3r.reconstruct.splat import BACKGROUND, shade, splat, splat_until_covered
from vlm3r.reconstruct.viewpoint import dollhouse_view, estimate_up, level_axes, within_bounds
from vlm3r.reconstruct.voxels import PointCloud


def cloud_of(positions, normals=None):
    count = len(positions)
    normals = np.zeros((count, 3)) if normals is None else normals
    return PointCloud(
        positions.astype(np.float32),
        np.zeros((count, 3), np.uint8),
        np.ones(count, np.float32),
        normals.astype(np.float32),
    )


def test_splatting_equals_a_pixel_by_pixel_z_buffer():
    rng = np.random.default_rng(0)
    pixels, depth = rng.uniform(-3, 33, (400, 2)), rng.uniform(1, 5, 400)
    radius, colours = rng.uniform(0.5, 3, 400), rng.integers(0, 256, (400, 3), dtype=np.uint8)
    picture = splat(pixels, depth, radius, colours, (32, 24))
    nearest, image = np.full((24, 32), np.inf), np.full((24, 32, 3), BACKGROUND)
    for (x, y), z, r, colour in zip(np.floor(pixels), depth, radius, colours, strict=True):
        rows, columns = np.mgrid[:24, :32]
        hit = (np.hypot(columns - x, rows - y) <= r) & (z < nearest)
        nearest[hit], image[hit] = z, colour / 255
    np.testing.assert_array_equal(picture.depth, nearest)
    np.testing.assert_allclose(picture.image, image)


def test_gaps_are_filled_and_the_outline_stays():
    x, y = np.meshgrid(np.arange(20, 61, 4), np.arange(20, 61, 4))
    pixels = np.stack([x.ravel(), y.ravel()], -1).astype(float)
    colours = np.full((len(pixels), 3), 90, np.uint8)
    picture = splat_until_covered(pixels, np.ones(len(pixels)), np.full(len(pixels), 0.8), colours, (80, 80))
    drawn = np.isfinite(picture.depth)
    assert drawn[21:60, 21:60].all()
    assert not drawn[:18].any()
    assert not drawn[:, 63:].any()


def test_shading_darkens_only_what_lies_behind_an_edge():
    y, x = np.mgrid[:40, :40].reshape(2, -1)
    depth = np.where(x < 20, 1.0, 2.0)
    colours = np.full((1600, 3), 200, np.uint8)
    lit = shade(splat(np.stack([x, y], -1).astype(float), depth, np.full(1600, 0.5), colours, (40, 40)))[..., 0]
    np.testing.assert_allclose(lit[5:35, 5:20], 200 / 255)
    assert lit[20, 20] < 0.7
    np.testing.assert_allclose(lit[5:35, 24:35], 200 / 255)


def test_up_follows_the_floor_and_not_the_pitch_of_the_cameras(make_room):
    room = make_room(count=4, pitch_deg=25)
    up = room.to_room[0, :3, :3].T @ [0, 0, 1]
    rng = np.random.default_rng(0)
    normals = np.concatenate([np.tile(up, (300, 1)), np.tile(-up, (100, 1)), rng.normal(size=(600, 3))])
    normals += rng.normal(size=normals.shape) * 0.05
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    found, source = estimate_up(room.to_world, normals)
    assert source == "floor and ceiling normals"
    assert np.degrees(np.arccos(found @ up)) < 1


def test_up_falls_back_on_the_cameras(room):
    found, source = estimate_up(room.to_world, np.zeros((50, 3)))
    assert source == "mean camera"
    true = room.to_room[0, :3, :3].T @ [0, 0, 1]
    assert np.degrees(np.arccos(found @ true)) < 15
    assert estimate_up(np.eye(4)[None], np.zeros((0, 3)))[0] == pytest.approx([0, -1, 0])


@pytest.mark.parametrize("heading", [[0, 0, 1], [0.2, 0.9, 0.1], [0, -1, 0], [0, 1, 0]])
def test_level_axes_are_right_ahead_up(heading):
    up = np.array([0.0, -1, 0])
    axes = level_axes(up, np.array(heading, float))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    np.testing.assert_allclose(axes[2], up)


def test_level_axes_put_the_right_hand_side_of_a_camera_to_the_right():
    axes = level_axes(np.array([0.0, -1, 0]), np.array([0.0, 0.3, 1]))
    np.testing.assert_allclose(axes @ [1, 0, 0], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(axes @ [0, 0, 1], [0, 1, 0], atol=1e-12)


def test_the_dollhouse_view_holds_the_scene_from_above(room):
    points = room.world_points().reshape(-1, 3)[::7]
    up = room.to_room[0, :3, :3].T @ [0, 0, 1]
    view = dollhouse_view(cloud_of(points), room.to_world, up, (900, 600))
    np.testing.assert_allclose(view.rotation @ view.rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(view.rotation) == pytest.approx(1)
    assert view.position @ up > (points @ up).max()
    assert view.rotation[1] @ up < 0
    held = np.concatenate([within_bounds(points), room.to_world[:, :3, 3]])
    pixels, depth = view.project(held)
    assert (depth > 0).all()
    low, high = pixels.min(0), pixels.max(0)
    assert (low >= 0).all()
    assert (high <= [900, 600]).all()
    assert ((high - low) / [900, 600]).max() > 0.8


def test_a_few_frames_are_kept_evenly_from_first_to_last():
    sampler = KeyframeSampler(count=5, longest_side=32)
    for i in range(1000):
        sampler.add(i, i / 10, np.full((48, 64, 3), i % 256, np.uint8), np.full((48, 64), float(i)))
        assert len(sampler._kept) <= 20
    frames = sampler.frames()
    indices = [frame.frame_index for frame in frames]
    assert len(frames) == 5
    assert (indices[0], indices[-1]) == (0, 999)
    assert np.abs(np.diff(indices) - 250).max() < 70
    assert frames[2].image.shape == (24, 32, 3)
    assert frames[2].depth == pytest.approx(np.full((24, 32), indices[2]))


def test_a_short_video_gives_all_of_its_frames_once():
    sampler = KeyframeSampler(count=5)
    for i in range(2):
        sampler.add(i, i / 10, np.zeros((32, 32, 3), np.uint8), np.full((32, 32), -1.0))
    assert [frame.frame_index for frame in sampler.frames()] == [0, 1]
    assert np.isnan(sampler.frames()[0].depth).all()
