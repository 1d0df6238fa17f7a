"""Masks made from depth against the renderer's own, and sightings against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scenes.raw.room import make_room
from vlm3r.scenes.raw.capture import NO_INSTANCE, Cloud
from vlm3r.scenes.raw.visibility import (
    REACH,
    Labeller,
    inside_boxes,
    nearest_vertex,
    projected_mask,
    resized,
    sightings,
)
from vlm3r.scenes.schema import Intrinsics, OrientedBox

ROOM = make_room()
CAMERA = Intrinsics(8, 6, 8.0, 8.0, 4.0, 3.0)
LEVEL = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]], float)
"""Looks along +y from 1.5 m above the origin."""


def agreement(label: Labeller) -> tuple[float, float]:
    """Shares of object pixels and of other pixels that are named as the renderer names them."""
    right, other = [], []
    for depth, truth, pose in zip(ROOM.depth, ROOM.masks, ROOM.poses, strict=True):
        mask = projected_mask(label, depth, pose, ROOM.intrinsics)
        shown = truth > 0
        right.append(mask[shown] == truth[shown])
        other.append(mask[~shown & (depth > 0)] == NO_INSTANCE)
    return float(np.concatenate(right).mean()), float(np.concatenate(other).mean())


def test_pixels_of_a_labelled_mesh_are_named_as_the_renderer_names_them() -> None:
    dense, owners = dense_points()
    objects, rest = agreement(nearest_vertex(Cloud(dense, owners)))
    assert objects > 0.95
    assert rest > 0.97


def dense_points() -> tuple[np.ndarray, np.ndarray]:
    """Points on the room's triangles about every 4 cm, as a scanner's mesh has them; the room's own are 25 cm apart."""
    rng = np.random.default_rng(0)
    corners = ROOM.points[ROOM.triangles]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    chosen = rng.choice(len(corners), size=int(areas.sum() / 0.04**2), p=areas / areas.sum())
    weights = rng.dirichlet([1, 1, 1], size=len(chosen))
    owners = ROOM.point_instances[ROOM.triangles[chosen, 0]]
    return np.einsum("nc,ncd->nd", weights, corners[chosen]), np.where(owners == 0, NO_INSTANCE, owners)


def test_pixels_in_annotated_boxes_are_named_as_the_renderer_names_them() -> None:
    objects, rest = agreement(inside_boxes([(o.instance_id or 0, o.box) for o in ROOM.scene.objects]))
    assert objects > 0.85  # boxes overlap: a chair's seat lies in the table's box
    assert rest > 0.9


def test_what_stands_before_an_object_hides_it() -> None:
    board = OrientedBox(np.array([0, 3.0, 1.5]), np.array([4.0, 0.2, 4.0]), np.eye(3))
    screen = OrientedBox(np.array([0, 1.5, 1.5]), np.array([0.8, 0.1, 4.0]), np.eye(3))
    label = inside_boxes([(0, board), (4, screen)])
    depth = np.full((6, 8), 2.95, np.float32)
    depth[:, 3:5] = 1.48
    mask = projected_mask(label, depth, LEVEL, CAMERA)
    assert (mask[:, 3:5] == 4).all()
    assert (mask[:, [0, 1, 2, 5, 6, 7]] == 0).all()


def test_the_smaller_of_two_boxes_that_hold_a_point_wins() -> None:
    table = OrientedBox(np.zeros(3), np.full(3, 2.0), np.eye(3))
    cup = OrientedBox(np.zeros(3), np.full(3, 0.2), np.eye(3))
    for order in ([(1, table), (2, cup)], [(2, cup), (1, table)]):
        assert inside_boxes(order)(np.array([[0, 0, 0], [0.5, 0, 0], [3, 0, 0.0]])).tolist() == [2, 1, NO_INSTANCE]


def test_the_floor_in_a_box_is_not_its_object() -> None:
    chair = OrientedBox(np.array([0, 0, 0.5]), np.ones(3), np.eye(3))
    rug = OrientedBox(np.array([5, 0, 0.005]), np.array([2.0, 2.0, 0.01]), np.eye(3))
    points = np.array([[0, 0, 0.01], [0, 0, 0.05], [5, 0, 0.002]])
    assert inside_boxes([(1, chair), (2, rug)])(points).tolist() == [NO_INSTANCE, 1, 2]


def test_points_far_from_every_vertex_belong_to_nothing() -> None:
    label = nearest_vertex(Cloud(np.array([[0.0, 0, 0], [1, 0, 0]]), np.array([7, NO_INSTANCE])))
    assert label(np.array([[REACH / 2, 0, 0], [REACH * 2, 0, 0], [1, 0, 0]])).tolist() == [7, NO_INSTANCE, NO_INSTANCE]


def test_wide_maps_are_thinned_and_enlarged_again() -> None:
    depth = np.full((600, 800), 2.0, np.float32)
    camera = Intrinsics(800, 600, 800.0, 800.0, 400.0, 300.0)
    right = OrientedBox(np.array([5.0, 2.0, 1.5]), np.full(3, 10.0), np.eye(3))
    mask = projected_mask(inside_boxes([(3, right)]), depth, LEVEL, camera)
    edge = int(np.argmax(mask[300] == 3))
    assert mask.shape == depth.shape
    assert abs(edge - 400) <= 3
    assert (mask[:, edge:] == 3).all()


def test_pixels_without_depth_show_nothing() -> None:
    everything = OrientedBox(np.zeros(3), np.full(3, 100.0), np.eye(3))
    mask = projected_mask(inside_boxes([(1, everything)]), np.zeros((6, 8), np.float32), LEVEL, CAMERA)
    assert (mask == NO_INSTANCE).all()


def test_sightings_are_the_extents_sizes_and_depths_in_the_mask() -> None:
    mask = np.full((5, 6), NO_INSTANCE, np.int64)
    mask[1:3, 2:5], mask[4, 0] = 0, 9
    depth = np.ones((5, 6), np.float32)
    depth[1, 2:5], depth[4, 0] = 2.0, 0.0
    depth[2, 2] = 0.0  # unknown
    first, second = sightings(mask, depth)
    assert (first.instance_id, first.box, first.pixels, first.depth) == (0, (2, 1, 4, 2), 6, 2.0)
    assert (second.instance_id, second.box, second.pixels, second.depth) == (9, (0, 4, 0, 4), 1, None)


def test_sightings_of_the_renderers_masks_are_the_rooms() -> None:
    for frame, mask, depth in zip(ROOM.scene.frames, ROOM.masks, ROOM.depth, strict=True):
        found = sightings(np.where(mask == 0, NO_INSTANCE, mask), depth)
        assert [(s.instance_id, s.box, s.pixels) for s in found] == [
            (s.instance_id, s.box, s.pixels) for s in frame.sightings
        ]
        assert [s.depth for s in found] == pytest.approx([s.depth for s in frame.sightings], abs=1e-4)


def test_resizing_repeats_or_picks_and_never_mixes() -> None:
    values = np.array([[1, 5], [9, 13]])
    assert resized(values, 4, 2).tolist() == [[1, 1, 5, 5], [9, 9, 13, 13]]
    assert set(np.unique(resized(np.kron(values, np.ones((3, 3), int)), 3, 3))) <= {1, 5, 9, 13}
    assert resized(values, 2, 2) is values
