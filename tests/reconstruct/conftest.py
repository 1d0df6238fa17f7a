"""A box room with furniture, ray-cast analytically, and a model that knows it: what perfect CUT3R heads would yield."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

ROOM = np.array([[0.0, 0.0, 0.0], [5.0, 4.0, 2.6]])
"""Room corners in metres; z is up. Rays start inside."""

FURNITURE = np.array(
    [
        [[1.6, 1.2, 0.0], [2.8, 2.0, 0.75]],
        [[4.2, 0.3, 0.0], [4.9, 1.6, 1.9]],
        [[3.2, 3.2, 0.0], [4.6, 3.95, 0.45]],
    ]
)
COLOURS = np.array([[70, 110, 190], [200, 120, 60], [90, 160, 90]])


def cast(origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (in units of `directions`) and RGB of the first surface hit by rays (n, 3), in the room's own axes."""
    with np.errstate(divide="ignore"):
        inverse = 1 / np.where(np.abs(directions) < 1e-12, 1e-12, directions)
    far = np.maximum((ROOM[0] - origins) * inverse, (ROOM[1] - origins) * inverse)
    axis = far.argmin(-1)
    distance = far.min(-1)
    colour = wall_colours(origins + distance[:, None] * directions, axis)
    for (low, high), paint in zip(FURNITURE, COLOURS, strict=True):
        a, b = (low - origins) * inverse, (high - origins) * inverse
        enter, leave = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
        hit = (enter < leave) & (enter > 0) & (enter < distance)
        distance = np.where(hit, enter, distance)
        tint = 0.75 + 0.25 * (np.minimum(a, b).argmax(-1) == 2)
        colour = np.where(hit[:, None], paint * tint[:, None], colour)
    return distance, np.clip(colour, 0, 255).astype(np.uint8)


def wall_colours(points: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Checkered floor, white ceiling, two kinds of walls with a stripe at waist height."""
    checker = (np.floor(points[:, 0] * 2) + np.floor(points[:, 1] * 2)) % 2
    floor = np.where(checker[:, None] > 0, [150, 110, 80], [185, 150, 115])
    base = np.where(axis[:, None] == 0, [225, 215, 190], [190, 210, 215])
    walls = np.where((np.abs(points[:, 2:] - 1.1) < 0.06), [160, 60, 60], base)
    level = np.where(points[:, 2:] < 1.3, floor, [245, 245, 245])
    return np.where(axis[:, None] == 2, level, walls)


def camera_path(count: int, pitch_deg: float = 12.0) -> np.ndarray:
    """Camera-to-room matrices (count, 4, 4), OpenCV axes, on an arc through the room, looking slightly down."""
    matrices = np.tile(np.eye(4), (count, 1, 1))
    for i, s in enumerate(np.linspace(0, 1, count)):
        yaw = np.radians(20 + 95 * s)
        ahead = np.array([np.cos(yaw), np.sin(yaw), 0]) * np.cos(np.radians(pitch_deg))
        ahead[2] = -np.sin(np.radians(pitch_deg))
        right = np.cross(ahead, [0, 0, 1])
        right /= np.linalg.norm(right)
        matrices[i, :3, :3] = np.stack([right, np.cross(ahead, right), ahead], 1)
        matrices[i, :3, 3] = [0.6 + 0.7 * s, 0.5 + 0.5 * np.sin(3 * s), 1.5 + 0.1 * np.sin(6 * s)]
    return matrices


@dataclass
class BoxRoom:
    """A walk of `count` frames through the room; the first camera's frame is the world."""

    count: int = 12
    width: int = 128
    height: int = 96
    focal: float = 90.0
    pitch_deg: float = 12.0
    to_room: np.ndarray = field(init=False)
    images: np.ndarray = field(init=False)
    points: np.ndarray = field(init=False)

    def __post_init__(self):
        self.to_room = camera_path(self.count, self.pitch_deg)
        u, v = np.meshgrid(np.arange(self.width) + 0.5 - self.width / 2, np.arange(self.height) + 0.5 - self.height / 2)
        rays = np.stack([u / self.focal, v / self.focal, np.ones_like(u)], -1).reshape(-1, 3)
        images, points = [], []
        for matrix in self.to_room:
            depth, colour = cast(np.tile(matrix[:3, 3], (len(rays), 1)), rays @ matrix[:3, :3].T)
            points.append((rays * depth[:, None]).reshape(self.height, self.width, 3))
            images.append(colour.reshape(self.height, self.width, 3))
        self.images, self.points = np.array(images), np.array(points)

    @property
    def to_world(self) -> np.ndarray:
        """(frame, 4, 4) camera to first camera."""
        return np.linalg.inv(self.to_room[0]) @ self.to_room

    @property
    def poses(self) -> np.ndarray:
        """(frame, 7) translation and quaternion (w, x, y, z)."""
        quaternion = Rotation.from_matrix(self.to_world[:, :3, :3]).as_quat()[:, [3, 0, 1, 2]]
        return np.concatenate([self.to_world[:, :3, 3], quaternion], 1)

    def world_points(self) -> np.ndarray:
        """(frame, H, W, 3) in the first camera's frame."""
        rotation, centre = self.to_world[:, :3, :3], self.to_world[:, :3, 3]
        return np.einsum("fij,fhwj->fhwi", rotation, self.points) + centre[:, None, None]

    def frames(self, fps: float = 10.0):
        """What a video reader yields; every third frame of the source."""
        for i, image in enumerate(self.images):
            yield 3 * i, 3 * i / fps, image

    def model(self) -> FakeModel:
        """A model whose heads are right."""
        ones = np.ones(self.points.shape[:3])
        return FakeModel(self.points.copy(), self.world_points(), ones * 3, ones * 2, self.poses)


@dataclass
class FakeModel:
    """Hands out given maps, frame after frame, and remembers what it was asked."""

    own: np.ndarray
    world: np.ndarray
    conf_self: np.ndarray
    conf: np.ndarray
    poses: np.ndarray
    pushed: list[torch.Tensor] = field(default_factory=list)

    def stream(self, batch_size: int = 1, heads: bool = False, state_update: str = "cut3r"):
        assert batch_size == 1
        assert heads
        self.pushed = []
        return self

    def push(self, frames: torch.Tensor):
        start = sum(chunk.shape[1] for chunk in self.pushed)
        self.pushed.append(frames)
        part = slice(start, start + frames.shape[1])

        def tensor(array):
            return torch.from_numpy(np.ascontiguousarray(array[part])).float()[None]

        return SimpleNamespace(
            pts3d_in_self_view=tensor(self.own),
            pts3d_in_other_view=tensor(self.world),
            conf_self=tensor(self.conf_self),
            conf=tensor(self.conf),
            camera_pose=tensor(self.poses),
            rgb=frames.permute(0, 1, 3, 4, 2),
        )


def surface_distance(points: np.ndarray) -> np.ndarray:
    """Distances (n,) of points (n, 3), in the room's own axes, from the nearest wall or furniture surface."""
    nearest = np.abs(points[:, None] - ROOM).reshape(len(points), -1).min(-1)
    for low, high in FURNITURE:
        beyond = np.maximum(low - points, points - high)
        outside, inside = np.linalg.norm(np.maximum(beyond, 0), axis=-1), np.abs(beyond.max(-1))
        nearest = np.minimum(nearest, np.where(beyond.max(-1) > 0, outside, inside))
    return nearest


@pytest.fixture
def make_room():
    return BoxRoom


@pytest.fixture(scope="session")
def room():
    return BoxRoom()


@pytest.fixture(scope="session")
def distance_to_surface():
    return surface_distance
