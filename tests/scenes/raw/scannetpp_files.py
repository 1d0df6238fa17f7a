"""Writes a room as ScanNet++ would have it: laser mesh with annotation, DSLR pictures, iPhone video."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tests.scenes.raw.room import TestRoom
from vlm3r.scenes.schema import Intrinsics

SCENE_ID = "0a5c013435"
PHONE_SIZE = (1920, 1440)
VIDEO_FPS = 60
FOLDED = (0.04, 0.01, -0.003, 0.002)
"""k1 to k4 of the fisheye."""
OBJECT_IDS = 7
"""Object i of the room, from 1, has the id 3 i + 7: ids are neither gapless nor those of `id`."""

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
PERMUTED = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]], float)


def object_id(instance: int) -> int:
    """The annotation's id of the room's instance."""
    return 3 * instance + OBJECT_IDS


def write_scans(scene: Path, room: TestRoom) -> Path:
    """`scans/`: the mesh, a segment for each vertex, and the annotated objects."""
    folder = scene / "scans"
    folder.mkdir(parents=True)
    mesh = trimesh.Trimesh(room.points, room.triangles, process=False)
    (folder / "mesh_aligned_0.05.ply").write_bytes(mesh.export(file_type="ply"))  # type: ignore[arg-type]
    segments = {"params": {}, "sceneId": SCENE_ID, "segIndices": list(range(len(room.points)))}
    (folder / "segments.json").write_text(json.dumps(segments))
    groups = [
        {
            "id": place,
            "objectId": object_id(thing.instance_id or 0),
            "label": thing.category,
            "partId": place,
            "obb": {
                "centroid": thing.box.centre.tolist(),
                "axesLengths": thing.box.size.tolist(),
                "normalizedAxes": thing.box.axes.ravel().tolist(),
                "min": [0, 0, 0],
                "max": [0, 0, 0],
            },
            "segments": np.flatnonzero(room.point_instances == thing.instance_id).tolist(),
        }
        for place, thing in enumerate(room.scene.objects)
    ]
    (folder / "segments_anno.json").write_text(json.dumps({"sceneId": SCENE_ID, "segGroups": groups}))
    return folder


def dslr_name(number: int) -> str:
    """File name of a picture."""
    return f"DSC{1700 + 7 * number:05d}.JPG"


def write_dslr(scene: Path, room: TestRoom, test: Sequence[int] = ()) -> Path:
    """`dslr/`: undistorted pictures, their camera, the fisheye COLMAP model, and the lists; no rendered maps.

    Pictures are stored without loss, so that they can be compared; readers look at the content, not at the suffix.
    """
    folder = scene / "dslr"
    (folder / "resized_undistorted_images").mkdir(parents=True)
    (folder / "nerfstudio").mkdir()
    names = [dslr_name(number) for number in range(len(room.pictures))]
    for name, picture in zip(names, room.pictures, strict=True):
        Image.fromarray(picture).save(folder / "resized_undistorted_images" / name, format="PNG")
    c = room.intrinsics
    write_text_model(folder / "colmap", dict(zip(names, room.poses, strict=True)), "OPENCV_FISHEYE", c, FOLDED)
    frames = [
        {"file_path": n, "transform_matrix": nerfstudio(p).tolist()} for n, p in zip(names, room.poses, strict=True)
    ]
    transforms: dict[str, Any] = {"fl_x": c.fx, "fl_y": c.fy, "cx": c.cx, "cy": c.cy, "w": c.width, "h": c.height}
    transforms |= {"k1": 0.0, "k2": 0.0, "k3": 0.0, "k4": 0.0, "camera_model": "PINHOLE"}
    transforms |= {"frames": [f for i, f in enumerate(frames) if i not in test]}
    (folder / "nerfstudio" / "transforms_undistorted.json").write_text(json.dumps(transforms))
    lists: dict[str, Any] = {"train": [n for i, n in enumerate(names) if i not in test][::-1]}
    lists |= {"test": [names[i] for i in test], "has_masks": False}
    (folder / "train_test_lists.json").write_text(json.dumps(lists))
    return folder


def nerfstudio(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """A pose in OpenGL's camera axes and nerfstudio's world."""
    return PERMUTED @ pose @ FLIP


def write_rendered(scene: Path, room: TestRoom, cameras: Sequence[Intrinsics] | None = None) -> None:
    """The maps and camera records of the published preparation, which show what the undistorted pictures do."""
    folder = scene / "dslr"
    for name in ("render_depth", "render_instance", "camera"):
        (folder / name).mkdir()
    for number, pose in enumerate(room.poses):
        stem = Path(dslr_name(number)).stem
        write_maps(folder, stem, room.depth[number], room.masks[number])
        c = room.intrinsics if cameras is None else cameras[number]
        matrix = np.array([[c.fx, 0, c.cx], [0, c.fy, c.cy], [0, 0, 1]])
        size = np.array([c.width, c.height])
        np.savez(folder / "camera" / f"{stem}.npz", intrinsic=matrix, extrinsic=pose, image_size=size)


def write_maps(folder: Path, stem: str, depth: NDArray[np.float32], mask: NDArray[np.int64]) -> None:
    """A depth map in millimetres and a mask with the annotation's ids."""
    for name in ("render_depth", "render_instance"):
        (folder / name).mkdir(exist_ok=True)
    Image.fromarray(np.rint(depth * 1000).astype(np.uint16)).save(folder / "render_depth" / f"{stem}.png")
    ids = np.where(mask > 0, object_id(1) + 3 * (mask - 1), 0).astype(np.uint16)
    Image.fromarray(ids).save(folder / "render_instance" / f"{stem}.png")


def write_iphone(scene: Path, room: TestRoom, depth: Literal["whole", "zlib", "lz4"] = "whole", lost: int = -1) -> Path:
    """`iphone/`: two frames of video for each of the room's, with noise in every second one.

    Args:
        scene: the scene's folder.
        room: what is filmed.
        depth: layout of `depth.bin`.
        lost: number of a video frame without aligned pose.
    """
    folder = scene / "iphone"
    folder.mkdir(parents=True)
    record = {}
    for number in range(2 * len(room.poses)):
        c = phone_camera(room.intrinsics, number)
        entry: dict[str, Any] = {
            "timestamp": number / VIDEO_FPS,
            "pose": nerfstudio(room.poses[number // 2]).tolist(),  # another world and other axes, but a pose
            "intrinsic": [[c.fx, 0.0, c.cx], [0.0, c.fy, c.cy], [0.0, 0.0, 1.0]],
            "imu": {"acceleration": [0.0, 0.0, 0.0]},
        }
        if number != lost:
            entry["aligned_pose"] = room.poses[number // 2].tolist()
        record[f"frame_{number:06d}"] = entry
    (folder / "pose_intrinsic_imu.json").write_text(json.dumps(record))
    shown = [picture if half == 0 else 255 - picture for picture in room.pictures for half in (0, 1)]
    write_video(folder / "rgb.mkv", shown)
    maps = [phone_depth(d) if half == 0 else phone_depth(d) * 0 + 9 for d in room.depth for half in (0, 1)]
    (folder / "depth.bin").write_bytes(whole_stream(maps) if depth == "whole" else block_stream(maps, depth))
    return folder


def phone_camera(upright: Intrinsics, number: int) -> Intrinsics:
    """The camera of a video frame at the phone's size: its focus moves from frame to frame."""
    across, down = PHONE_SIZE[0] / upright.width, PHONE_SIZE[1] / upright.height
    breath = 1 + 0.001 * number
    return Intrinsics(
        *PHONE_SIZE, upright.fx * across * breath, upright.fy * down * breath, upright.cx * across, upright.cy * down
    )


def phone_depth(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """The room's depth map at the phone's size, each pixel repeated."""
    return np.kron(depth, np.ones((192 // depth.shape[0], 256 // depth.shape[1]), np.float32))


def deflated(content: bytes) -> bytes:
    """zlib without header."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def whole_stream(maps: Sequence[NDArray[np.float32]]) -> bytes:
    """The older layout of `depth.bin`."""
    return deflated(b"".join(m.astype("<f4").tobytes() for m in maps))


def block_stream(maps: Sequence[NDArray[np.float32]], kind: Literal["zlib", "lz4"]) -> bytes:
    """The newer layout of `depth.bin`."""
    blocks = [
        deflated(m.astype("<f4").tobytes())
        if kind == "zlib"
        else lz4_literals(np.rint(m * 1000).astype("<u2").tobytes())
        for m in maps
    ]
    return b"".join(struct.pack("<I", len(block)) + block for block in blocks)


def lz4_literals(content: bytes) -> bytes:
    """An lz4 block that stores its content as one run of literals."""
    extra, length = len(content) - 15, bytearray()
    while extra >= 255:
        length.append(255)
        extra -= 255
    return bytes([0xF0]) + bytes(length) + bytes([extra]) + content


def write_video(path: Path, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """A video at `VIDEO_FPS`, H.264 without loss of colour."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("libx264rgb", rate=Fraction(VIDEO_FPS))
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        stream.options = {"qp": "0", "preset": "ultrafast", "threads": "1"}
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


def world_to_camera(pose: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Quaternion, w first, and translation as COLMAP writes them."""
    inverse = np.linalg.inv(pose)
    x, y, z, w = Rotation.from_matrix(inverse[:3, :3]).as_quat().tolist()
    return [w, x, y, z], inverse[:3, 3].tolist()


def write_text_model(
    folder: Path, poses: dict[str, NDArray[np.float64]], model: str, c: Intrinsics, distortion: Sequence[float]
) -> None:
    """`cameras.txt` and `images.txt`; every second image has an empty list of points."""
    folder.mkdir(parents=True)
    numbers = " ".join(repr(float(v)) for v in (c.fx, c.fy, c.cx, c.cy, *distortion))
    (folder / "cameras.txt").write_text(
        "# Camera list with one line of data per camera:\n#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n"
        f"# Number of cameras: 1\n1 {model} {c.width} {c.height} {numbers}\n"
    )
    lines = [
        "# Image list with two lines of data per image:",
        "#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME",
    ]
    lines += ["#   POINTS2D[] as (X, Y, POINT3D_ID)", f"# Number of images: {len(poses)}"]
    for number, (name, pose) in enumerate(poses.items()):
        quaternion, translation = world_to_camera(pose)
        lines.append(" ".join([str(number + 1), *(repr(v) for v in (*quaternion, *translation)), "1", name]))
        lines.append("" if number % 2 else "2362.39 248.498 58396 1784.7 268.254 59027 1784.7 268.254 -1 12.5 8.25 -1")
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    (folder / "points3D.txt").write_text("# 3D point list with one line of data per point:\n")


def write_binary_model(
    folder: Path, poses: dict[str, NDArray[np.float64]], model_id: int, c: Intrinsics, parameters: Sequence[float]
) -> None:
    """`cameras.bin` and `images.bin`; image i has i points."""
    folder.mkdir(parents=True)
    camera = struct.pack("<QIiQQ", 1, 1, model_id, c.width, c.height)
    (folder / "cameras.bin").write_bytes(camera + struct.pack(f"<{len(parameters)}d", *parameters))
    content = struct.pack("<Q", len(poses))
    for number, (name, pose) in enumerate(poses.items()):
        quaternion, translation = world_to_camera(pose)
        content += struct.pack("<I7dI", number + 1, *quaternion, *translation, 1) + name.encode() + b"\0"
        content += struct.pack("<Q", number) + struct.pack("<ddq", 1.5, 2.5, -1) * number
    (folder / "images.bin").write_bytes(content)


def seen_by_fisheye(values: NDArray[Any], c: Intrinsics, distortion: Sequence[float], order: int) -> NDArray[Any]:
    """A pinhole picture or map as a fisheye with the same pinhole part would have stored it.

    For each pixel of the fisheye the angle from its axis is found by Newton's method.
    """
    k = np.array([1, *distortion])
    u, v = np.meshgrid(np.arange(c.width) + 0.5, np.arange(c.height) + 0.5)
    x, y = (u - c.cx) / c.fx, (v - c.cy) / c.fy
    bent = np.hypot(x, y)
    angle = bent.copy()
    for _ in range(30):
        powers = [angle ** (2 * i + 1) for i in range(5)]
        slopes = [(2 * i + 1) * angle ** (2 * i) for i in range(5)]
        angle -= (np.tensordot(k, powers, 1) - bent) / np.tensordot(k, slopes, 1)
    scale = np.where(bent > 0, np.tan(angle) / np.maximum(bent, 1e-12), 1)
    places = np.stack([y * scale * c.fy + c.cy - 0.5, x * scale * c.fx + c.cx - 0.5])
    if values.ndim == 3:
        return np.stack([ndimage.map_coordinates(values[..., i], places, order=order) for i in range(3)], axis=-1)
    return ndimage.map_coordinates(values, places, order=order)
