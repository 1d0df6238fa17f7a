"""A small closed room with blocks in it, and what a camera in it must see by closed-form ray and box geometry."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scenes.synthetic import homes
from vlm3r.scenes.schema import Intrinsics
from vlm3r.scenes.synthetic.opengl import OpenGLMissing, open_context
from vlm3r.scenes.synthetic.shapes import Material, sheet
from vlm3r.scenes.synthetic.world import AreaLight

SIDE, HEIGHT = 5.0, 2.6
CAMERA = Intrinsics(128, 96, 90.0, 85.0, 60.3, 51.7)  # an off-centre principal point and oblong pixels
SKY = (8.0, 8.6, 9.3)


def opengl_works():
    try:
        open_context().release()
    except OpenGLMissing:
        return False
    return True


NEEDS_OPENGL = pytest.mark.skipif(not opengl_works(), reason="this machine has no OpenGL libraries")
BACKENDS = [pytest.param("opengl", marks=NEEDS_OPENGL), "raycast"]


def walls(world, side=SIDE, height=HEIGHT, materials=None):
    """Floor, ceiling and four walls facing inwards around 0..side."""
    s, h = side, height
    faces = {
        "floor": ((0, 0, 0), (s, 0, 0), (0, s, 0)),
        "ceiling": ((0, 0, h), (0, s, 0), (s, 0, 0)),
        "south": ((0, 0, 0), (0, 0, h), (s, 0, 0)),
        "north": ((0, s, 0), (s, 0, 0), (0, 0, h)),
        "west": ((0, 0, 0), (0, s, 0), (0, 0, h)),
        "east": ((s, 0, 0), (0, 0, h), (0, s, 0)),
    }
    chosen = materials or {}
    for name, (corner, u, v) in faces.items():
        world.shell.append(sheet(corner, u, v, chosen.get(name, Material("#d8d0c4"))))


def room_with_blocks(windows=1, lamps=1):
    """A textured room with five blocks, two of them turned, one hanging and one shiny."""
    world = homes.square_room(SIDE)
    walls(world, materials={"floor": Material("#b08a60", "planks", 0.4, 0.5), "north": Material("#c0c8d0", "plaid")})
    homes.block(world, (2.4, 3.2), (0.8, 0.5, 0.9), 30.0)
    homes.block(world, (1.1, 3.9), (0.6, 0.6, 1.7))
    homes.block(world, (3.6, 2.6), (0.4, 0.4, 0.4), 75.0)
    homes.block(world, (3.3, 4.2, 1.2), (1.2, 0.2, 0.3))
    homes.block(world, (4.3, 4.3), (0.7, 0.7, 1.1))
    for k in range(windows):
        world.windows.append(AreaLight((0.005, 0.5 + 0.4 * k, 0.9), (0, 0.35, 0), (0, 0, 1.2), SKY))
    for k in range(lamps):
        world.lamps.append(AreaLight((1.5 + k, 2.0, 2.55), (0, 0.4, 0), (0.4, 0, 0), (9.0, 8.0, 6.6)))
    world.sun_direction = np.array([-0.8, -0.3, 0.52])
    return world


def seen_by_geometry(world, pose, camera=CAMERA):
    """Depth (height, width) in metres and instances by the slab method, from the boxes of the objects and the room."""
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    local = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], axis=-1)
    rays, eye = local @ pose[:3, :3].T, pose[:3, 3]
    with np.errstate(divide="ignore"):
        far = np.maximum((np.array([SIDE, SIDE, HEIGHT]) - eye) / rays, -eye / rays).min(-1)
    depth, instances = far, np.zeros(far.shape, int)
    for number, thing in enumerate(world.objects, start=1):
        c, s = np.cos(np.radians(thing.yaw)), np.sin(np.radians(thing.yaw))
        to_box = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        start, along = to_box @ (eye - thing.centre), rays @ to_box.T
        with np.errstate(divide="ignore"):
            a, b = (-thing.size / 2 - start) / along, (thing.size / 2 - start) / along
        enter, leave = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
        nearer = (enter < leave) & (enter > 0) & (enter < depth)
        depth, instances = np.where(nearer, enter, depth), np.where(nearer, number, instances)
    return depth, instances


def beside_an_edge(instances, depth):
    """Pixels next to another object, or next to a jump in depth."""
    edge = np.zeros(instances.shape, bool)
    for axis in (0, 1):
        jump = (np.diff(instances, axis=axis) != 0) | (np.abs(np.diff(depth, axis=axis)) > 0.2)
        before, after = ((slice(None), slice(None, -1)), (slice(None), slice(1, None)))
        if axis == 0:
            before, after = before[::-1], after[::-1]
        edge[before] |= jump
        edge[after] |= jump
    return edge
