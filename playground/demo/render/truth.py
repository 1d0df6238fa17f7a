"""What `vlm3r reconstruct` writes when its model is right: `python -m render.truth --out FOLDER`.

The room's own depth and poses stand in for CUT3R's pointmaps, so that a reader can tell what the files and the preview
look like with a model that has learned, and that the path from pointmaps to files adds no error. Needs what `render`
needs, embreex excepted, and an installed `vlm3r`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from vlm3r.processing.video import iterate_frames
from vlm3r.reconstruct import ReconstructOptions, reconstruct

from .geometry import Array
from .mesh import room_mesh
from .renderer import Intrinsics, Renderer
from .room import demo_room
from .textures import texture_stack

CAPTION = "not a network's output: the renderer's own depth and camera path"
VIDEO = Path(__file__).resolve().parents[1] / "room_walk.mp4"


@dataclass(frozen=True)
class Geometry:
    """The fields of a CUT3R output that a reconstruction reads; shapes as there, one video, one frame."""

    pts3d_in_self_view: torch.Tensor
    pts3d_in_other_view: torch.Tensor
    conf_self: torch.Tensor
    conf: torch.Tensor
    camera_pose: torch.Tensor


class TrueModel:
    """Stands in for CUT3R: its stream knows each frame's depth and pose."""

    def __init__(self, facts: dict[str, Any], width: int, height: int, every: int):
        k, share = facts["intrinsics"], width / facts["intrinsics"]["width"]
        camera = Intrinsics(width, height, k["fx"] * share, k["fy"] * share, k["cx"] * share, k["cy"] * share)
        room = demo_room(0)
        mesh = room_mesh(room)
        self._renderer = Renderer(mesh, room, np.zeros_like(mesh.position), texture_stack(0), camera, supersample=1)
        self._poses = [np.reshape(pose, (4, 4)) for pose in facts["camera_to_world"][::every]]
        columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        self._rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy], axis=-1)

    def stream(self, batch_size: int = 1, heads: bool = False, state_update: str = "cut3r") -> TrueStream:
        """A fresh walk along the path."""
        assert batch_size == 1 and heads
        return TrueStream(self._geometry())

    def _geometry(self) -> Iterator[Geometry]:
        to_first = np.linalg.inv(self._poses[0])
        for pose in self._poses:
            depth, _ = self._renderer.depth_and_identity(pose)
            points = np.concatenate([self._rays * depth[..., None], depth[..., None]], axis=-1)  # (H, W, 3)
            relative = to_first @ pose
            world = points @ relative[:3, :3].T + relative[:3, 3]
            x, y, z, w = Rotation.from_matrix(relative[:3, :3]).as_quat()
            numbers = np.concatenate([relative[:3, 3], [w, x, y, z]])
            yield Geometry(*(_batched(a) for a in (points, world, np.ones_like(depth), np.ones_like(depth), numbers)))


class TrueStream:
    """Hands out the frames' geometry in order."""

    def __init__(self, frames: Iterator[Geometry]):
        self._frames = frames

    def push(self, frames: torch.Tensor) -> Geometry:
        """Geometry of the next `frames.shape[1]` frames."""
        parts = [next(self._frames) for _ in range(frames.shape[1])]
        return Geometry(*(torch.cat([getattr(p, name) for p in parts], dim=1) for name in Geometry.__annotations__))


def _batched(array: Array) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))[None, None]


def main() -> None:
    """Write the reconstruction into `--out`."""
    parser = argparse.ArgumentParser(prog="render.truth", description="Reconstruct the demo room from its true depth.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=8, help="use every N-th frame")
    options = parser.parse_args()
    facts = json.loads(VIDEO.with_suffix(".json").read_text())
    width = 512
    model = TrueModel(
        facts, width, width * facts["intrinsics"]["height"] // facts["intrinsics"]["width"], options.every
    )
    frames = ((frame.index, frame.timestamp, frame.image) for frame in iterate_frames(VIDEO, options.every))
    settings = ReconstructOptions(image_size=width, caption=CAPTION, confidence_percentile=0, overwrite=True)
    print(reconstruct(model, frames, options.out, settings))


if __name__ == "__main__":
    main()
