"""Areas of shapes that are known, and those that the published pipeline gives for the same shapes."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely.geometry.base import BaseGeometry

from vlm3r.scenes.raw.outline import Outline, room_outline

RNG = np.random.default_rng(5)
L_SHAPE = shapely.box(0, 0, 6, 6) - shapely.box(3, 3, 6, 6)
HOLED = shapely.box(0, 0, 5, 5) - shapely.box(1.75, 1.75, 3.25, 3.25)
TWO = shapely.box(0, 0, 3, 3) | shapely.box(4, 0, 7, 3)


def cloud(shape: BaseGeometry, count: int) -> np.ndarray:
    """Points spread evenly over a shape, at any height."""
    left, bottom, right, top = shape.bounds
    drawn = RNG.uniform((left, bottom), (right, top), (3 * count, 2))
    inside = drawn[shapely.contains_xy(shape, *drawn.T)][:count]
    return np.column_stack([inside, RNG.uniform(0, 2.5, len(inside))])


def outline(points: np.ndarray, seed: int = 0) -> Outline:
    found = room_outline(points, seed)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("shape", "count", "published"),
    [
        (shapely.box(0, 0, 3, 4), 40_000, 11.8206),
        (shapely.box(0, 0, 8, 8), 60_000, 62.8102),
        (shapely.box(0, 0, 15, 12), 80_000, 175.5883),
        (L_SHAPE, 60_000, 26.5134),
        (HOLED, 60_000, 24.6371),
        (TWO, 40_000, 17.6443),
    ],
    ids=["3x4", "8x8", "15x12", "L", "hole", "two"],
)
def test_areas_are_those_of_the_published_outline(shape, count, published) -> None:
    assert outline(cloud(shape, count)).area == pytest.approx(published, rel=0.03)


@pytest.mark.parametrize(
    ("shape", "count"),
    [(shapely.box(0, 0, 30, 20), 80_000), (shapely.box(0, 0, 30, 20), 3_000), (shapely.box(0, 0, 5, 4), 1_500)],
    ids=["large", "large and sparse", "sparse"],
)
def test_sparse_clouds_keep_their_area(shape, count) -> None:
    """The published outline of the first is 302 to 423 square metres, of 600."""
    assert outline(cloud(shape, count)).area == pytest.approx(shape.area, rel=0.06)


def test_gaps_between_rooms_are_not_bridged_and_holes_are_filled() -> None:
    assert len(outline(cloud(TWO, 40_000)).shape.geoms) == 2
    (whole,) = outline(cloud(HOLED, 60_000)).shape.geoms
    assert not whole.interiors


def test_points_that_are_counted_more_often_in_one_corner_change_nothing() -> None:
    even = cloud(shapely.box(0, 0, 6, 5), 50_000)
    crowded = np.concatenate([even, cloud(shapely.box(0, 0, 1, 1), 500_000)])
    assert outline(crowded).area == pytest.approx(outline(even).area, rel=0.005)


def test_the_seed_alone_decides_and_matters_little() -> None:
    points = cloud(L_SHAPE, 50_000)
    assert outline(points, 3).area == outline(points, 3).area
    assert outline(points, 3).area == pytest.approx(outline(points, 4).area, rel=0.002)


def test_turning_the_room_does_not_change_its_area() -> None:
    points, turn = cloud(L_SHAPE, 50_000), np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    assert outline(points @ turn.T + [100, -40, 3]).area == pytest.approx(outline(points).area, rel=0.01)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 3)),
        np.zeros((2, 3)),
        np.ones((50, 3)),
        np.column_stack([np.linspace(0, 5, 400), np.linspace(0, 5, 400), np.zeros(400)]),
        np.full((50, 3), np.nan),
    ],
    ids=["none", "two", "one place", "a line", "not finite"],
)
def test_points_that_span_no_area_have_no_outline(points) -> None:
    assert room_outline(points, 0) is None


def test_points_that_are_not_finite_are_left_out() -> None:
    points = cloud(shapely.box(0, 0, 3, 4), 20_000)
    spoilt = np.concatenate([points, np.full((5, 3), np.inf), np.full((5, 3), np.nan)])
    assert outline(spoilt).area == pytest.approx(outline(points).area, rel=0.005)


def test_a_point_far_away_does_not_swallow_the_room() -> None:
    points = np.concatenate([cloud(shapely.box(0, 0, 3, 4), 20_000), [[500.0, 800.0, 0]]])
    assert outline(points).area == pytest.approx(12, rel=0.15)
