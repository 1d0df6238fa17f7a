"""Items against continuous geometry, and what must not change when a scene is moved, turned, mirrored or relisted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.invented_scenes import yaw
from tests.qa.route_rooms import RULES, answers, finder, furnished, named
from vlm3r.qa.routes.routes import Route
from vlm3r.qa.routes.turns import BACK, LEFT, RIGHT
from vlm3r.qa.tasks.route_planning import RoutePlanning
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import Scene

TURNS = {"Turn Left": (45, 135), "Turn Right": (225, 315), "Turn Back": (135, 225)}
seeds = st.integers(0, 60)


def shadow(box) -> shapely.Polygon:
    return shapely.MultiPoint(box.corners[:, :2]).convex_hull


def free_floor(scene: Scene, radius: float) -> shapely.Geometry:
    """Where the middle of a person can be."""
    floor = shapely.union_all([shapely.Polygon(outline.polygon) for outline in scene.room.outlines])
    heights = [(o.box.corners[:, 2].min(), o.box.corners[:, 2].max()) for o in scene.objects]
    things = [shadow(o.box) for o, (low, high) in zip(scene.objects, heights, strict=True) if low < 1.5 and high > 0.1]
    return floor.buffer(-radius).difference(shapely.union_all(things).buffer(radius))


def direction(a, b) -> float:
    return math.degrees(math.atan2(b[1] - a[1], b[0] - a[0]))


@pytest.mark.parametrize("seed", range(12))
def test_only_the_answer_leads_over_free_floor_to_the_goal(seed):
    scene = furnished(seed)
    free = free_floor(scene, 0.2)
    walls = shapely.union_all([shapely.Polygon(outline.polygon) for outline in scene.room.outlines])
    for item in RoutePlanning().items(SceneGraph(scene), np.random.default_rng(seed), 10):
        boxes = [scene.objects[i].box for i in item.objects]
        path = item.details["polyline"]
        heading = direction(path[0], boxes[1].centre)
        turns = item.answer.split(", ")
        steps = list(item.details["steps"])
        for leg, (a, b) in enumerate(pairwise(path)):
            assert free.covers(shapely.LineString([a, b])), "a leg meets a wall or furniture"
            target = shadow(boxes[leg + 2])
            assert target.distance(shapely.Point(b)) <= 0.5
            assert 0.99 <= math.dist(a, b) <= 6.01
            if steps.pop(0)["action"] == "turn":
                steps.pop(0)
                word = turns.pop(0)
                low, high = TURNS[word]
                assert low + 10 <= (direction(a, b) - heading) % 360 <= high - 10
                for other, (start, stop) in TURNS.items():
                    assert other == word or not sees(walls, a, heading, range(start, stop + 1, 3), target)
            else:
                assert abs((direction(a, b) - heading + 180) % 360 - 180) < 3
            heading = direction(a, b)
        assert not turns
        assert shadow(boxes[0]).distance(shapely.Point(path[0])) <= 0.5


def sees(walls: shapely.Geometry, start, heading: float, turns, target: shapely.Polygon) -> bool:
    """Whether a straight line within the room meets the target after one of the turns."""
    for turn in turns:
        angle = math.radians(heading + turn)
        ray = shapely.LineString([start, (start[0] + 6 * math.cos(angle), start[1] + 6 * math.sin(angle))])
        inside = ray.intersection(walls)
        if any(
            part.distance(shapely.Point(start)) < 1e-6 and part.intersects(target) for part in shapely.get_parts(inside)
        ):
            return True
    return False


def changed(scene: Scene, matrix: np.ndarray, offset) -> Scene:
    """The scene under a turn or a mirror of the plan, and a move."""
    lift = np.eye(3)
    lift[:2, :2] = matrix
    objects = tuple(
        replace(o, box=replace(o.box, centre=lift @ o.box.centre + offset, axes=o.box.axes @ lift.T))
        for o in scene.objects
    )
    outlines = tuple(
        replace(out, polygon=tuple(tuple(matrix @ p + offset[:2]) for p in np.array(out.polygon)))
        for out in scene.room.outlines
    )
    return replace(scene, objects=objects, room=replace(scene.room, outlines=outlines))


def assert_same_answers(scene: Scene, other: Scene, carry: Callable[[Route], Route]) -> None:
    """Routes of one scene can be asked in the other with the carried answer, and the other's own agree.

    Another place of the cells may turn down a route that only just passes, so some are allowed to be missing.
    """
    here, there = finder(scene), finder(other)
    routes = [r for r in here.routes(np.random.default_rng(0))[:60] if here.check(r).problem is None]
    known = {named(scene, here, r): carry(r).words for r in routes}
    problems = [there.check(carry(r)).problem for r in routes]
    assert sum(problem is not None for problem in problems) <= 2 + 0.25 * len(problems), problems
    for route in there.routes(np.random.default_rng(1))[:60]:
        if there.check(route).problem is None:
            assert route.words == known.get(named(other, there, route), route.words)


@given(seeds, st.floats(0, 360), st.tuples(*[st.floats(-20, 20)] * 3))
@settings(max_examples=15, deadline=None)
def test_turning_and_moving_a_scene_changes_no_answer(seed, degrees, offset):
    matrix, offset = yaw(degrees)[:2, :2], np.array(offset)
    scene = furnished(seed)
    moved = changed(scene, matrix, offset)
    assert_same_answers(scene, moved, lambda r: replace(r, points=r.points @ matrix.T + offset[:2]))


@given(seeds, st.floats(0, 360))
@settings(max_examples=15, deadline=None)
def test_a_mirror_swaps_left_and_right(seed, degrees):
    matrix = yaw(degrees)[:2, :2] @ np.diag([-1.0, 1.0])
    swap = {BACK: BACK, LEFT: RIGHT, RIGHT: LEFT}
    scene = furnished(seed)

    def carry(route: Route) -> Route:
        return replace(route, points=route.points @ matrix.T, words=tuple(swap[w] for w in route.words))

    assert_same_answers(scene, changed(scene, matrix, np.zeros(3)), carry)


@given(seeds, st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_objects_changes_no_answer(seed, random):
    scene = furnished(seed)
    order = random.sample(range(len(scene.objects)), len(scene.objects))
    relisted = replace(scene, objects=tuple(scene.objects[i] for i in order))
    first, second = answers(scene, most=150), answers(relisted, most=150)
    assert all(first[key] == second[key] for key in first.keys() & second.keys())


def test_a_scene_moved_by_whole_metres_has_the_same_items():
    scene = furnished(5)
    moved = changed(scene, np.eye(2), np.array([16.0, -8.0, 2.0]))
    first, second = (list(RoutePlanning().items(SceneGraph(s), np.random.default_rng(3), 10)) for s in (scene, moved))
    assert [(i.slots, i.answer, i.options) for i in first] == [(i.slots, i.answer, i.options) for i in second]
    assert first


def test_a_finer_grid_gives_the_same_answers():
    fine = replace(RULES, cell=0.025)
    common = 0
    for seed in range(6):
        first, second = answers(furnished(seed), most=80), answers(furnished(seed), fine, most=80)
        assert all(first[key] == second[key] for key in first.keys() & second.keys())
        common += len(first.keys() & second.keys())
    assert common > 10
