"""Captures held sideways: how far to turn their pictures, and what turning does to depth, cameras and poses.

Pictures turn by whole quarter turns, counted counter-clockwise as `numpy.rot90` counts them, all pictures of a video by
the same number. Principal points are measured from the picture's top left corner, so the middle of a picture of width w
is at w / 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.schema import Array, Intrinsics

SKY_TURNS = {"up": 0, "right": 1, "down": 2, "left": 3}
"""Side of the stored picture that shows what is up in the world -> quarter turns that bring it to the top."""
LEVEL_SHARE = 0.17
"""Least share of the upward direction that lies in the picture, for a camera to have a say: looking within ten degrees
of straight up or down, any side of the picture may be the upper one."""

_UP_IN_PICTURE = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]], float)
"""Row k: where up is in a picture, camera x and y, that must be turned k times."""
_QUARTER = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], float)
"""What a point's camera coordinates become when the picture is turned once."""


@dataclass(frozen=True)
class UprightVote:
    """What the cameras of a capture say of its orientation."""

    turns: int
    """Quarter turns counter-clockwise, 0 to 3, that bring most pictures upright; 0 where no camera has a say."""
    agreement: float
    """Share of the votes for it, 0 to 1; a capture during which the device was turned has less than 1."""
    voters: int
    """Number of cameras that do not look straight up or down."""


def vote_upright(poses: Array) -> UprightVote:
    """The orientation of a capture, by the vote of its cameras.

    A camera votes for the side of its picture that is nearest to the world's upward direction, with the weight of that
    direction's share in the picture.

    Args:
        poses: (n, 4, 4) camera-to-world of the stored pictures; the world is z up.
    """
    up = np.asarray(poses, float).reshape(-1, 4, 4)[:, 2, :2]  # the world's z axis in camera x and y, (n, 2)
    weights = np.linalg.norm(up, axis=1)
    voters = weights >= LEVEL_SHARE
    if not voters.any():
        return UprightVote(turns=0, agreement=0.0, voters=0)
    choices = (up[voters] @ _UP_IN_PICTURE.T).argmax(axis=1)
    votes = np.bincount(choices, weights[voters], minlength=4)
    turns = int(votes.argmax())
    return UprightVote(turns, float(votes[turns] / votes.sum()), int(voters.sum()))


def sky_turns(direction: str | None) -> int | None:
    """Quarter turns for a recorded direction of the sky, such as `Left`; None where it is unknown."""
    return None if direction is None else SKY_TURNS.get(direction.strip().lower())


def turn_picture(picture: NDArray[Any], turns: int) -> NDArray[Any]:
    """A picture, depth map or mask `(H, W, ...)` turned counter-clockwise by quarter turns, contiguous."""
    return np.ascontiguousarray(np.rot90(picture, turns))


def turn_intrinsics(camera: Intrinsics, turns: int) -> Intrinsics:
    """The camera of the turned picture."""
    for _ in range(turns % 4):
        camera = Intrinsics(
            width=camera.height,
            height=camera.width,
            fx=camera.fy,
            fy=camera.fx,
            cx=camera.cy,
            cy=camera.width - camera.cx,
        )
    return camera


def turn_pose(pose: Array, turns: int) -> Array:
    """The camera-to-world matrix (4, 4) of the turned picture: the same place and optical axis."""
    turned = np.array(pose, float)
    turned[:3, :3] = turned[:3, :3] @ np.linalg.matrix_power(_QUARTER, turns % 4).T
    return turned
