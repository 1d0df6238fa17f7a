"""Floor plans: areas, walls, doorways and holes, checked by closed forms and by shapely."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import shapely

from vlm3r.scenes.synthetic.layouts import WALL_THICKNESS
from vlm3r.scenes.synthetic.openings import REVEAL, cut_openings
from vlm3r.scenes.synthetic.plan import Opening, Wall, corners, draw_plan
from vlm3r.scenes.synthetic.world import World

PLANS = [draw_plan(np.random.default_rng([seed])) for seed in range(200)]


def shoelace(points):
    """Signed area of an outline, positive counter-clockwise."""
    x, y = np.array(points).T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def world(plan):
    return World(rooms=list(plan.rooms), passages=list(plan.passages), height=plan.height)


def test_areas_agree_with_the_shoelace_formula():
    for plan in PLANS:
        signed = [shoelace(room.polygon) for room in plan.rooms]
        assert min(signed) > 0  # counter-clockwise
        assert world(plan).area == pytest.approx(sum(signed), abs=1e-6)


def test_outlines_are_simple_and_rooms_do_not_overlap():
    for plan in PLANS:
        shapes = [shapely.Polygon(room.polygon) for room in plan.rooms]
        assert all(shape.is_valid and len(shape.exterior.coords) >= 5 for shape in shapes)
        assert all(a.intersection(b).area < 1e-6 for a, b in combinations(shapes, 2))


def test_homes_are_small_and_large_and_of_several_shapes():
    areas = np.array([world(plan).area for plan in PLANS])
    assert areas.min() >= 8 - 0.01 and areas.max() <= 80
    assert 0.1 < (areas > 40).mean() < 0.6
    assert 0.2 < np.mean([len(plan.rooms) == 1 for plan in PLANS]) < 0.6
    assert {len(plan.rooms) for plan in PLANS} == {1, 2, 3}
    assert {4, 5, 6, 8} <= {len(room.polygon) for plan in PLANS for room in plan.rooms}
    assert all(2.4 <= plan.height <= 2.9 for plan in PLANS)


def test_walls_go_once_around_each_room_with_the_room_on_their_inner_side():
    for plan in PLANS[:60]:
        for number, room in enumerate(plan.rooms):
            walls = [wall for wall in plan.walls if wall.room == number]
            outline = shapely.Polygon(room.polygon)
            assert sum(wall.length for wall in walls) == pytest.approx(outline.length, abs=1e-6)
            for wall in walls:
                assert outline.exterior.distance(shapely.Point(wall.to_home(wall.length / 2))) < 1e-6
                assert outline.contains(shapely.Point(wall.to_home(wall.length / 2, -0.05)))
                assert not outline.contains(shapely.Point(wall.to_home(wall.length / 2, 0.05)))


def test_a_doorway_is_a_hole_in_two_walls_at_one_place_and_wide_enough_to_walk_through():
    found = 0
    for plan in PLANS:
        holes = [(wall, hole) for wall in plan.walls for hole in wall.openings if hole.kind == "passage"]
        assert len(holes) == 2 * len(plan.passages)
        for passage in plan.passages:
            shape = shapely.Polygon(passage)
            ends = [
                shapely.LineString([wall.to_home(hole.left), wall.to_home(hole.right)])
                for wall, hole in holes
                if shape.distance(shapely.Point(wall.to_home((hole.left + hole.right) / 2))) < 2e-3
            ]
            assert len(ends) == 2
            assert ends[0].length == pytest.approx(ends[1].length, abs=5e-3)
            assert ends[0].length >= 0.9
            assert shape.area == pytest.approx(ends[0].length * WALL_THICKNESS, abs=5e-3)
            assert sum(shape.distance(shapely.Polygon(room.polygon)) < 2e-3 for room in plan.rooms) == 2
            found += 1
    assert found > 50


def test_an_open_plan_has_no_wall_between_its_rooms():
    found = 0
    for plan in PLANS:
        for wall in plan.walls:
            for hole in wall.openings:
                if hole.kind != "open":
                    continue
                found += 1
                assert (hole.low, hole.high) == (0.0, plan.height)
                middle = shapely.Point(wall.to_home((hole.left + hole.right) / 2, 0.02))
                assert sum(shapely.Polygon(room.polygon).contains(middle) for room in plan.rooms) == 1
    assert found > 20


def test_only_walls_without_a_room_behind_them_are_outer():
    for plan in PLANS[:80]:
        for wall in plan.walls:
            behind = wall.strip(0.01, wall.length - 0.01, -0.01, -(WALL_THICKNESS + 0.05))
            rooms = [shapely.Polygon(r.polygon) for n, r in enumerate(plan.rooms) if n != wall.room]
            assert wall.outer == all(behind.intersection(room).area < 1e-3 for room in rooms)


def test_windows_and_doors_fill_holes_in_outer_walls_and_look_outside():
    for seed, plan in enumerate(PLANS[:60]):
        cut, fittings = cut_openings(plan, np.random.default_rng([seed, 1]))
        rooms = shapely.union_all([shapely.Polygon(room.polygon) for room in plan.rooms])
        for fitting in fittings:
            wall, hole = cut.walls[fitting.wall], fitting.hole
            assert wall.outer and hole in wall.openings
            assert 0 <= hole.left < hole.right <= wall.length and 0 <= hole.low < hole.high < cut.height
            assert not rooms.intersects(wall.strip(hole.left, hole.right, -0.01, -REVEAL))
        for wall in cut.walls:
            spans = sorted((hole.left, hole.right) for hole in wall.openings)
            assert all(a[1] < b[0] for a, b in pairwise(spans))


def test_the_solid_stretches_of_a_wall_are_what_no_hole_takes():
    rng = np.random.default_rng(0)
    for _ in range(50):
        edges = np.sort(rng.uniform(0.1, 4.9, 4))
        holes = [Opening(edges[0], edges[1], 0.9, 2.0, "window"), Opening(edges[2], edges[3], 0.0, 2.1, "door")]
        wall = Wall(0, (0.0, 0.0), 0.0, 5.0, True, tuple(holes))
        low, high = sorted(rng.uniform(0, 2.5, 2))
        stretches = wall.solid_stretches(low, high)
        for x in rng.uniform(0, 5, 40):
            free = not any(h.left < x < h.right and h.low < high and h.high > low for h in holes)
            assert any(a < x < b for a, b in stretches) == free


def test_corners_turn_an_outline_counter_clockwise_without_points_on_straight_sides():
    clockwise = shapely.Polygon([(0, 0), (0, 2), (0, 4), (3, 4), (3, 0)])
    assert shoelace(corners(clockwise)) == pytest.approx(12.0)
    assert len(corners(clockwise)) == 4


def test_the_same_seed_draws_the_same_plan_and_another_one_another():
    again = draw_plan(np.random.default_rng([7]))
    assert again == PLANS[7]
    assert again != PLANS[8]
