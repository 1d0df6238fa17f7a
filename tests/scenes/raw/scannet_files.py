"""Writes a room as ScanNet would have it: file for file, byte for byte, in a world that is not the aligned one."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image

from tests.scenes.raw.room import TestRoom
from vlm3r.scenes.raw.capture import Cloud
from vlm3r.scenes.raw.mesh_view import MeshView
from vlm3r.scenes.schema import Array, Intrinsics

SCENE_ID = "scene0007_01"
LOST = 2
"""The frame whose tracking is lost."""
ALIGNMENT = np.array([[0.6, -0.8, 0, 1.25], [0.8, 0.6, 0, -3.5], [0, 0, 1, -0.07], [0, 0, 0, 1]])
"""From the recording's world to the aligned one."""
DEPTH_CAMERA = Intrinsics(80, 60, 62.0, 61.0, 41.5, 29.0)
"""Sees less than the room's camera does, and not the same way."""
COLUMNS = ("id", "raw_category", "category", "count", "nyu40id", "nyuClass", "nyu40class", "mpcat40")
COLOUR_KINDS = {"raw": 0, "png": 1, "jpeg": 2}
DEPTH_KINDS = {"raw": 0, "zlib": 1, "occi": 2}


@dataclass(frozen=True, eq=False)
class Recording:
    """What a `.sens` file is made of."""

    pictures: Sequence[NDArray[np.uint8]]
    depth: Sequence[NDArray[np.float32]]
    """Metres."""
    poses: Sequence[Array]
    """As stored: not aligned, minus infinity where lost."""
    colour_camera: Intrinsics
    depth_camera: Intrinsics
    colour_kind: str = "png"
    depth_kind: str = "zlib"
    shift: float = 1000.0
    changes: Mapping[str, int | float] = field(default_factory=dict)
    """Header fields to be given wrongly: `version`, `name_length`, `colour_kind`, `depth_kind`, `width`, `count` ..."""


def write_scan(
    raw: Path,
    room: TestRoom,
    scene_id: str = SCENE_ID,
    *,
    colour_kind: str = "png",
    alignment: Array = ALIGNMENT,
    depth_camera: Intrinsics = DEPTH_CAMERA,
) -> Path:
    """Write a scan and return its folder `<raw>/scans/<scene id>`.

    Args:
        raw: the download.
        room: in the aligned world. Its instance id i becomes object id i - 1.
        scene_id: the scan's name.
        colour_kind: compression of pictures.
        alignment: from the recording's world to the aligned one.
        depth_camera: takes the depth maps.
    """
    folder = raw / "scans" / scene_id
    folder.mkdir(parents=True)
    (folder / f"{scene_id}.sens").write_bytes(sens_bytes(recording(room, alignment, colour_kind, depth_camera)))
    (folder / f"{scene_id}.txt").write_text(info_text(room.intrinsics, alignment))
    write_annotation(folder, room, alignment)
    write_masks(folder / f"{scene_id}_2d-instance-filt.zip", "instance-filt", room.masks)
    things = sorted({thing.category for thing in room.scene.objects})
    rows = [(str(10 + n), name, f"{name} kind", f"{name} class") for n, name in enumerate(things)]
    write_labels(raw / "scannetv2-labels.combined.tsv", rows)
    return folder


def recording(
    room: TestRoom,
    alignment: Array = ALIGNMENT,
    colour_kind: str = "png",
    depth_camera: Intrinsics = DEPTH_CAMERA,
) -> Recording:
    """The room's frames as the sensor gives them; depth is what the mesh looks like through the depth camera."""
    view = MeshView(Cloud(room.points, room.point_instances, room.triangles))
    depth = [view.render(pose, depth_camera)[0] for pose in room.poses]
    poses = [np.linalg.inv(alignment) @ pose for pose in room.poses]
    poses[LOST] = np.full((4, 4), -np.inf)
    return Recording(room.pictures, depth, poses, room.intrinsics, depth_camera, colour_kind)


def matrix(camera: Intrinsics) -> Array:
    """The 4x4 matrix that both the `.sens` header and exports hold."""
    return np.array([[camera.fx, 0, camera.cx, 0], [0, camera.fy, camera.cy, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def sens_header(r: Recording) -> bytes:
    """Everything before the first frame."""
    name = b"StructureSensor"
    values = {
        "version": 4,
        "name_length": len(name),
        "colour_kind": COLOUR_KINDS[r.colour_kind],
        "depth_kind": DEPTH_KINDS[r.depth_kind],
        "width": r.colour_camera.width,
        "height": r.colour_camera.height,
        "depth_width": r.depth_camera.width,
        "depth_height": r.depth_camera.height,
        "shift": r.shift,
        "count": len(r.poses),
        **r.changes,
    }
    matrices = [matrix(r.colour_camera), np.eye(4), matrix(r.depth_camera), np.eye(4)]
    start = struct.pack("<IQ", values["version"], values["name_length"]) + name
    cameras = b"".join(struct.pack("<16f", *each.ravel()) for each in matrices)
    kinds = struct.pack("<ii", values["colour_kind"], values["depth_kind"])
    sizes = struct.pack("<IIII", *(values[key] for key in ("width", "height", "depth_width", "depth_height")))
    return start + cameras + kinds + sizes + struct.pack("<fQ", values["shift"], values["count"])


def sens_frame(pose: Array, colour: bytes, depth: bytes, number: int = 0) -> bytes:
    """One frame with its payloads."""
    stamps = struct.pack("<QQ", 33_000 * number, 33_000 * number + 7)
    return struct.pack("<16f", *pose.ravel()) + stamps + struct.pack("<QQ", len(colour), len(depth)) + colour + depth


def sens_bytes(r: Recording) -> bytes:
    """A whole file, with an empty list of inertial measurements at its end."""
    frames = [
        sens_frame(pose, encode_picture(picture, r.colour_kind), encode_depth(depth, r), number)
        for number, (pose, picture, depth) in enumerate(zip(r.poses, r.pictures, r.depth, strict=True))
    ]
    return sens_header(r) + b"".join(frames) + struct.pack("<Q", 0)


def encode_picture(picture: NDArray[np.uint8], kind: str) -> bytes:
    """A picture as its payload."""
    if kind == "raw":
        return picture.tobytes()
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind.upper(), **({"quality": 95} if kind == "jpeg" else {}))
    return buffer.getvalue()


def encode_depth(depth: NDArray[np.float32], r: Recording) -> bytes:
    """A depth map as its payload."""
    content = np.rint(depth * r.shift).astype("<u2").tobytes()
    return zlib.compress(content) if r.depth_kind == "zlib" else content


def info_text(camera: Intrinsics, alignment: Array | None = ALIGNMENT) -> str:
    """The scan's text file."""
    c, d = camera, DEPTH_CAMERA
    lines = [] if alignment is None else ["axisAlignment = " + " ".join(f"{v:.6f}" for v in alignment.ravel())]
    lines += [f"colorHeight = {c.height}", f"colorWidth = {c.width}", f"depthHeight = {d.height}"]
    lines += [f"depthWidth = {d.width}", f"fx_color = {c.fx}", f"fx_depth = {d.fx}", f"fy_color = {c.fy}"]
    lines += [f"fy_depth = {d.fy}", f"mx_color = {c.cx}", f"mx_depth = {d.cx}", f"my_color = {c.cy}"]
    return "\n".join([*lines, f"my_depth = {d.cy}", "numColorFrames = 6", "sceneType = Bedroom / Hotel", ""])


def write_annotation(folder: Path, room: TestRoom, alignment: Array = ALIGNMENT) -> None:
    """Mesh, segments and aggregation. Every object and the walls have two segments each."""
    scene_id = folder.name
    inverse = np.linalg.inv(alignment)
    mesh = trimesh.Trimesh(room.points @ inverse[:3, :3].T + inverse[:3, 3], room.triangles, process=False)
    (folder / f"{scene_id}_vh_clean_2.ply").write_bytes(mesh.export(file_type="ply"))  # type: ignore[arg-type]
    indices = 1000 + 2 * room.point_instances + np.arange(len(room.points)) % 2
    record = {"params": {"kThresh": "0.0001"}, "sceneId": scene_id, "segIndices": indices.tolist()}
    (folder / f"{scene_id}_vh_clean_2.0.010000.segs.json").write_text(json.dumps(record))
    groups = []
    for thing in room.scene.objects:
        assert thing.instance_id is not None
        number, first = thing.instance_id - 1, 1000 + 2 * thing.instance_id
        groups.append({"id": number, "objectId": number, "segments": [first, first + 1], "label": thing.category})
    record = {"sceneId": f"scannet.{scene_id}", "appId": "Aggregator.v2", "segGroups": groups}
    (folder / f"{scene_id}.aggregation.json").write_text(json.dumps(record))


def write_masks(path: Path, inner: str, masks: Sequence[NDArray[np.int64]]) -> None:
    """Masks with pixel value = object id + 1, which is the room's instance id."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, mask in enumerate(masks):
            archive.writestr(f"{inner}/{number}.png", encode_picture(mask.astype(np.uint8), "png"))


def write_labels(path: Path, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """The table of labels from rows of id, raw category, category and NYU-40 class."""
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join((n, raw, category, "9", "1", nyu40, nyu40, "")) for n, raw, category, nyu40 in rows]
    path.write_text("\n".join(lines) + "\n")


def write_export(folder: Path, r: Recording, size: tuple[int, int] | None = None, step: int = 1) -> None:
    """Take a recording apart as the official exporter does, whose intrinsics stay those of the recorded pictures.

    Args:
        folder: the scan's.
        r: the recording.
        size: width and height that pictures are made to have.
        step: every how manieth frame is written.
    """
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir()
    for number in range(0, len(r.poses), step):
        picture = Image.fromarray(r.pictures[number])
        (picture if size is None else picture.resize(size)).save(folder / "color" / f"{number}.jpg", quality=95)
        millimetres = np.rint(r.depth[number] * 1000).astype(np.uint16)
        Image.fromarray(millimetres).save(folder / "depth" / f"{number}.png")
        np.savetxt(folder / "pose" / f"{number}.txt", r.poses[number], fmt="%f")
    for name, value in (("color", matrix(r.colour_camera)), ("depth", matrix(r.depth_camera))):
        np.savetxt(folder / "intrinsic" / f"intrinsic_{name}.txt", value, fmt="%f")
        np.savetxt(folder / "intrinsic" / f"extrinsic_{name}.txt", np.eye(4), fmt="%f")
