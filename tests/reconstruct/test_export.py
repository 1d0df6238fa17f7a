from __future__ import annotations

import io

import numpy as np
import pytest
import trimesh
from PIL import Image

from vlm3r.reconstruct import export
from vlm3r.reconstruct.frusta import frustum_lines
from vlm3r.reconstruct.voxels import PointCloud


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    return PointCloud(
        rng.normal(size=(500, 3)).astype(np.float32),
        rng.integers(0, 256, (500, 3), dtype=np.uint8),
        rng.uniform(1, 50, 500).astype(np.float32),
        np.zeros((500, 3), np.float32),
    )


def test_ply_reads_back_exactly(cloud):
    data = export.encode_ply(cloud)
    read = trimesh.load(io.BytesIO(data), file_type="ply")
    np.testing.assert_array_equal(read.vertices.astype(np.float32), cloud.positions)
    np.testing.assert_array_equal(read.colors[:, :3], cloud.colours)
    raw = read.metadata["_ply_raw"]["vertex"]["data"]
    np.testing.assert_array_equal(np.asarray(raw["confidence"], np.float32).reshape(-1), cloud.confidence)
    header = data[: data.index(b"end_header")].decode()
    assert "format binary_little_endian 1.0" in header
    assert len(data) == len(header) + len("end_header\n") + 500 * 19


def test_glb_reads_back_in_y_up_axes_with_the_camera_path(cloud, room):
    read = trimesh.load(io.BytesIO(export.encode_glb(cloud, room.to_world, room.focal, (128, 96))), file_type="glb")
    assert set(read.geometry) == {"cloud", "camera_path", "cameras"}
    turned = cloud.positions * [1, -1, -1]
    np.testing.assert_allclose(read.geometry["cloud"].vertices, turned, atol=1e-6)
    np.testing.assert_array_equal(read.geometry["cloud"].colors[:, :3], cloud.colours)
    path = read.geometry["camera_path"].vertices
    centres = room.to_world[:, :3, 3] * [1, -1, -1]
    np.testing.assert_allclose(path[0], centres[0], atol=1e-6)
    np.testing.assert_allclose(path[-1], centres[-1], atol=1e-6)
    np.testing.assert_allclose(np.unique(path.round(4), axis=0), np.unique(centres.round(4), axis=0), atol=2e-4)


def test_the_turn_to_gltf_is_a_rotation_that_lifts_what_was_up():
    assert np.linalg.det(export.OPENCV_TO_GLTF) == pytest.approx(1)
    np.testing.assert_array_equal(export.OPENCV_TO_GLTF @ [0, -1, 0], [0, 1, 0])
    np.testing.assert_array_equal(export.OPENCV_TO_GLTF @ [0, 0, 1], [0, 0, -1])


def test_glb_of_a_single_camera_has_no_path(cloud):
    read = trimesh.load(io.BytesIO(export.encode_glb(cloud, np.eye(4)[None], None, (128, 96))), file_type="glb")
    assert set(read.geometry) == {"cloud", "cameras"}


def test_frusta_open_along_the_optical_axis_by_the_field_of_view(cloud, room):
    lines, owner = frustum_lines(room.to_world, cloud.positions, 64.0, (128, 96))
    back = np.linalg.inv(room.to_world[owner])
    local = np.einsum("lij,lkj->lki", back[:, :3, :3], lines) + back[:, None, :3, 3]
    corners = local.reshape(-1, 3)[np.abs(local.reshape(-1, 3)).max(-1) > 1e-9]
    np.testing.assert_allclose(np.abs(corners[:, 0] / corners[:, 2]), 1.0)
    np.testing.assert_allclose(np.abs(corners[:, 1] / corners[:, 2]), 0.75)
    assert (corners[:, 2] > 0).all()


def test_depth_png_holds_millimetres_and_zero_for_unknown():
    depth = np.array([[1.2344, 65.535, 70.0, np.inf], [0.0006, 0, -3, np.nan]])
    data, clipped = export.encode_depth_png(depth)
    image = np.asarray(Image.open(io.BytesIO(data)))
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, [[1234, 65535, 65535, 0], [1, 0, 0, 0]])
    assert clipped == 1


def test_confidence_png_holds_hundredths():
    image = np.asarray(Image.open(io.BytesIO(export.encode_confidence_png(np.array([[1.0, 7.126, 1e9, np.nan]])))))
    np.testing.assert_array_equal(image, [[100, 713, 65535, 0]])


def test_depth_npz_is_finite():
    depth, confidence = np.array([[1.5, np.nan, -1]]), np.array([[2.0, np.inf, 3]])
    with np.load(io.BytesIO(export.encode_depth_npz(depth, confidence))) as archive:
        np.testing.assert_array_equal(archive["depth"], np.float32([[1.5, 0, 0]]))
        np.testing.assert_array_equal(archive["confidence"], np.float32([[2, 0, 3]]))
