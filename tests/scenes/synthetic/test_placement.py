"""Furnished homes: nothing meets anything, everything stands where it belongs, and one can walk everywhere.

The checks sample points in the boxes and look them up in plain coordinates; they share no code with the placement.
"""

from collections import Counter

import numpy as np
import pytest
import shapely
from matplotlib.path import Path as Outline

from vlm3r.scenes.synthetic.catalogue import KINDS
from vlm3r.scenes.synthetic.home import Unfurnishable, make_home

SEEDS = 30
SHRINK = 0.002
"""Metres taken off each side of a box before its points are sampled, so that touching is not meeting."""


def furnished(seed):
    for attempt in range(20):
        try:
            return make_home((seed, 0, attempt)).world
        except Unfurnishable:
            continue
    raise AssertionError(f"seed {seed} is never furnished")


@pytest.fixture(scope="module")
def worlds():
    return [furnished(seed) for seed in range(SEEDS)]


def axes(thing):
    """Directions of an object's width, depth and height, as rows (3, 3)."""
    angle = np.radians(thing.yaw)
    return np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


def to_local(thing, points):
    """World points (n, 3) in the frame of an object's box."""
    return (points - thing.centre) @ axes(thing).T


def to_world(thing, points):
    return thing.centre + points @ axes(thing)


def points_in(thing, count=9):
    """A grid of points in an object's box, its corners included."""
    steps = np.linspace(-0.5, 0.5, count)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    return to_world(thing, grid * np.maximum(thing.size - 2 * SHRINK, 1e-4))


def inside(thing, points):
    return (np.abs(to_local(thing, points)) < thing.size / 2 - SHRINK).all(1)


def within_rooms(world, points):
    return np.any([Outline(room.polygon).contains_points(points[:, :2]) for room in world.rooms], axis=0)


def test_no_two_boxes_meet_but_for_what_stands_in_the_box_of_its_carrier(worlds):
    for world in worlds:
        for i, thing in enumerate(world.objects):
            points = points_in(thing)
            for j, other in enumerate(world.objects):
                if i != j and other.support != i and thing.support != j:
                    assert not inside(other, points).any(), (thing.category, other.category)


def test_everything_but_windows_and_doors_lies_inside_the_rooms(worlds):
    for world in worlds:
        for thing in world.objects:
            if KINDS[thing.category].place != "opening":
                points = points_in(thing, 5)
                assert within_rooms(world, points).all(), thing.category
                assert points[:, 2].min() > -1e-6 and points[:, 2].max() < world.height + 1e-6


def test_boxes_are_those_of_the_surfaces(worlds):
    for world in worlds[:10]:
        for thing in world.objects:
            surface = np.concatenate([patch.points.reshape(-1, 3) for patch in thing.solid])
            assert np.allclose(np.abs(to_local(thing, surface)).max(0), thing.size / 2, atol=1e-6), thing.category


def test_nothing_floats(worlds):
    for world in worlds:
        rugs = [thing for thing in world.objects if KINDS[thing.category].place == "floor_flat"]
        for thing in world.objects:
            place, (low, high) = KINDS[thing.category].place, thing.span
            if place == "ceiling":
                assert high == pytest.approx(world.height, abs=1e-6)
            elif place == "surface":
                carrier = world.objects[thing.support]
                assert carrier.category in KINDS[thing.category].on
                assert (np.abs(to_local(carrier, thing.centre)[:2]) < carrier.size[:2] / 2).all()
            elif place not in ("hung", "opening"):
                assert thing.support is None
                assert min(abs(low - level) for level in (0.0, *(rug.size[2] for rug in rugs))) < 1e-6, thing.category


def test_what_belongs_to_a_wall_has_its_whole_back_at_one(worlds):
    for world in worlds:
        walls = shapely.union_all([shapely.LinearRing(room.polygon) for room in world.rooms])
        for thing in world.objects:
            place, half = KINDS[thing.category].place, thing.size / 2
            if place in ("wall", "hung", "opening"):
                back = to_world(thing, np.array([(-0.95 * half[0], half[1], 0), (0.95 * half[0], half[1], 0)]))
                gap = max(shapely.Point(point[:2]).distance(walls) for point in back)
                assert gap < {"wall": 0.03, "hung": 0.01, "opening": 0.15}[place], thing.category


def test_doors_and_windows_are_not_blocked(worlds):
    for world in worlds:
        for hole in world.objects:
            if hole.category not in ("door", "window"):
                continue
            reach = {"door": 0.7, "window": 0.3}[hole.category]
            steps = np.stack(np.meshgrid(np.linspace(-0.45, 0.45, 9), [0.0], np.linspace(-0.45, 0.45, 9)), -1)
            flat = steps.reshape(-1, 3) * hole.size
            depths = np.linspace(0.03, reach, 8)
            points = np.concatenate([to_world(hole, flat - [0, hole.size[1] / 2 + depth, 0]) for depth in depths])
            for thing in world.objects:
                if thing is not hole and thing.category != "curtain":
                    assert not inside(thing, points).any(), (hole.category, thing.category)


def test_one_can_walk_into_every_room_keeping_a_quarter_of_a_metre(worlds):
    for world in worlds:
        shapes = [shapely.Polygon(room.polygon) for room in world.rooms]
        passages = [shapely.Polygon(passage) for passage in world.passages]
        floor = shapely.union_all([shape.buffer(0.002, join_style="mitre") for shape in (*shapes, *passages)])
        way = floor.buffer(-0.252)
        for thing in world.objects:
            if thing.blocks_walking:
                ring = [(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)] * thing.size / 2
                way = way.difference(shapely.Polygon(to_world(thing, ring)[:, :2]).buffer(0.25))
        largest = max(shapely.get_parts(way), key=lambda part: part.area)
        assert largest.area > 0.97 * way.area
        assert all(largest.intersection(shape).area > 0.5 for shape in shapes)


def test_every_category_is_in_a_room_where_it_belongs(worlds):
    for world in worlds:
        for thing in world.objects:
            kind = KINDS[thing.category]
            if kind.place != "opening":
                at = thing.centre[None, :2]
                uses = {room.use for room in world.rooms if Outline(room.polygon).contains_points(at)[0]}
                assert uses & kind.rooms, (thing.category, uses)


def test_chairs_look_at_their_tables_and_sofas_at_theirs(worlds):
    pairs = {"chair": "dining table", "office chair": "desk"}
    for world in worlds:
        for thing in world.objects:
            if thing.category in pairs:
                partners = [other for other in world.objects if other.category == pairs[thing.category]]
                ahead = [to_local(thing, other.centre) for other in partners]
                assert any(p[1] < 0 and np.hypot(*p[:2]) < 1.8 for p in ahead), thing.category
            if thing.category == "coffee table":
                sofas = [other for other in world.objects if other.category == "sofa"]
                assert any(-1.8 < to_local(sofa, thing.centre)[1] < 0 for sofa in sofas)


def test_rooms_have_what_makes_them_such_rooms(worlds):
    needed = {"kitchen": "refrigerator", "bedroom": "bed", "living": "sofa", "bathroom": "toilet", "office": "desk",
              "dining": "dining table"}  # fmt: skip
    for world in worlds:
        for room in world.rooms:
            if room.use in needed:
                inside = Outline(room.polygon).contains_points([thing.centre[:2] for thing in world.objects])
                here = {thing.category for thing, is_in in zip(world.objects, inside, strict=True) if is_in}
                assert needed[room.use] in here, (room.use, here)


def test_sky_light_comes_in_through_every_window(worlds):
    for world in worlds:
        assert len(world.windows) == sum(thing.category == "window" for thing in world.objects)
        for light in world.windows:
            normal = np.cross(light.edge_u, light.edge_v)
            normal /= np.linalg.norm(normal)
            middle = np.array(light.corner) + (np.array(light.edge_u) + np.array(light.edge_v)) / 2
            sides = [
                any(Outline(room.polygon).contains_points([(middle + step * normal)[:2]])[0] for room in world.rooms)
                for step in (0.2, -0.1)
            ]
            assert sides == [True, False]


def test_homes_hold_enough_to_ask_about(worlds):
    counts = [Counter(thing.category for thing in world.objects) for world in worlds]
    totals = [sum(count.values()) for count in counts]
    assert min(totals) >= 8 and 15 <= np.median(totals) <= 35
    assert np.median([sum(n == 1 for n in count.values()) for count in counts]) >= 8
    assert np.mean([any(2 <= n <= 6 for n in count.values()) for count in counts]) > 0.9
    assert len(set().union(*counts)) >= 40
    assert {room.use for world in worlds for room in world.rooms} >= {"living", "kitchen", "bedroom", "office"}
