"""The H.264 video, its sidecar with exact cameras and object boxes, and checks that they agree."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .geometry import Array
from .renderer import Intrinsics, Renderer
from .room import Room


def write_video(path: Path, frames: Iterable[Array], camera: Intrinsics, fps: int, crf: int = 20) -> int:
    """Number of frames written to an H.264 file (yuv420p, header first so that it streams)."""
    count = 0
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        options = {"crf": str(crf), "preset": "slow", "threads": "1"}
        stream = container.add_stream("libx264", rate=Fraction(fps), options=options)
        stream.width, stream.height, stream.pix_fmt = camera.width, camera.height, "yuv420p"
        for count, image in enumerate(frames, start=1):  # noqa: B007
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return count


def write_sidecar(path: Path, video: str, room: Room, camera: Intrinsics, poses: Array, fps: int) -> None:
    """Write cameras, poses (one per line, 4x4 row by row), object boxes and the room polygon as JSON."""
    objects = [
        {
            "id": number,
            "category": thing.category,
            "centre": _rounded(thing.centre),
            "size": _rounded(thing.size),
            "yaw_degrees": float(thing.yaw),
        }
        for number, thing in enumerate(room.objects, start=1)
    ]
    head = {
        "video": video,
        "fps": fps,
        "frames": len(poses),
        "conventions": "metres, z up; camera axes x right, y down, z forward; box sizes along the box's own axes",
        "intrinsics": asdict(camera),
        "room_polygon": [list(map(float, corner)) for corner in room.polygon],
        "room_height": float(max(patch.points[..., 2].max() for patch in room.shell)),
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    lines.append('  "objects": [\n' + ",\n".join(f"    {json.dumps(entry)}" for entry in objects) + "\n  ]")
    rows = ",\n".join(f"    {json.dumps(_rounded(pose.ravel()))}" for pose in poses)
    lines.append('  "camera_to_world": [\n' + rows + "\n  ]")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _rounded(values: Array) -> list[float]:
    """Numbers to a tenth of a millimetre, without negative zeros."""
    return [round(float(v), 4) + 0.0 for v in values]


def check_video(video: Path, sidecar: Path) -> list[str]:
    """What is wrong with a written video and its sidecar; an empty list when all is well."""
    facts = json.loads(sidecar.read_text(encoding="utf-8"))
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        context = stream.codec_context
        found = {
            "codec": (context.name, "h264"),
            "pixel format": (context.pix_fmt, "yuv420p"),
            "size": ((context.width, context.height), (facts["intrinsics"]["width"], facts["intrinsics"]["height"])),
            "frames": (frames, facts["frames"]),
            "poses": (len(facts["camera_to_world"]), facts["frames"]),
            "frame rate": (float(stream.average_rate or 0), float(facts["fps"])),
        }
    return [f"{name}: {got}, expected {wanted}" for name, (got, wanted) in found.items() if got != wanted]


def project(facts: dict, frame: int, points: Array) -> tuple[Array, Array]:
    """Pixel coordinates (n, 2) and depths (n,) of world points in a frame, from the sidecar's numbers alone."""
    pose = np.array(facts["camera_to_world"][frame]).reshape(4, 4)
    seen = (np.asarray(points) - pose[:3, 3]) @ pose[:3, :3]
    k = facts["intrinsics"]
    depth = seen[:, 2]
    pixels = np.stack([k["fx"] * seen[:, 0] / depth + k["cx"], k["fy"] * seen[:, 1] / depth + k["cy"]], axis=1)
    return pixels, depth


def check_poses(sidecar: Path, renderer: Renderer, every: int = 12) -> dict[str, tuple[int, int, float]]:
    """How well sidecar boxes and the rendered identity and depth images agree, per object.

    Each entry is (frames in which at least 40 pixels show the object, most pixels in one frame, share of its visible
    pixels that unproject, through the sidecar's pose and the depth image, into the sidecar's box grown by 2 cm).
    """
    facts = json.loads(sidecar.read_text(encoding="utf-8"))
    k = facts["intrinsics"]
    v, u = np.mgrid[: k["height"], : k["width"]] + 0.5
    rays = np.stack([(u - k["cx"]) / k["fx"], (v - k["cy"]) / k["fy"], np.ones_like(u)], axis=-1)
    tally = {thing["id"]: [0, 0, 0, 0] for thing in facts["objects"]}
    for numbers in facts["camera_to_world"][::every]:
        pose = np.array(numbers).reshape(4, 4)
        depth, identity = renderer.depth_and_identity(pose)
        world = (rays * depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]
        for thing in facts["objects"]:
            visible = world[identity == thing["id"]]
            entry = tally[thing["id"]]
            entry[0] += len(visible) >= 40
            entry[1] = max(entry[1], len(visible))
            entry[2] += int(_inside(visible, thing).sum())
            entry[3] += len(visible)
    names = {thing["id"]: f"{thing['id']} {thing['category']}" for thing in facts["objects"]}
    return {names[i]: (n, most, hits / max(total, 1)) for i, (n, most, hits, total) in tally.items()}


def _inside(points: Array, thing: dict, margin: float = 0.02) -> Array:
    """Which world points (n, 3) lie in an object's oriented box grown by `margin` metres."""
    yaw = np.radians(thing["yaw_degrees"])
    c, s = np.cos(yaw), np.sin(yaw)
    local = (points - np.array(thing["centre"])) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return np.all(np.abs(local) <= np.array(thing["size"]) / 2 + margin, axis=1)
