"""The camera path, frame by frame, and its two file formats."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.reconstruct.camera import pose_to_matrix
from vlm3r.reconstruct.frames import Frame, Framing

CONVENTION = (
    "camera_to_world takes points from a frame's camera (x right, y down, z forward, OpenCV) to the world, which is "
    "the first camera's frame; metres"
)


class Trajectory:
    """Poses of the frames whose pose is finite, in order; a few hundred bytes a frame."""

    def __init__(self) -> None:
        self.frame_indices: list[int] = []
        self.timestamps: list[float] = []
        self.focals: list[float | None] = []
        self._poses: list[NDArray[np.float64]] = []

    def __len__(self) -> int:
        return len(self._poses)

    def add(self, frame: Frame, pose: NDArray[np.floating], focal: float | None) -> NDArray[np.float64] | None:
        """Keeps a pose (7,) and returns its matrix (4, 4); keeps nothing and returns `None` if it is not finite."""
        pose = np.asarray(pose, np.float64)
        matrix = pose_to_matrix(pose)
        if not np.isfinite(matrix).all():
            return None
        self._poses.append(np.concatenate([pose[:3], pose[3:] / np.linalg.norm(pose[3:])]))
        self.frame_indices.append(frame.index)
        self.timestamps.append(frame.timestamp)
        self.focals.append(focal)
        return matrix

    @property
    def matrices(self) -> NDArray[np.float64]:
        """(pose, 4, 4) camera-to-world."""
        return pose_to_matrix(np.array(self._poses).reshape(-1, 7))

    @property
    def focal(self) -> float | None:
        """Median focal length in pixels of the model's picture."""
        known = [focal for focal in self.focals if focal is not None]
        return float(np.median(known)) if known else None

    @property
    def length(self) -> float:
        """Metres travelled, as the sum of straight steps between frames."""
        return float(np.linalg.norm(np.diff(self.matrices[:, :3, 3], axis=0), axis=-1).sum())

    def tum(self) -> str:
        """TUM format: one line `timestamp tx ty tz qx qy qz qw` per frame, camera-to-world."""
        lines = []
        for timestamp, (x, y, z, qw, qx, qy, qz) in zip(self.timestamps, self._poses, strict=True):
            numbers = " ".join(f"{value:.9g}" for value in (x, y, z, qx, qy, qz, qw))
            lines.append(f"{timestamp:.6f} {numbers}\n")
        return "".join(lines)

    def json(self, framing: Framing) -> str:
        """Matrices, timestamps, frame numbers and focal lengths, and the sizes that relate pixels to the video's."""
        frames: list[dict[str, Any]] = []
        for i, matrix in enumerate(self.matrices):
            focal = self.focals[i]
            frames.append(
                {
                    "frame_index": self.frame_indices[i],
                    "timestamp": self.timestamps[i],
                    "camera_to_world": matrix.tolist(),
                    "focal_px": focal,
                    "focal_source_px": None if focal is None else focal / framing.scale,
                }
            )
        head = {
            "convention": CONVENTION,
            "focal": "focal_px belongs to the model's picture, focal_source_px to the video's frame; both are "
            "estimated from the pointmap with square pixels and the principal point at the centre",
            "image_size": [framing.width, framing.height],
            "source_size": list(framing.source_size),
        }
        body = ",\n  ".join(json.dumps(frame, allow_nan=False) for frame in frames)
        return json.dumps(head, indent=1)[:-2] + f',\n "frames": [\n  {body}\n ]\n}}\n'
