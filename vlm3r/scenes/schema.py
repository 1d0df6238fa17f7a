"""The one scene record that every reader writes and every question task reads.

Conventions: metres, seconds, pixels. The world is z up with the floor in the xy plane. Camera axes are x right, y down,
z forward; poses are camera-to-world. Records are immutable; use `dataclasses.replace` to derive a changed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SCHEMA_VERSION = 1
ROTATION_TOLERANCE = 2e-3
"""How far a rotation's rows may be from orthonormal; published poses carry about six digits."""

CORNER_SIGNS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float) / 2


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """A box in any orientation.

    The rows of `axes` are the box's axes in world coordinates; their order and signs carry no meaning, so a left-handed
    triple is as good as a right-handed one.
    """

    centre: Array
    """(3,) metres."""
    size: Array
    """(3,) full edge lengths along the rows of `axes`, metres."""
    axes: Array
    """(3, 3), orthonormal rows."""

    @cached_property
    def corners(self) -> Array:
        """The eight corners in world coordinates, (8, 3)."""
        return (CORNER_SIGNS * self.size) @ self.axes + self.centre

    @property
    def longest_edge(self) -> float:
        """The largest edge length in metres."""
        return float(self.size.max())


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One object: what it is, which instance it is, and where."""

    category: str
    box: OrientedBox
    instance_id: int | None = None
    """Identity that 2-D boxes and instance masks refer to; None where the data set ships none."""


@dataclass(frozen=True)
class RoomOutline:
    """The inner outline of one room of the scene."""

    use: str
    """What the room is for, such as `kitchen`; empty where unknown."""
    polygon: tuple[tuple[float, float], ...]
    """Corners in order, metres; not closed."""


@dataclass(frozen=True)
class Room:
    """The space that a scene shows; several rooms count together."""

    area: float | None = None
    """Floor area in square metres; None where it is unknown or its computation failed."""
    centre: tuple[float, float, float] | None = None
    """Middle of the whole scene, metres."""
    height: float | None = None
    """Floor to ceiling in metres."""
    outlines: tuple[RoomOutline, ...] = ()


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera in pixels of the exported image."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float


@dataclass(frozen=True)
class Sighting:
    """One object in one frame."""

    instance_id: int
    box: tuple[int, int, int, int]
    """xmin, ymin, xmax, ymax, inclusive pixels."""
    pixels: int | None = None
    """Number of pixels that show the object."""
    visible_fraction: float | None = None
    """Share of the object's camera-facing surface that is inside the picture and not hidden, 0 to 1."""
    depth: float | None = None
    """Median depth of those pixels along the optical axis, metres."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a scene's video."""

    frame_id: int | str
    """Index in the video or sensor stream, or the data set's own name of the frame."""
    pose: Array | None = None
    """(4, 4) camera-to-world; None where tracking was lost or the matrix is no rigid motion."""
    timestamp: float | None = None
    """Seconds from the start of the video."""
    image: str | None = None
    depth: str | None = None
    mask: str | None = None
    """Files relative to the scene's root."""
    sightings: tuple[Sighting, ...] = ()
    video_index: int | None = None
    """Index in the scene's video; None where it is `frame_id`."""

    @property
    def position(self) -> int | None:
        """Index in the scene's video; None where it is unknown."""
        if self.video_index is not None:
            return self.video_index
        return self.frame_id if isinstance(self.frame_id, int) else None


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that is known of one scene."""

    scene_id: str
    dataset: str
    """Lower-case name: `scannet`, `scannetpp`, `arkitscenes` or `synthetic`."""
    room: Room
    objects: tuple[SceneObject, ...]
    counts: Mapping[str, int]
    """Instances per category; may exceed the boxes known."""
    frames: tuple[Frame, ...] = ()
    """In the order of the video."""
    intrinsics: Intrinsics | None = None
    sampled: tuple[int, ...] | None = None
    """Positions in `frames` of those that a model sees; None means all of them."""
    video: str | None = None
    split: str | None = None
    mask_offset: int = 0
    """Added to an instance id in the frames' masks, where 0 is no object; some data sets count instances from 0."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """How the record was made: generator, version, seed, settings."""
    source: Mapping[str, Any] = field(default_factory=dict)
    """The published records that it was read from, kept so that they can be written back unchanged."""
    problems: tuple[str, ...] = ()
    """What was wrong with the input and was left out, one line each."""

    @property
    def seen_frames(self) -> tuple[Frame, ...]:
        """The frames that a model sees, in order."""
        return self.frames if self.sampled is None else tuple(self.frames[i] for i in self.sampled)


def rotation_problem(matrix: Array) -> str | None:
    """Why a 3x3 matrix is no rotation, or None if it is one."""
    if not np.isfinite(matrix).all():
        return "is not finite"
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > ROTATION_TOLERANCE:
        return "is not orthonormal"
    return "is mirrored" if np.linalg.det(matrix) < 0 else None
