"""Smallest boxes of points whose smallest box is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from vlm3r.scenes.raw.minimal_box import minimal_box
from vlm3r.scenes.schema import OrientedBox, rotation_problem

GOLDEN = Path(__file__).parents[2] / "data" / "scenes" / "oriented_boxes.json"
RNG = np.random.default_rng(2)


def filled(size: tuple[float, float, float], count: int = 60) -> np.ndarray:
    """The corners of a box about the origin, and points in it."""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
    return np.concatenate([corners, RNG.uniform(-0.5, 0.5, (count, 3))]) * size


def box_of(points: np.ndarray) -> OrientedBox:
    found = minimal_box(points)
    assert found is not None
    assert rotation_problem(found.axes) is None
    assert (np.abs((points - found.centre) @ found.axes.T) <= found.size / 2 + 1e-9).all()
    return found


@pytest.mark.parametrize(
    "size",
    [(1.3, 0.6, 0.4), (1.2, 0.9, 0.02), (1.6, 0.05, 0.05), (0.52, 0.51, 0.5)],
    ids=["box", "panel", "rod", "cube"],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_turned_box_is_found_again(size, seed) -> None:
    turn = Rotation.from_quat(np.random.default_rng(seed).normal(size=4)).as_matrix()
    box = box_of(filled(size) @ turn.T + [3, -2, 1])
    assert sorted(box.size) == pytest.approx(sorted(size), rel=1e-6)
    assert box.centre == pytest.approx([3, -2, 1], abs=1e-6)


@pytest.mark.parametrize("golden", json.loads(GOLDEN.read_text()), ids=lambda golden: golden["name"])
def test_boxes_are_those_of_the_published_pipeline(golden) -> None:
    box = box_of(np.array(golden["points"]))
    assert sorted(box.size) == pytest.approx(golden["published_lengths_sorted"], rel=0.02, abs=1e-4)
    assert box.centre == pytest.approx(golden["published_center"], abs=0.002)
    assert box.size.prod() == pytest.approx(golden["published_volume"], rel=0.001)


def test_no_box_is_larger_than_another_librarys() -> None:
    for seed in range(6):
        points = np.random.default_rng(seed).normal(size=(300, 3)) * [2, 1, 0.5]
        _, theirs = trimesh.bounds.oriented_bounds(points)
        assert box_of(points).size.prod() <= 1.001 * np.prod(theirs)


def test_round_things_with_thousands_of_corners_are_boxed_in_a_moment() -> None:
    points = RNG.normal(size=(20_000, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    assert box_of(points).size == pytest.approx([2, 2, 2], rel=0.005)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 3)),
        np.eye(3),
        np.ones((20, 3)),
        np.outer(np.linspace(0, 1, 20), [1, 2, 3]),
        np.column_stack([RNG.uniform(size=(20, 2)), np.zeros(20)]),
        np.full((20, 3), np.nan),
    ],
    ids=["none", "three", "one place", "a line", "a sheet", "not finite"],
)
def test_what_has_no_volume_has_no_box(points) -> None:
    assert minimal_box(points) is None
