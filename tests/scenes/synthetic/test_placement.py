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
from vlm3r.scenes.synthetic.shapes import bounds

SEEDS = 30
SHRINK = 0.002
"""Metres taken off each side of a box before its points are sampled, so that touching is not meeting."""


def furnished(seed):
    for attempt in range(20):
        try:
            return make_home((seed, 0, attempt))
        except Unfurnishable:
            continue
    raise AssertionError(f"seed {seed} is never furnished")


@pytest.fixture(scope="module")
def homes():
    return [furnished(seed) for seed in range(SEEDS)]


def local(thing, points):
    """World points (n, 3) in the frame of an object's box."""
    angle = np.radians(thing.yaw)
    along, up = np.array([np.cos(angle), np.sin(angle), 0]), np.array([0, 0, 1.0])
    offset = points - thing.centre
    return np.stack([offset @ along, offset @ np.cross(up, along), offset @ up], axis=1)


def to_world(thing, points):
    angle = np.radians(thing.yaw)
    along, aside = np.array([np.cos(angle), np.sin(angle), 0]), np.array([-np.sin(angle), np.cos(angle), 0])
    return thing.centre + points[:, :1] * along + points[:, 1:2] * aside + points[:, 2:] * np.array([0, 0, 1.0])


def points_in(thing, count=9):
    """A grid of points in an object's box, its corners included."""
    steps = np.linspace(-0.5, 0.5, count)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    return to_world(thing, grid * np.maximum(thing.size - 2 * SHRINK, 1e-4))


def inside(thing, points):
    return (np.abs(local(thing, points)) < thing.size / 2 - SHRINK).all(1)


def within_rooms(home, points, slack=0.0):
    hits = [Outline(room.polygon).contains_points(points[:, :2], radius=slack) for room in home.world.rooms]
    return np.any(hits, axis=0)


def test_no_two_boxes_meet_but_for_what_stands_in_the_box_of_its_carrier(homes):
    for home in homes:
        things = home.world.objects
        for i, thing in enumerate(things):
            points = points_in(thing)
            for j, other in enumerate(things):
                if i != j and other.support != i and thing.support != j:
                    assert not inside(other, points).any(), (thing.category, other.category)


def test_everything_but_windows_and_doors_lies_inside_the_rooms(homes):
    for home in homes:
        for thing in home.world.objects:
            if KINDS[thing.category].place != "opening":
                points = points_in(thing, 5)
                assert within_rooms(home, points).all(), thing.category
                assert points[:, 2].min() > -1e-6 and points[:, 2].max() < home.world.height + 1e-6


def test_boxes_are_those_of_the_surfaces(homes):
    for home in homes[:10]:
        for thing in home.world.objects:
            surface = np.concatenate([patch.points.reshape(-1, 3) for patch in thing.solid])
            reach = np.abs(local(thing, surface)).max(0)
            assert np.allclose(reach, thing.size / 2, atol=1e-6), thing.category


def test_nothing_floats(homes):
    for home in homes:
        things = home.world.objects
        rugs = [thing for thing in things if KINDS[thing.category].place == "floor_flat"]
        for thing in things:
            place, low = KINDS[thing.category].place, thing.centre[2] - thing.size[2] / 2
            if place in ("hung", "opening"):
                continue
            if place == "ceiling":
                assert low + thing.size[2] == pytest.approx(home.world.height, abs=1e-6)
            elif thing.support is None:
                assert place != "surface", thing.category
                ground = [0.0, *(rug.size[2] for rug in rugs)]
                assert min(abs(low - level) for level in ground) < 1e-6, (thing.category, low)
            else:
                carrier = things[thing.support]
                assert place == "surface" and carrier.category in KINDS[thing.category].on
                below = np.concatenate([patch.points.reshape(-1, 3) for patch in carrier.solid])
                assert np.abs(below[:, 2] - low).min() < 0.011, (thing.category, carrier.category)
                assert np.abs(local(carrier, thing.centre[None])[0, :2] / carrier.size[:2]).max() < 0.5


def test_what_belongs_to_a_wall_has_its_back_to_one(homes):
    for home in homes:
        walls = shapely.union_all([shapely.LinearRing(room.polygon) for room in home.world.rooms])
        for thing in home.world.objects:
            place = KINDS[thing.category].place
            if place in ("wall", "hung", "opening"):
                half = thing.size / 2
                back = to_world(thing, np.array([[x, half[1], 0] for x in (-0.9 * half[0], 0.9 * half[0])]))
                gap = max(shapely.Point(p[:2]).distance(walls) for p in back)
                assert gap < {"wall": 0.03, "hung": 0.01, "opening": 0.15}[place], thing.category


def test_every_category_is_in_a_room_where_it_belongs(homes):
    for home in homes:
        for thing in home.world.objects:
            kind = KINDS[thing.category]
            if kind.place != "opening":
                at = thing.centre[None, :2]
                uses = {room.use for room in home.world.rooms if Outline(room.polygon).contains_points(at)[0]}
                assert uses & kind.rooms, (thing.category, uses)


def test_doors_and_windows_are_not_blocked(homes):
    for home in homes:
        for hole in home.world.objects:
            if hole.category not in ("door", "window"):
                continue
            reach = {"door": 0.7, "window": 0.3}[hole.category]
            steps = np.stack(np.meshgrid(np.linspace(-0.45, 0.45, 9), [0.0], np.linspace(-0.45, 0.45, 9)), -1)
            flat = steps.reshape(-1, 3) * hole.size
            before = [to_world(hole, flat - [0, hole.size[1] / 2 + depth, 0]) for depth in np.linspace(0.03, reach, 8)]
            points = np.concatenate(before)
            for thing in home.world.objects:
                if thing is not hole and thing.category != "curtain":
                    assert not inside(thing, points).any(), (hole.category, thing.category)


def test_one_can_walk_into_every_room_keeping_a_quarter_of_a_metre(homes):
    for home in homes:
        world = home.world
        shapes = [shapely.Polygon(room.polygon) for room in world.rooms]
        passages = [shapely.Polygon(passage) for passage in world.passages]
        floor = shapely.union_all([shape.buffer(0.002, join_style="mitre") for shape in (*shapes, *passages)])
        way = floor.buffer(-0.252)
        for thing in world.objects:
            if thing.blocks_walking:
                half = thing.size / 2
                ring = to_world(thing, np.array([(a * half[0], b * half[1], 0) for a, b in
                                                 ((-1, -1), (1, -1), (1, 1), (-1, 1))]))  # fmt: skip
                way = way.difference(shapely.Polygon(ring[:, :2]).buffer(0.25))
        parts = shapely.get_parts(way)
        largest = max(parts, key=lambda part: part.area)
        assert largest.area > 0.97 * way.area
        assert all(largest.intersection(shape).area > 0.5 for shape in shapes)


def test_chairs_look_at_their_tables_and_the_sofa_at_its_coffee_table(homes):
    pairs = {"chair": "dining table", "office chair": "desk"}
    for home in homes:
        for thing in home.world.objects:
            if thing.category in pairs:
                partners = [other for other in home.world.objects if other.category == pairs[thing.category]]
                ahead = [local(thing, other.centre[None])[0] for other in partners]
                assert any(p[1] < 0 and np.hypot(*p[:2]) < 1.8 for p in ahead), thing.category
            if thing.category == "coffee table":
                sofas = [other for other in home.world.objects if other.category == "sofa"]
                assert any(-1.8 < local(sofa, thing.centre[None])[0][1] < 0 for sofa in sofas)


def test_homes_hold_enough_to_ask_about(homes):
    counts = [Counter(thing.category for thing in home.world.objects) for home in homes]
    totals = [sum(count.values()) for count in counts]
    assert min(totals) >= 8 and 15 <= np.median(totals) <= 35
    assert np.median([sum(n == 1 for n in count.values()) for count in counts]) >= 8
    assert np.mean([any(2 <= n <= 6 for n in count.values()) for count in counts]) > 0.9
    assert len(set().union(*counts)) >= 40


def test_rooms_have_what_makes_them_such_rooms(homes):
    needed = {"kitchen": "stove", "bedroom": "bed", "living": "sofa", "bathroom": "toilet", "office": "desk"}
    for use, category in needed.items():
        having = [any(thing.category == category for thing in home.world.objects)
                  for home in homes if use in [room.use for room in home.world.rooms]]  # fmt: skip
        assert not having or np.mean(having) > 0.7, use


def test_windows_let_in_sky_light_from_outside_and_lamps_shine(homes):
    for home in homes:
        world = home.world
        assert len(world.windows) == sum(thing.category == "window" for thing in world.objects)
        for light in world.windows:
            normal = np.cross(light.edge_u, light.edge_v)
            normal /= np.linalg.norm(normal)
            middle = np.array(light.corner) + (np.array(light.edge_u) + np.array(light.edge_v)) / 2
            assert within_rooms(home, (middle + 0.2 * normal)[None])[0]
            assert not within_rooms(home, (middle - 0.1 * normal)[None])[0]
        assert world.lamps and all(min(light.radiance) > 0 for light in world.lamps)
        assert world.sun_direction[2] > 0 and np.linalg.norm(world.sun_direction) == pytest.approx(1)


def test_no_light_leaks_into_a_home(homes):
    """Rays from inside a room that miss every window and doorway meet a surface within the room's own length."""
    trimesh = pytest.importorskip("trimesh")
    for home in homes[:4]:
        world = home.world
        vertices, faces, at = [], [], 0
        for patch in [*world.shell, *(p for o in world.objects if o.category == "door" for p in o.solid)]:
            rows, columns = patch.points.shape[:2]
            corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel() + at
            faces += [np.stack([corner, corner + columns, corner + 1], 1),
                      np.stack([corner + 1, corner + columns, corner + columns + 1], 1)]  # fmt: skip
            vertices.append(patch.points.reshape(-1, 3))
            at += rows * columns
        mesh = trimesh.Trimesh(np.concatenate(vertices), np.concatenate(faces), process=False)
        rng = np.random.default_rng(0)
        start = np.array([*shapely.Polygon(world.rooms[0].polygon).representative_point().coords[0], 1.3])
        rays = rng.standard_normal((4000, 3))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        met = mesh.ray.intersects_any(np.tile(start, (len(rays), 1)), rays)
        escaped = rays[~met]
        through = np.zeros(len(escaped), bool)
        for light in world.windows:
            normal = np.cross(light.edge_u, light.edge_v)
            reach = ((np.array(light.corner) - start) @ normal) / (escaped @ normal)
            offset = start + reach[:, None] * escaped - light.corner
            u, v = np.array(light.edge_u), np.array(light.edge_v)
            share = np.stack([offset @ u / (u @ u), offset @ v / (v @ v)], 1)
            through |= (reach > 0) & (np.abs(share - 0.5) <= 0.5 + 0.02).all(1)
        assert through.all()


def test_the_same_seed_makes_the_same_home():
    first, second = furnished(3).world, furnished(3).world
    assert [thing.category for thing in first.objects] == [thing.category for thing in second.objects]
    for a, b in zip(first.objects, second.objects, strict=True):
        assert np.array_equal(a.centre, b.centre) and a.yaw == b.yaw
        assert all(np.array_equal(x, y) for x, y in zip(bounds(a.solid), bounds(b.solid), strict=True))
    assert all(p.material == q.material for p, q in zip(first.shell, second.shell, strict=True))
