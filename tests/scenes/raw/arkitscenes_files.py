"""Writes a room as ARKitScenes would have it: file for file, with the tablet held in any of the four ways."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from tests.scenes.raw.room import TestRoom
from vlm3r.scenes.schema import Intrinsics

START = 3310.106
"""The device's clock at the first frame, seconds."""
STEP = 0.1
VIDEO_ID = "41048190"
VIDEO_FPS = 30


def write_scan(parent: Path, room: TestRoom, video_id: str = VIDEO_ID, held: int = 0, step: float = STEP) -> Path:
    """Write a scan below a folder and return its own folder.

    Args:
        parent: such as `<raw>/3dod/Training`.
        room: what is filmed, upright.
        video_id: the scan's name.
        held: counter-clockwise quarter turns that bring the stored pictures upright; 1: the sky is on their right.
        step: seconds between two frames.
    """
    folder = parent / video_id
    frames = folder / f"{video_id}_frames"
    for name in ("lowres_wide", "lowres_depth", "lowres_wide_intrinsics"):
        (frames / name).mkdir(parents=True)
    c = held_camera(room.intrinsics, held)
    lines = []
    for number, (picture, depth, pose) in enumerate(zip(room.pictures, room.depth, room.poses, strict=True)):
        time = START + step * number
        name = f"{video_id}_{time:.3f}"
        Image.fromarray(np.rot90(picture, -held)).save(frames / "lowres_wide" / f"{name}.png")
        millimetres = np.rint(np.rot90(depth, -held) * 1000).astype(np.uint16)
        Image.fromarray(millimetres).save(frames / "lowres_depth" / f"{name}.png")
        camera = f"{c.width} {c.height} {c.fx} {c.fy} {c.cx} {c.cy}"
        (frames / "lowres_wide_intrinsics" / f"{name}.pincam").write_text(camera)
        lines.append(trajectory_line(time + 0.0003, held_pose(pose, held)))
    (frames / "lowres_wide.traj").write_text("\n".join(lines) + "\n")
    (folder / f"{video_id}_3dod_annotation.json").write_text(json.dumps(annotation(room)))
    mesh = trimesh.Trimesh(room.points, room.triangles, process=False)
    (folder / f"{video_id}_3dod_mesh.ply").write_bytes(mesh.export(file_type="ply"))  # type: ignore[arg-type]
    return folder


def held_camera(upright: Intrinsics, held: int) -> Intrinsics:
    """The camera of the stored pictures, by the way of the corners of the picture."""
    w, h, fx, fy, cx, cy = (getattr(upright, name) for name in ("width", "height", "fx", "fy", "cx", "cy"))
    return {
        0: upright,
        1: Intrinsics(h, w, fy, fx, h - cy, cx),
        2: Intrinsics(w, h, fx, fy, w - cx, h - cy),
        3: Intrinsics(h, w, fy, fx, cy, w - cx),
    }[held]


def held_pose(upright: NDArray[np.float64], held: int) -> NDArray[np.float64]:
    """Camera-to-world of a device that is turned about its optical axis."""
    pose = upright.copy()
    pose[:3, :3] = upright[:3, :3] @ Rotation.from_euler("z", -90 * held, degrees=True).as_matrix()
    return pose


def trajectory_line(time: float, pose: NDArray[np.float64]) -> str:
    """The world-to-camera motion of a camera-to-world pose, as a line of a `.traj` file."""
    inverse = np.linalg.inv(pose)
    numbers = [*Rotation.from_matrix(inverse[:3, :3]).as_rotvec(), *inverse[:3, 3]]
    return " ".join([f"{time:.9f}", *(f"{number:.10f}" for number in numbers)])


def annotation(room: TestRoom) -> dict:
    """The objects as annotated; uids are invented but the same every time."""
    entries = []
    for thing in room.scene.objects:
        box = {
            "centroid": thing.box.centre.tolist(),
            "axesLengths": thing.box.size.tolist(),
            "normalizedAxes": thing.box.axes.ravel().tolist(),
        }
        uid = str(uuid.UUID(int=7000 + (thing.instance_id or 0)))
        entries.append({"uid": uid, "label": thing.category, "segments": {"obb": box, "obbAligned": box}})
    return {"skipped": False, "data": entries, "stats": {}, "comment": "", "confirm": True}


def write_recording(
    path: Path, pictures: Sequence[NDArray[np.uint8]], lead: float = 0.4, size: tuple[int, int] | None = None
) -> None:
    """A `.mov` that shows grey for `lead` seconds and then each picture for `STEP` seconds.

    Args:
        path: the file.
        pictures: as the recording is to store them.
        lead: seconds.
        size: width and height; default twice the pictures'.
    """
    height, width = pictures[0].shape[:2]
    size = size or (2 * width, 2 * height)
    repeated = [picture for picture in pictures for _ in range(round(STEP * VIDEO_FPS))]
    shown = [np.full_like(pictures[0], 90)] * round(lead * VIDEO_FPS) + repeated
    with av.open(str(path), "w", format="mov") as out:
        stream = out.add_stream("libx264", rate=Fraction(VIDEO_FPS))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"crf": "12", "preset": "ultrafast", "threads": "1"}
        for picture in shown:
            large = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(large, format="rgb24")))
        out.mux(stream.encode())


def write_table(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """`metadata.csv`, with the columns that the rows have."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
