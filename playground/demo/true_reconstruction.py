"""What `vlm3r reconstruct` writes when its model is right.

    python playground/demo/true_reconstruction.py --out FOLDER

The home's own depth and poses stand in for CUT3R's pointmaps, so that a reader can tell what the files and the preview
look like with a model that has learned, and that the path from pointmaps to files adds no error. The home is made again
from the seed in the annotations, so it has to be the generator version that they name.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from vlm3r.errors import UserError
from vlm3r.processing.video import iterate_frames
from vlm3r.reconstruct import ReconstructOptions, reconstruct
from vlm3r.scenes.schema import Intrinsics, Scene
from vlm3r.scenes.storage import read_scene
from vlm3r.scenes.synthetic.home import make_home
from vlm3r.scenes.synthetic.render import PRESETS, open_renderer
from vlm3r.scenes.synthetic.shapes import Array
from vlm3r.scenes.synthetic.world import World

CAPTION = "not a network's output: the renderer's own depth and camera path"
VIDEO = Path(__file__).resolve().parent / "room_walk.mp4"


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

    def __init__(self, scene: Scene, width: int, every: int):
        k = scene.intrinsics
        assert k is not None
        share, height = width / k.width, width * k.height // k.width
        camera = Intrinsics(width, height, k.fx * share, k.fy * share, k.cx * share, k.cy * share)
        self._renderer = open_renderer(home_of(scene), camera, PRESETS["fast"], seed=0)
        self._poses = [frame.pose for frame in scene.frames[::every] if frame.pose is not None]
        columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        self._rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy], axis=-1)

    def stream(self, batch_size: int = 1, heads: bool = False, state_update: str = "cut3r") -> TrueStream:
        """A fresh walk along the path."""
        assert batch_size == 1 and heads
        return TrueStream(self._geometry())

    def _geometry(self) -> Iterator[Geometry]:
        to_first = np.linalg.inv(self._poses[0])
        for pose in self._poses:
            depth, _ = self._renderer.depth_and_instances(pose)
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


def home_of(scene: Scene) -> World:
    """The home of the annotations, made again.

    Raises:
        UserError: the generator makes another one now.
    """
    made = scene.provenance
    world = make_home((made["seed"], made["index"], made["attempt"])).world
    centres = [thing.box.centre.tolist() for thing in scene.objects]
    if centres != [np.asarray(thing.centre, float).tolist() for thing in world.objects]:
        raise UserError(f"{VIDEO}: the generator has changed since; run playground/demo/make_room_walk.py first")
    return world


def _batched(array: Array) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))[None, None]


def main() -> None:
    """Write the reconstruction into `--out`."""
    parser = argparse.ArgumentParser(description="Reconstruct the demo room from its true depth.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=8, help="use every N-th frame")
    options = parser.parse_args()
    width = 512
    model = TrueModel(read_scene(VIDEO.with_suffix(".json")), width, options.every)
    frames = ((frame.index, frame.timestamp, frame.image) for frame in iterate_frames(VIDEO, options.every))
    settings = ReconstructOptions(image_size=width, caption=CAPTION, confidence_percentile=0, overwrite=True)
    print(reconstruct(model, frames, options.out, settings))


if __name__ == "__main__":
    main()
