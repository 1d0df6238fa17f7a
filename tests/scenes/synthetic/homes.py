"""Small homes by hand, so that tests know the truth."""

import numpy as np

from vlm3r.scenes.synthetic.shapes import Material, box
from vlm3r.scenes.synthetic.world import RoomShape, World

GREY = Material("#888888")


def square_room(side=5.0):
    return World(rooms=[RoomShape("living", ((0, 0), (side, 0), (side, side), (0, side)))])


def two_rooms():
    """Rooms of 4 x 4 and 3 x 4 metres with a doorway of 1 metre through a wall of 12 centimetres."""
    left = RoomShape("living", ((0, 0), (4, 0), (4, 4), (0, 4)))
    right = RoomShape("kitchen", ((4.12, 0), (7.12, 0), (7.12, 4), (4.12, 4)))
    return World(rooms=[left, right], passages=[((4, 1.5), (4.12, 1.5), (4.12, 2.5), (4, 2.5))])


def block(world, at, size, yaw=0.0, category="box", blocks=True):
    """Put a box of the given size (metres) with its underside's middle at `at`."""
    world.add(category, box((0, 0, size[2] / 2), size, GREY, radius=0.0), (*at, 0.0)[:3], yaw, blocks)


def chance_home(seed):
    """A room with a few boxes against the walls and one in the middle."""
    rng = np.random.default_rng(seed)
    world = square_room(float(rng.uniform(4.0, 7.0)))
    side = world.rooms[0].polygon[1][0]
    block(world, (side / 2, side / 2), (1.0, 0.6, 0.5), float(rng.uniform(0, 180)))
    for k in range(4):
        along = float(rng.uniform(1, side - 1))
        at = [(along, 0.35), (side - 0.35, along), (along, side - 0.35), (0.35, along)][k]
        block(world, at, (0.6, 0.6, float(rng.uniform(0.4, 1.8))))
    return world
