"""Exact box distances against a bounded least-squares solver and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from tests.invented_scenes import make_box
from vlm3r.scenes.boxes import BoxArray
from vlm3r.scenes.schema import OrientedBox


def solved(a: OrientedBox, b: OrientedBox) -> float:
    """Least distance of a point of each box: a quadratic problem in six bounded unknowns."""
    matrix = np.concatenate([a.axes.T, -b.axes.T], axis=1)
    half = np.concatenate([a.size, b.size]) / 2
    result = lsq_linear(matrix, b.centre - a.centre, (-half, half), method="bvls", tol=1e-13, max_iter=500)
    return float(np.sqrt(2 * result.cost))


def random_box(rng: np.random.Generator, spread: float) -> OrientedBox:
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return OrientedBox(rng.uniform(-spread, spread, 3), 10 ** rng.uniform(-2, 0.5, 3), axes)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([0.3, 1.0, 3.0]), st.sampled_from(["any", "yaw", "aligned"]))
def test_distances_are_the_solvers(seed, spread, kind):
    rng = np.random.default_rng(seed)
    boxes = [random_box(rng, spread) for _ in range(4)]
    if kind != "any":
        boxes = [make_box(b.centre, b.size, 0 if kind == "aligned" else rng.uniform(0, 360)) for b in boxes]
    distances = BoxArray(boxes).distances()
    for i in range(4):
        for j in range(i + 1, 4):
            assert distances[i, j] == pytest.approx(solved(boxes[i], boxes[j]), abs=2e-6)


def test_the_matrix_is_symmetric_with_a_diagonal_of_zeros():
    rng = np.random.default_rng(4)
    distances = BoxArray([random_box(rng, 2) for _ in range(12)]).distances()
    assert (distances == distances.T).all() and (np.diag(distances) == 0).all() and (distances >= 0).all()


@pytest.mark.parametrize(
    ("offset", "distance"),
    [((3, 0, 0), 1), ((2, 0, 0), 0), ((2 - 1e-9, 0, 0), 0), ((0, 0, 0), 0), ((3, 4, 0), 5**0.5), ((4, 4, 4), 12**0.5)],
)
def test_aligned_cubes_meet_where_they_should(offset, distance):
    cubes = [make_box((0, 0, 0), (2, 2, 2)), make_box(offset, (2, 2, 2))]
    assert BoxArray(cubes).distances()[0, 1] == pytest.approx(distance, abs=1e-12)


def test_crossed_edges_are_nearest_between_their_corners():
    # two bars turned about their length by 45 degrees, so that they face each other with an edge, one across the other
    tilt = np.array([[1, 0, 0], [0, 0.5**0.5, 0.5**0.5], [0, -(0.5**0.5), 0.5**0.5]])
    across = tilt[:, [1, 0, 2]]
    size = np.array([2.0, 1, 1])
    bars = [OrientedBox(np.zeros(3), size, tilt), OrientedBox(np.array([0, 0, 3.0]), size, across)]
    assert BoxArray(bars).distances()[0, 1] == pytest.approx(3 - 2**0.5)


def test_a_box_inside_another_has_no_distance():
    assert BoxArray([make_box((0, 0, 0), (4, 4, 4)), make_box((0.5, 0, 0), (1, 1, 1), 30)]).distances()[0, 1] == 0


def test_points_are_measured_to_the_surface_and_are_zero_inside():
    boxes = BoxArray([make_box((0, 0, 0), (2, 4, 6)), make_box((10, 0, 0), (2, 2, 2), 45)])
    distances = boxes.distances_to_points(np.array([[0.5, 1, 2], [2, 0, 0], [2, 3, 0], [10, 3, 0]]))
    assert distances[:3, 0] == pytest.approx([0, 1, 2**0.5])
    assert distances[[1, 3], 1] == pytest.approx([8 - 2**0.5, 3 - 2**0.5])  # nearest is an edge of the turned box


def test_no_boxes_have_no_distances():
    none = BoxArray([])
    assert none.distances().shape == (0, 0) and none.corners().shape == (0, 8, 3)
    assert none.distances_to_points(np.zeros((2, 3))).shape == (2, 0)
