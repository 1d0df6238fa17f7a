"""Point clouds, depth maps and confidence maps as bytes of common file formats."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3r.reconstruct.frusta import frustum_lines, path_colours
from vlm3r.reconstruct.voxels import PointCloud

DEPTH_UNIT = 0.001
"""Metres per step of a 16-bit depth map; 0 means no depth."""

CONFIDENCE_UNIT = 0.01
"""Confidence per step of a 16-bit confidence map; 0 means none."""

OPENCV_TO_GLTF = np.diag([1.0, -1.0, -1.0])
"""OpenCV axes (x right, y down, z forward) to glTF axes (x right, y up, z backward): half a turn about x."""


def encode_ply(cloud: PointCloud) -> bytes:
    """A binary little-endian PLY: x, y, z (float), red, green, blue (uchar), confidence (float), in OpenCV axes.

    Written here because trimesh's writer knows no per-point attributes for clouds.
    """
    fields = [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")] + [("confidence", "<f4")]
    vertices = np.zeros(len(cloud), np.dtype(fields))
    for i, axis in enumerate("xyz"):
        vertices[axis] = cloud.positions[:, i]
    for i, colour in enumerate(("red", "green", "blue")):
        vertices[colour] = cloud.colours[:, i]
    vertices["confidence"] = cloud.confidence
    header = ["ply", "format binary_little_endian 1.0"]
    header.append("comment metres, first camera's frame, OpenCV axes (x right, y down, z forward)")
    header.append(f"element vertex {len(cloud)}")
    header += [f"property {'uchar' if kind == 'u1' else 'float'} {name}" for name, kind in fields]
    return ("\n".join([*header, "end_header"]) + "\n").encode("ascii") + vertices.tobytes()


def encode_glb(cloud: PointCloud, matrices: NDArray[np.float64], focal: float | None, size: tuple[int, int]) -> bytes:
    """A binary glTF scene in glTF axes: `cloud` (points), `camera_path` (lines, early to late) and `cameras` (frusta).

    Args:
        cloud: at least one point.
        matrices: (pose, 4, 4) camera-to-world.
        focal: focal length in pixels, if known.
        size: (width, height) of the pictures in pixels.
    """
    import trimesh

    scene = trimesh.Scene()
    opaque = np.full((len(cloud), 1), 255, np.uint8)
    points = trimesh.PointCloud(cloud.positions @ OPENCV_TO_GLTF.T, np.concatenate([cloud.colours, opaque], 1))
    scene.add_geometry(points, geom_name="cloud", node_name="cloud")
    centres = matrices[:, :3, 3]
    if len(centres) > 1:
        steps = np.stack([centres[:-1], centres[1:]], 1)  # (step, 2, 3)
        _add_lines(scene, "camera_path", steps, path_colours(len(steps)))
    if len(centres):
        lines, owner = frustum_lines(matrices, cloud.positions, focal, size)
        _add_lines(scene, "cameras", lines, path_colours(len(matrices))[owner])
    data = scene.export(file_type="glb")
    assert isinstance(data, bytes)
    return data


def _add_lines(scene: object, name: str, lines: NDArray[np.float64], colours: NDArray[np.uint8]) -> None:
    """Adds lines (line, 2, 3) with colours (line, 4) to a trimesh scene, turned to glTF axes."""
    import trimesh
    from trimesh.path import Path3D
    from trimesh.path.entities import Line

    assert isinstance(scene, trimesh.Scene)
    entities = [Line([2 * i, 2 * i + 1]) for i in range(len(lines))]
    path = Path3D(entities=entities, vertices=lines.reshape(-1, 3) @ OPENCV_TO_GLTF.T, process=False)
    path.colors = colours
    scene.add_geometry(path, geom_name=name, node_name=name)


def encode_depth_png(depth: NDArray[np.floating]) -> tuple[bytes, int]:
    """A 16-bit PNG of depths (H, W) in millimetres, and the number of pixels clipped at 65.535 m.

    Pixels that are not finite or not in front of the camera become 0.
    """
    return _encode_16_bit(depth, DEPTH_UNIT)


def encode_confidence_png(confidence: NDArray[np.floating]) -> bytes:
    """A 16-bit PNG of confidences (H, W) in hundredths, clipped at 655.35."""
    return _encode_16_bit(confidence, CONFIDENCE_UNIT)[0]


def encode_depth_npz(depth: NDArray[np.floating], confidence: NDArray[np.floating]) -> bytes:
    """A compressed NumPy archive of `depth` (H, W) in metres, 0 where there is none, and `confidence` (H, W)."""
    buffer = io.BytesIO()
    with np.errstate(invalid="ignore"):
        known = np.isfinite(depth) & (depth > 0)
    finite = np.where(np.isfinite(confidence), confidence, 0)
    np.savez_compressed(
        buffer, depth=np.where(known, depth, 0).astype(np.float32), confidence=finite.astype(np.float32)
    )
    return buffer.getvalue()


def _encode_16_bit(values: NDArray[np.floating], unit: float) -> tuple[bytes, int]:
    with np.errstate(invalid="ignore"):
        known = np.isfinite(values) & (values > 0)
    steps = np.round(np.where(known, values, 0).astype(np.float64) / unit)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(steps, 0, 65535).astype(np.uint16)).save(buffer, format="PNG")
    return buffer.getvalue(), int((steps > 65535).sum())
