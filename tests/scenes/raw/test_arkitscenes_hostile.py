"""Damaged and hostile files of an ARKitScenes download: one line each, or left out and named."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.scenes.raw.arkitscenes_files import VIDEO_ID, annotation, write_scan
from tests.scenes.raw.room import make_room
from vlm3r.errors import UserError
from vlm3r.scenes.arkitscenes import find_scans, open_scan
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw import arkit_annotation, stamped
from vlm3r.scenes.raw.arkit_annotation import read_annotation
from vlm3r.scenes.raw.arkit_frames import read_camera
from vlm3r.scenes.raw.mesh import read_mesh
from vlm3r.scenes.raw.png import read_depth, read_header, read_picture
from vlm3r.scenes.raw.stamped import list_stamped


@pytest.fixture
def scan(tmp_path) -> Path:
    return write_scan(tmp_path / "raw", make_room())


def frames(scan: Path, name: str) -> list[Path]:
    return sorted((scan / f"{VIDEO_ID}_frames" / name).iterdir())


def refusal(scan: Path) -> str:
    with pytest.raises(UserError) as caught:
        open_scan(find_scans(scan.parent)[0])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, content: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read as JSON"),
        (b'{"data": [', "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"\xff\xfe{}", "cannot be read as JSON"),
        (b"[]", "instead of a JSON object"),
        (b"{}", "data is null, not a list"),
        (b'{"data": {}}', "data is an object, not a list"),
        (b'{"data": [], "data": []}', "names 'data' twice"),
    ],
)
def test_annotations_that_are_no_list_of_objects_are_refused(scan, content, reason):
    (scan / f"{VIDEO_ID}_3dod_annotation.json").write_bytes(content)
    message = refusal(scan)
    assert reason in message and f"{VIDEO_ID}_3dod_annotation.json" in message


def test_an_annotation_of_absurd_size_is_not_read(scan, monkeypatch):
    monkeypatch.setattr(arkit_annotation, "MAX_BYTES", 100)
    assert "too many for annotations" in refusal(scan)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("label",), None),
        (("label",), "two\nlines"),
        (("label",), "\ud800"),
        (("segments",), []),
        (("segments", "obbAligned"), None),
        (("segments", "obbAligned", "centroid"), [0, 0]),
        (("segments", "obbAligned", "centroid"), [1e308, 0, 0]),
        (("segments", "obbAligned", "axesLengths"), [1, -1, 1]),
        (("segments", "obbAligned", "axesLengths"), [1, 0, 1]),
        (("segments", "obbAligned", "normalizedAxes"), [1.0] * 9),
        (("segments", "obbAligned", "normalizedAxes"), [1, 0, 0, 0, 1, 0, 0, 0, float("inf")]),
        (("segments", "obbAligned", "normalizedAxes"), "axes"),
    ],
)
def test_objects_that_cannot_be_used_are_left_out_and_named(tmp_path, place, value):
    record = annotation(make_room())
    entry = record["data"][2]
    for key in place[:-1]:
        entry = entry[key]
    entry[place[-1]] = value
    path = tmp_path / "a.json"
    path.write_text(json.dumps(record))
    read = read_annotation(path)
    assert [o.instance_id for o in read.objects] == [n + 1 for n in range(len(record["data"])) if n != 2]
    assert len(read.problems) == 1 and "data[2]" in read.problems[0]


def test_axes_are_rows_and_stored_corners_are_ignored(tmp_path):
    c, s = np.cos(0.5), np.sin(0.5)
    box = {
        "centroid": [1, 2, 3],
        "axesLengths": [2, 1, 1],
        "normalizedAxes": [c, s, 0, -s, c, 0, 0, 0, 1],
        "min_corner": [0, 0, 0],
        "max_corner": [9, 9, 9],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"data": [{"uid": "u", "label": "bed", "segments": {"obbAligned": box}}]}))
    found = read_annotation(path).objects[0].box
    assert found is not None
    local = np.array([1, 0.5, 0.5])
    corner = np.array([1 + c * local[0] - s * local[1], 2 + s * local[0] + c * local[1], 3.5])
    assert np.abs(found.corners - corner).max(axis=1).min() < 1e-12


def test_repeated_and_odd_uids_do_not_lose_objects(tmp_path):
    record = annotation(make_room())
    for number, uid in enumerate(["same", "same", 7, "x" * 300, None, "\udc80"]):
        record["data"][number]["uid"] = uid
    (tmp_path / "a.json").write_text(json.dumps(record))
    read = read_annotation(tmp_path / "a.json")
    assert len(read.objects) == len(record["data"]) and len(read.problems) == 1
    assert [read.uids[n] for n in range(1, 7)] == ["same", "same", None, None, None, None]


def test_an_annotation_marked_as_skipped_says_so(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"skipped": True, "data": []}))
    read = read_annotation(tmp_path / "a.json")
    assert read.objects == () and "skipped" in read.problems[0]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "64 48 45 45 32",
        "64 48 45 45 32 24 1",
        "64 48 a b c d",
        "0 48 45 45 32 24",
        "-64 -48 45 45 32 24",
        "64.5 48 45 45 32 24",
        "1e300 48 45 45 32 24",
        "64 48 0 45 32 24",
        "64 48 inf 45 32 24",
        "9" * 5000,
    ],
)
def test_malformed_camera_records_are_refused(tmp_path, content):
    (tmp_path / "a.pincam").write_text(content)
    with pytest.raises(FieldError):
        read_camera(tmp_path / "a.pincam")


def test_a_scan_without_any_usable_camera_is_refused(scan):
    for file in frames(scan, "lowres_wide_intrinsics"):
        file.write_text("48 64 45 45 24 32")  # of another shape
    assert "no usable camera" in refusal(scan) and "is for 48 x 64 pixels, pictures have 64 x 48" in refusal(scan)


@pytest.mark.parametrize("missing", ["lowres_wide", "lowres_wide_intrinsics", "lowres_wide.traj"])
def test_a_scan_without_frames_cameras_or_poses_is_refused(scan, missing):
    (scan / f"{VIDEO_ID}_frames" / missing).rename(scan / "elsewhere")
    assert missing in refusal(scan)


def test_a_scan_without_depth_is_read_but_offers_no_frame(scan):
    (scan / f"{VIDEO_ID}_frames" / "lowres_depth").rename(scan / "elsewhere")
    capture = open_scan(find_scans(scan.parent)[0])
    assert not any(view.samplable for view in capture.views) and capture.depth(0) is None
    assert "lowres_depth: no such folder" in capture.findings.problems


def test_damaged_pictures_are_left_out_of_the_video(scan):
    paths = frames(scan, "lowres_wide")
    paths[0].write_bytes(b"")
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    paths[2].write_bytes(png(60000, 60000, 8, 2))
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(paths[3])
    (paths[4].parent / "._hidden.png").write_bytes(b"x")
    (paths[4].parent / "cover.png").write_bytes(paths[4].read_bytes())
    capture = open_scan(find_scans(scan.parent)[0])
    assert len(capture.views) == len(list(capture.pictures())) == 2 and capture.views[0].timestamp == 0
    told = "\n".join(capture.findings.problems)
    assert "lowres_wide: 4 files are unusable" in told and "lowres_wide: 1 files have names without a time" in told


def test_a_picture_damaged_inside_stops_the_video_with_its_name(scan):
    path = frames(scan, "lowres_wide")[3]
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path.name}: is damaged .*; download it again, or delete it"):
        list(open_scan(find_scans(scan.parent)[0]).pictures())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"GIF89a" + bytes(40), "is no PNG"),
        (png(1 << 31, 1 << 31, 16, 0), "2147483648 x 2147483648 pixels"),
        (png(0, 5, 16, 0), "0 x 5 pixels"),
        (png(4, 4, 16, 0)[:-4], "is cut short"),
        (png(4, 4, 8, 0), "8 bits grey instead of 16"),
        (png(4, 4, 16, 2), "16 bits colour instead of 16"),
        (png(4, 4, 16, 0, bytes(5)), "is damaged"),
    ],
)
def test_depth_maps_that_are_none_are_refused(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        read_depth(tmp_path / "a.png")


def test_depth_in_millimetres_becomes_metres(tmp_path):
    Image.fromarray(np.array([[0, 1], [1234, 65535]], np.uint16)).save(tmp_path / "a.png")
    depth = read_depth(tmp_path / "a.png")
    assert depth.dtype == np.float32 and depth == pytest.approx(np.array([[0, 0.001], [1.234, 65.535]]))
    assert read_header(tmp_path / "a.png").size == (2, 2)


def test_grey_pictures_are_shown_in_colour(tmp_path):
    Image.fromarray(np.array([[0, 200]], np.uint8)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").tolist() == [[[0, 0, 0], [200, 200, 200]]]


PLY = "ply\nformat {} 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
FACES = "element face {}\nproperty list uchar int vertex_indices\n"
END = "end_header\n"


def test_a_mesh_without_faces_is_a_point_cloud(tmp_path):
    (tmp_path / "a.ply").write_text(PLY.format("ascii", 2) + END + "0 0 0\n1 2 3\n")
    cloud = read_mesh(tmp_path / "a.ply")
    assert cloud.points.tolist() == [[0, 0, 0], [1, 2, 3]] and cloud.triangles is None and cloud.instances is None


def test_a_mesh_keeps_the_order_and_the_doubles_of_its_vertices(tmp_path):
    vertices = np.array([[1, 1, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [5, 5, 5]], "<f4")
    faces = b"".join(struct.pack("<B3i", 3, *face) for face in ((1, 0, 3), (2, 3, 1)))
    header = PLY.format("binary_little_endian", 5) + FACES.format(2) + END
    (tmp_path / "a.ply").write_bytes(header.encode() + vertices.tobytes() + faces)
    cloud = read_mesh(tmp_path / "a.ply")
    assert (cloud.points == vertices).all() and cloud.triangles is not None
    assert cloud.triangles.tolist() == [[1, 0, 3], [2, 3, 1]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not begin as a PLY file"),
        (b"ply\nformat ascii 1.0\n", "does not begin as a PLY file"),
        ((PLY.format("binary_little_endian", 10**15) + END).encode() + bytes(64), "fewer bytes than"),
        (
            (PLY.format("binary_little_endian", 9) + FACES.format(10**12) + END).encode() + bytes(108),
            "fewer bytes than",
        ),
        ((PLY.format("ascii", -5) + END).encode(), "which is no count"),
        ((PLY.format("ascii", "9" * 5000) + END).encode(), "which is no count"),
        ((PLY.format("binary_little_endian", 9) + END).encode() + bytes(50), "cannot be read as PLY|no vertices"),
        ((PLY.format("ascii", 1) + END).encode() + b"nan 0 0\n", "not finite"),
        ((PLY.format("ascii", 1) + END).encode() + b"1e30 0 0\n", "beyond"),
        ((PLY.format("ascii", 0) + END).encode(), "cannot be read as PLY|no vertices"),
        ((PLY.format("ascii", 1) + FACES.format(1) + END).encode() + b"0 0 0\n3 0 0 7\n", "vertex that is not there"),
        ((PLY.format("ascii", 1) + FACES.format(1) + END).encode() + b"0 0 0\n3 0 0 -1\n", "vertex that is not there"),
    ],
)
def test_damaged_meshes_are_refused_in_one_line(tmp_path, content, reason):
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(UserError, match=reason) as caught:
        read_mesh(tmp_path / "a.ply")
    assert "\n" not in str(caught.value) and "a.ply" in str(caught.value)


def test_a_damaged_mesh_does_not_stop_the_scan(scan):
    (scan / f"{VIDEO_ID}_3dod_mesh.ply").write_bytes(b"ply\n")
    capture = open_scan(find_scans(scan.parent)[0])
    assert capture.cloud is None and any("used without mesh" in line for line in capture.findings.problems)


def test_links_out_of_the_scan_are_not_followed(scan, tmp_path):
    outside = tmp_path / "secret.png"
    Image.fromarray(np.full((48, 64, 3), 7, np.uint8)).save(outside)
    first, second, *_ = frames(scan, "lowres_wide")
    first.unlink()
    first.symlink_to(outside)
    inside = scan / "moved.png"
    second.rename(inside)
    second.symlink_to(inside)
    capture = open_scan(find_scans(scan.parent)[0])
    assert len(capture.views) == 5 and any("links out of the scan" in line for line in capture.findings.problems)
    mesh, trajectory = scan / f"{VIDEO_ID}_3dod_mesh.ply", scan / f"{VIDEO_ID}_frames" / "lowres_wide.traj"
    mesh.rename(tmp_path / "mesh.ply")
    mesh.symlink_to(tmp_path / "mesh.ply")
    assert open_scan(find_scans(scan.parent)[0]).cloud is None
    trajectory.rename(tmp_path / "a.traj")
    trajectory.symlink_to(tmp_path / "a.traj")
    assert "leads out of" in refusal(scan)
    trajectory.unlink()
    trajectory.symlink_to(trajectory)
    assert "leads out of" in refusal(scan)


def test_a_scan_that_is_itself_a_link_is_read(scan, tmp_path):
    elsewhere = tmp_path / "disk" / scan.name
    elsewhere.parent.mkdir()
    scan.rename(elsewhere)
    scan.symlink_to(elsewhere)
    assert len(open_scan(find_scans(scan.parent)[0]).views) == 6


def test_time_stamps_are_read_from_names(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    for name in (
        "41_10.250.png",
        "9.5.png",
        "41_100.png",
        "41_10.25.png",
        "41_x.png",
        "1e9.png",
        "41_1.2.txt",
        "-3.png",
    ):
        (folder / name).touch()
    found = list_stamped(tmp_path, folder, ".png")
    assert [(file.time, file.name) for file in found.files] == [(9.5, "9.5"), (10.25, "10.25"), (100, "100")]
    assert "4 files" in found.problems[0]
    assert [found.at(time, 0.05) for time in (9.45, 9.44, 10.3)] == [found.files[0], None, found.files[1]]
    near = found.nearest(-5)
    assert near is not None and near.time == 9.5 and stamped.StampedFiles(()).nearest(1.0) is None
