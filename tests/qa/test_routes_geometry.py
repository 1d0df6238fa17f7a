"""Footprints, floor, grid and shortest walks against shapely and closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests.qa.route_rooms import RULES, block, finder, rectangle, room
from vlm3r.errors import UserError
from vlm3r.qa.routes.area import floor_area
from vlm3r.qa.routes.footprints import Footprints
from vlm3r.qa.routes.grid import FloorPlan
from vlm3r.qa.routes.path import ShortestWalks, clear_line, walk_length
from vlm3r.qa.routes.rules import RouteRules
from vlm3r.qa.routes.turns import BACK, LEFT, NONE, RIGHT, turn_angles, turn_words, turned
from vlm3r.scenes.schema import OrientedBox

seeds = st.integers(0, 10_000)


def some_boxes(seed: int, count: int = 6) -> list[OrientedBox]:
    """Boxes in any orientation, upright ones and flat ones among them."""
    rng = np.random.default_rng(seed)
    boxes = []
    for i in range(count):
        turn = Rotation.random(random_state=rng) if i % 3 else Rotation.from_euler("z", rng.uniform(0, 6))
        size = rng.uniform(0.05, 1.5, 3) * (1, 1 if i % 2 else 1e-9, 1)
        boxes.append(OrientedBox(rng.uniform(-2, 2, 3), size, rng.permutation(turn.as_matrix())))
    return boxes


def shadow(box: OrientedBox) -> shapely.Geometry:
    return shapely.MultiPoint(box.corners[:, :2]).convex_hull


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_footprints_are_the_hulls_of_the_projected_corners(seed):
    boxes = some_boxes(seed)
    footprints = Footprints(boxes)
    points = np.random.default_rng(seed).uniform(-3, 3, (40, 2))
    for i, box in enumerate(boxes):
        hull = shadow(box)
        own = shapely.Polygon(footprints.corners[i])
        assert own.area == pytest.approx(hull.area, abs=1e-9)
        assert own.hausdorff_distance(hull) < 1e-6
        assert footprints.bottoms[i] == pytest.approx(box.corners[:, 2].min())
        assert footprints.tops[i] == pytest.approx(box.corners[:, 2].max())
        distances = footprints.distances(i, points[:, 0], points[:, 1])
        assert distances == pytest.approx(shapely.distance(hull, shapely.points(points)), abs=1e-6)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_gaps_between_footprints_are_those_of_the_polygons(seed):
    boxes = some_boxes(seed)
    expected = [[shadow(a).distance(shadow(b)) for b in boxes] for a in boxes]
    assert Footprints(boxes).gaps() == pytest.approx(np.array(expected), abs=1e-6)


def test_crossed_boxes_have_no_gap_although_neither_holds_a_corner_of_the_other():
    crossed = Footprints([block(0, 0, 4, 0.5), block(0, 0, 0.5, 4)])
    assert crossed.gaps()[0, 1] == 0


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_the_floor_is_the_union_of_the_outlines(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    star = [(r * np.cos(a), r * np.sin(a)) for r, a in zip(rng.uniform(0.5, 3, 9), angles, strict=True)]
    square = rectangle(0, 0, 2, 2)
    scene = room([star, square])
    area = floor_area(scene, Footprints([]), RULES)
    assert area is not None
    x, y = rng.uniform(-3, 3, 30), rng.uniform(-3, 3, 40)
    xs, ys = np.meshgrid(x, y)
    union = shapely.union(shapely.Polygon(star).buffer(0), shapely.Polygon(square))
    if not shapely.Polygon(star).is_valid:
        return
    clear = shapely.distance(union.boundary, shapely.points(xs, ys)) > 0.01
    assert (area.covers(x, y) == shapely.contains_xy(union, xs, ys))[clear].all()


def test_a_scene_without_outline_has_the_hull_of_its_boxes_as_floor_and_says_so():
    corners = {f"thing {i}": block(x, y) for i, (x, y) in enumerate([(0, 0), (6, 0), (6, 5), (0, 5)])}
    known = room(rectangle(0, 0, 1, 1), **corners)
    assert floor_area(known, Footprints([]), RULES).source == "outlines"
    plan = FloorPlan(replace(known, room=replace(known.room, outlines=())), RULES)
    assert plan.area is not None
    assert plan.area.source == "hull"
    assert shapely.Polygon(plan.area.polygons[0]).area == pytest.approx(6.4 * 5.4)


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_free_cells_keep_a_radius_from_walls_and_furniture(seed):
    rng = np.random.default_rng(seed)
    outline = [(0, 0), (5.03, 0), (5.03, 2), (3, 2), (3, 4.01), (0, 4.01)]
    things = {f"t{i}": block(*rng.uniform(0, 4, 2), *rng.uniform(0.1, 1, 2), turn=rng.uniform(0, 90)) for i in range(4)}
    scene = room(outline, **things)
    grid = FloorPlan(scene, RULES).grid(np.arange(4))
    rows, columns = np.indices(grid.free.shape)
    middles = shapely.points(grid.middles(rows, columns))
    furniture = shapely.union_all([shadow(o.box) for o in scene.objects])
    to_furniture = shapely.distance(furniture, middles)
    inside = shapely.contains_xy(shapely.Polygon(outline), *grid.middles(rows, columns).transpose(2, 0, 1))
    to_wall = np.where(inside, shapely.distance(shapely.Polygon(outline).exterior, middles), 0)
    surely = (to_furniture > 0.2) & (to_wall > 0.2 + 0.05)
    never = (to_furniture < 0.2) | (to_wall < 0.2 - 0.04)
    assert grid.free[surely].all()
    assert not grid.free[never].any()


def test_only_what_stands_between_ankle_and_head_blocks():
    scene = room(
        rectangle(0, 0, 9, 3),
        rug=block(1, 1.5, 1, 1, high=0.02),
        step=block(3, 1.5, high=0.12),
        lamp=block(5, 1.5, low=1.6, high=2.0),
        shelf=block(7, 1.5, low=1.4, high=1.9),
        door=block(8.5, 1.5, high=2.0),
    )
    assert FloorPlan(scene, RULES).blocks.tolist() == [False, True, False, True, False]


def test_the_floor_may_lie_at_any_height():
    scene = room(rectangle(0, 0, 9, 3), rug=block(1, 1, low=-3, high=-2.98), crate=block(4, 1, low=-3, high=-2.5))
    assert FloorPlan(scene, RULES).blocks.tolist() == [False, True]


def test_an_object_is_within_reach_on_its_own_side_of_the_wall_only():
    rooms = [rectangle(0, 0, 3, 3), rectangle(3.12, 0, 6, 3)]
    scene = room(rooms, picture=block(2.97, 1.5, 0.04, 0.8, low=0.5, high=1.5))
    region = FloorPlan(scene, RULES).grid(np.array([0]))
    columns = np.flatnonzero(region.regions[0].any(0))
    assert region.middles(np.zeros(1, int), columns[-1:])[0, 0] < 3
    assert region.regions[0].sum() > 50


@pytest.mark.parametrize("joined", ["doorway outline", "door", "nothing"])
def test_rooms_are_joined_by_doorways_and_doors_only(joined):
    rooms = [rectangle(0, 0, 3, 3), rectangle(3.12, 0, 6, 3)]
    doorway = rectangle(3, 1, 3.12, 2)
    things = {"door": block(3.06, 1.5, 0.12, 1.0, high=2)} if joined == "door" else {}
    scene = room([*rooms, doorway] if joined == "doorway outline" else rooms, crate=block(0.5, 0.5), **things)
    grid = FloorPlan(scene, RULES).grid(np.arange(1))
    walk = ShortestWalks(grid).walk(np.array([1.5, 1.5]), np.array([4.5, 1.5]))
    assert (walk is None) == (joined == "nothing")


def test_touching_outlines_with_a_rounding_gap_are_one_floor():
    middle_of_a_column = 2.025
    for at in middle_of_a_column + np.linspace(-0.001, 0, 5):
        scene = room([rectangle(0, 0, at, 3), rectangle(at + 0.001, 0, 5, 3)])
        grid = FloorPlan(scene, RULES).grid(np.arange(0))
        assert clear_line(grid, np.array([1.0, 1.5]), np.array([4.0, 1.5]))


def test_the_shortest_walk_goes_around_the_corner_of_an_l_shaped_room():
    scene = room([(0, 0), (4, 0), (4, 2), (2, 2), (2, 4), (0, 4)])
    walk = ShortestWalks(FloorPlan(scene, RULES).grid(np.arange(0))).walk(np.array([3.5, 1.0]), np.array([1.0, 3.5]))
    assert walk is not None
    corner = np.array([1.8, 1.8]) + 0.2 * (1 - np.sqrt(0.5))  # a person's arc about the corner at (2, 2)
    expected = np.linalg.norm(corner - (3.5, 1.0)) + np.linalg.norm(corner - (1.0, 3.5))
    assert walk_length(walk) == pytest.approx(expected, abs=0.1)
    assert len(walk) <= 5


def test_the_shortest_walk_around_a_table_is_the_shorter_side():
    scene = room(rectangle(0, 0, 6, 4), table=block(3, 1.8, 2, 1.2))
    grid = FloorPlan(scene, RULES).grid(np.arange(0))
    walk = ShortestWalks(grid).walk(np.array([1.0, 1.5]), np.array([5.0, 1.5]))
    assert walk is not None
    assert walk[:, 1].min() == pytest.approx(1.0, abs=0.06)  # the table ends at 1.2
    low = np.hypot(1.0, 0.5) * 2 + 2
    assert low - 0.1 < walk_length(walk) < low + 0.25


def test_a_walk_in_the_open_is_straight_and_exact():
    grid = FloorPlan(room(rectangle(0, 0, 6, 4)), RULES).grid(np.arange(0))
    walk = ShortestWalks(grid).walk(np.array([1.0, 1.0]), np.array([5.0, 3.03]))
    assert walk is not None
    assert walk_length(walk) == pytest.approx(np.hypot(4, 2.03))


@given(st.floats(-179, 179), st.floats(0, 360))
def test_turns_are_signed_to_the_left(angle, heading):
    before = np.array([np.cos(np.radians(heading)), np.sin(np.radians(heading))])
    after = turned(before, np.array(angle))
    assert turn_angles(before, after) == pytest.approx(angle, abs=1e-6)


def test_turn_words_have_a_margin_on_both_sides_of_every_boundary():
    angles = np.array([0, 50, 54, 56, 90, 124, 126, 144, 146, 180, -50, -56, -124, -126, -146])
    expected = [NONE, NONE, NONE, LEFT, LEFT, LEFT, NONE, NONE, BACK, BACK, NONE, RIGHT, RIGHT, NONE, BACK]
    assert turn_words(angles.astype(float), RULES, RULES.margin).tolist() == expected


@pytest.mark.parametrize(
    "wrong", [{"cell": 0}, {"reach": 0.25}, {"end": 0.1}, {"most_blanks": 5}, {"most_detour": 0.5}]
)
def test_rules_that_cannot_work_are_refused_in_one_line(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))) as error:
        RouteRules(**wrong)
    assert "\n" not in str(error.value)


def test_scenes_without_floor_or_landmarks_have_no_routes():
    empty = room([rectangle(0, 0, 4, 4)])
    for scene in (empty, room([rectangle(0, 0, 4, 4)], crate=block(1, 1), far=block(90, 90), bin=block(3, 3))):
        finder(scene).routes(np.random.default_rng(0))
    assert finder(empty).routes(np.random.default_rng(0)) == []
