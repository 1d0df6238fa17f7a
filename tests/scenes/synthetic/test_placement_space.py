"""What the space of a home accepts while it is being furnished."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from vlm3r.scenes.synthetic.catalogue import KINDS
from vlm3r.scenes.synthetic.placement_rules import unplaced
from vlm3r.scenes.synthetic.placement_space import (
    FloorGrid,
    Item,
    Keepout,
    Space,
    is_walkable,
    rectangle_distance,
    solid_size,
)

SIDE = 4.0


def empty(side=SIDE):
    room = shapely.box(0, 0, side, side)
    return Space([room], [], 2.6, FloorGrid(room, [room]))


def stool_at(x, y, z=0.0):
    solid = KINDS["stool"].build(np.random.default_rng(0))
    return replace(unplaced(KINDS["stool"], solid, 0), at=(x, y, z))


def test_boxes_that_overlap_in_height_must_be_apart_and_others_need_not():
    space, size = empty(), solid_size(stool_at(0, 0).solid)
    space.add(stool_at(2, 2))
    assert not space.accepts(stool_at(2 + 0.9 * size[0], 2))
    assert space.accepts(stool_at(2 + 1.1 * size[0], 2))
    assert space.accepts(stool_at(2, 2, float(size[2])))
    assert not space.accepts(stool_at(2, 2, float(size[2]) - 0.01))


def test_nothing_is_accepted_beyond_walls_floor_or_ceiling():
    space, half = empty(), float(solid_size(stool_at(0, 0).solid)[0]) / 2
    assert space.accepts(stool_at(half + 0.03, 2))
    assert not space.accepts(stool_at(half + 0.01, 2))  # in the skirting board
    assert not space.accepts(stool_at(half - 0.1, 2))
    assert not space.accepts(stool_at(2, 2, -0.1))
    assert not space.accepts(stool_at(2, 2, 2.3))


def test_a_strip_that_is_kept_free_admits_only_what_belongs_to_its_owner():
    space = empty()
    owner = space.add(stool_at(0.5, 0.5))
    space.keepouts.append(Keepout(shapely.box(1.5, 1.5, 2.5, 2.5), high=1.0, owner=owner))
    assert not space.accepts(stool_at(2, 2))
    assert space.accepts(stool_at(2, 2), anchor=owner)
    assert space.accepts(stool_at(2, 2, 1.0))


def test_the_floor_may_not_be_cut_in_two():
    space = empty()
    table = Item(KINDS["dining table"], stool_at(0, 0).solid, np.array([SIDE - 0.6, 0.5, 0.7]), (2.0, 2.0, 0.0), 0.0, 0)
    assert not space.accepts(table)
    assert space.accepts(replace(table, size=np.array([1.5, 0.5, 0.7])))


def test_walkable_means_in_one_piece_and_reaching_every_room():
    left, right = shapely.box(0, 0, 3, 3), shapely.box(3.1, 0, 6, 3)
    apart = FloorGrid(shapely.union_all([left, right, shapely.box(2.9, 1.3, 3.2, 1.6)]), [left, right])
    joined = FloorGrid(shapely.union_all([left, right, shapely.box(2.9, 1.0, 3.2, 2.0)]), [left, right])
    assert not is_walkable(apart.clear, apart.rooms)
    assert is_walkable(joined.clear, joined.rooms)


def test_the_distance_to_a_rectangle_is_shapelys():
    rng = np.random.default_rng(0)
    for _ in range(20):
        centre, size, yaw = rng.uniform(-2, 2, 2), rng.uniform(0.2, 3, 2), float(rng.uniform(-180, 180))
        shape = shapely.affinity.rotate(shapely.box(*(centre - size / 2), *(centre + size / 2)), yaw)
        points = rng.uniform(-4, 4, (50, 2))
        expected = shapely.distance(shape, shapely.points(points))
        assert np.allclose(rectangle_distance(points, centre, size, yaw), expected, atol=1e-9)


def test_a_rug_lifts_what_stands_on_it_and_what_is_on_that():
    space = empty()
    table = space.add(stool_at(2, 2))
    top = float(space.items[table].size[2])
    cup = space.add(replace(stool_at(2, 2, top), support=table))
    aside = space.add(stool_at(0.5, 0.5))
    rug = Item(KINDS["rug"], stool_at(0, 0).solid, np.array([1.5, 1.5, 0.01]), (2.0, 2.0, 0.0), 0.0, 0)
    space.lift_onto(space.add(rug))
    assert [space.items[n].at[2] for n in (table, cup, aside)] == pytest.approx([0.01, top + 0.01, 0.0])
