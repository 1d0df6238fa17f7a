"""Damaged and hostile files of a ScanNet++ download: one line each, or left out and named."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.scenes.raw import scannetpp_files as files
from tests.scenes.raw.room import make_room
from tests.scenes.raw.scannetpp_files import SCENE_ID, dslr_name, object_id
from vlm3r.errors import UserError
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw import camera_record
from vlm3r.scenes.raw import segments as segments_module
from vlm3r.scenes.raw.camera_record import read_record
from vlm3r.scenes.raw.capture import NO_INSTANCE
from vlm3r.scenes.raw.scannetpp_annotation import read_annotation, read_cloud
from vlm3r.scenes.raw.scannetpp_dslr import read_ids
from vlm3r.scenes.raw.segments import Annotation, vertex_instances
from vlm3r.scenes.scannetpp import find_scans, open_scan

SIZE = (64, 48)
POSE = np.eye(4)
MATRIX = np.array([[45, 0, 32], [0, 45, 24], [0, 0, 1]], float)


@pytest.fixture
def scene(tmp_path) -> Path:
    folder = tmp_path / "data" / SCENE_ID
    files.write_scans(folder, make_room())
    return folder


def edited(path: Path, change) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def refusal(scene: Path, route: str = "dslr") -> str:
    with pytest.raises(UserError) as caught:
        open_scan(find_scans(scene.parent.parent, route=route)[0])
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read as JSON"),
        (b'{"segGroups": [', "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"{}", "segGroups is null, not a list"),
        (b'{"segGroups": [], "segGroups": []}', "names 'segGroups' twice"),
    ],
)
def test_annotations_that_are_no_list_of_objects_are_refused(scene, content, reason):
    (scene / "scans" / "segments_anno.json").write_bytes(content)
    message = refusal(scene)
    assert reason in message and "segments_anno.json" in message


def test_an_annotation_of_absurd_size_is_not_read(scene, monkeypatch):
    monkeypatch.setattr(segments_module, "MAX_BYTES", 100)
    assert "too many for the scan's annotation" in refusal(scene)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": None}, "label is null"),
        ({"label": "two\nlines"}, "line breaks"),
        ({"objectId": "x"}, "objectId is 'x'"),
        ({"objectId": -4}, "negative"),
        ({"objectId": object_id(1)}, "is repeated"),
        ({"segments": "all"}, "segments is text"),
        ({"segments": [1, 2.5]}, "no whole number"),
        ({"segments": [10**30]}, "no whole number"),
        ({"segments": [], "obb": None}, "obb is null"),
    ],
)
def test_objects_that_cannot_be_used_are_left_out_and_named(scene, change, reason):
    edited(scene / "scans" / "segments_anno.json", lambda record: record["segGroups"][2].update(change))
    read = read_annotation(scene)
    count = len(make_room().scene.objects)
    assert [o.instance_id for o in read.objects] == [object_id(n + 1) for n in range(count) if n != 2]
    assert len(read.problems) == 1 and "segGroups[2]" in read.problems[0] and reason in read.problems[0]


@pytest.mark.parametrize("value", [[1, 0, 1], [1, -1, 1], [1, float("nan"), 1], None])
def test_an_unusable_box_is_left_to_be_computed_from_the_vertices(scene, value):
    edited(scene / "scans" / "segments_anno.json", lambda r: r["segGroups"][2]["obb"].update(axesLengths=value))
    read = read_annotation(scene)
    assert read.objects[2].box is None and read.objects[2].instance_id == object_id(3)
    assert "computed from the mesh" in read.problems[0]
    cloud, _ = read_cloud(scene, read)
    assert cloud is not None and cloud.instances is not None and (cloud.instances == object_id(3)).any()


def test_the_ids_of_objects_are_those_that_masks_refer_to(scene):
    edited(scene / "scans" / "segments_anno.json", lambda record: record["segGroups"][0].pop("objectId"))
    assert [o.instance_id for o in read_annotation(scene).objects][:2] == [0, object_id(2)]


def test_a_vertex_that_two_objects_claim_belongs_to_the_smaller_one():
    indices = np.array([7, 7, 3, 5, 9])
    segments = {1: np.array([7, 3, 5]), 2: np.array([3]), 4: np.array([11, 12, 13, 14])}
    instances, unknown = vertex_instances(indices, segments)
    assert instances.tolist() == [1, 1, 2, 1, NO_INSTANCE] and unknown == 4


def test_segments_that_do_not_fit_the_mesh_leave_its_vertices_without_instances(scene):
    edited(scene / "scans" / "segments.json", lambda record: record["segIndices"].pop())
    cloud, problems = read_cloud(scene, read_annotation(scene))
    assert cloud is not None and cloud.instances is None and "vertices" in problems[0]
    (scene / "scans" / "segments.json").unlink()
    cloud, problems = read_cloud(scene, Annotation((), {}))
    assert cloud is not None and cloud.instances is None and "no such file" in problems[0]


def test_a_scene_without_mesh_is_read_without_cloud(scene):
    mesh = scene / "scans" / "mesh_aligned_0.05.ply"
    mesh.rename(scene / "scans" / "mesh_aligned_0.05_semantic.ply")
    assert read_cloud(scene, Annotation((), {}))[0] is not None
    (scene / "scans" / "mesh_aligned_0.05_semantic.ply").write_bytes(b"ply\nelement vertex 999999999999\nend_header\n")
    cloud, problems = read_cloud(scene, Annotation((), {}))
    assert cloud is None and "fewer bytes" in problems[0]
    files.write_dslr(scene, make_room())
    capture = open_scan(find_scans(scene.parent.parent)[0])
    assert capture.depth(0) is None and capture.mask(0) is None and capture.cloud is None
    assert any("without mesh" in line for line in capture.findings.problems)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r.pop("train"), "train is null"),
        (lambda r: r.update(train=[]), "list is empty"),
        (lambda r: r.update(train=["../../secret.png"]), "no plain file name"),
        (lambda r: r.update(train=["a\\b"]), "no plain file name"),
        (lambda r: r.update(train=[3]), "a name is a number"),
        (lambda r: r.update(train=["DSC99999.JPG"]), "none of the 1 listed pictures"),
    ],
)
def test_lists_of_pictures_that_cannot_be_used_are_refused(scene, change, reason):
    edited(files.write_dslr(scene, make_room()) / "train_test_lists.json", change)
    assert reason in refusal(scene)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r.update(k1=0.1), "has distortion"),
        (lambda r: r.update(fl_x=0), "fx is 0"),
        (lambda r: r.update(w=640, h=640), "is for 640 x 640 pixels"),
        (lambda r: r.pop("cx"), "cx is null"),
    ],
)
def test_a_camera_that_is_not_the_pictures_is_refused(scene, change, reason):
    edited(files.write_dslr(scene, make_room()) / "nerfstudio" / "transforms_undistorted.json", change)
    assert reason in refusal(scene)


def test_what_a_recording_lacks_is_named(scene):
    assert "train_test_lists.json: no such file" in refusal(scene)
    assert "rgb.mkv" in refusal(scene, "iphone")
    folder = files.write_dslr(scene, make_room())
    (folder / "nerfstudio" / "transforms_undistorted.json").unlink()
    assert "has no pictures with cameras" in refusal(scene)
    phone = files.write_iphone(scene, make_room())
    (phone / "pose_intrinsic_imu.json").unlink()
    assert "pose_intrinsic_imu.json: no such file" in refusal(scene, "iphone")
    (phone / "pose_intrinsic_imu.json").write_text('{"frame_000000": {"intrinsic": [1]}}')
    assert "has a camera for none of the video's frames" in refusal(scene, "iphone")
    assert "colmap" in refusal(scene, "iphone-colmap")


def test_links_out_of_the_scene_are_not_followed(scene, tmp_path):
    folder = files.write_dslr(scene, make_room())
    picture = folder / "resized_undistorted_images" / dslr_name(2)
    picture.rename(tmp_path / "secret.png")
    picture.symlink_to(tmp_path / "secret.png")
    capture = open_scan(find_scans(scene.parent.parent)[0])
    assert len(capture.views) == 5 and "leads out of" in capture.findings.problems[0]
    (scene / "scans" / "segments_anno.json").rename(tmp_path / "anno.json")
    (scene / "scans" / "segments_anno.json").symlink_to(tmp_path / "anno.json")
    assert "leads out of" in refusal(scene)


def test_pictures_of_another_size_are_left_out(scene):
    folder = files.write_dslr(scene, make_room())
    odd = folder / "resized_undistorted_images" / dslr_name(0)
    Image.new("RGB", (48, 64)).save(odd, format="PNG")
    capture = open_scan(find_scans(scene.parent.parent)[0], render=False)
    assert len(capture.views) == 5 and "48 x 64" in capture.findings.problems[0]


def test_pictures_that_are_cut_short_are_left_out_or_named_when_they_are_decoded(scene):
    folder = files.write_dslr(scene, make_room()) / "resized_undistorted_images"
    whole = (folder / dslr_name(1)).read_bytes()
    (folder / dslr_name(1)).write_bytes(whole[:-200])
    Image.fromarray(make_room().pictures[3]).save(folder / dslr_name(3), quality=95)
    whole = (folder / dslr_name(3)).read_bytes()
    (folder / dslr_name(3)).write_bytes(whole[: len(whole) // 2])
    capture = open_scan(find_scans(scene.parent.parent)[0], render=False)
    assert len(capture.views) == 5 and dslr_name(1) in capture.findings.problems[0]
    with pytest.raises(UserError, match=dslr_name(3)):
        list(capture.pictures())


def test_masks_that_are_damaged_are_none_and_named(scene):
    folder = files.write_dslr(scene, make_room())
    files.write_rendered(scene, make_room())
    masks = sorted((folder / "render_instance").iterdir())
    masks[0].write_bytes(masks[0].read_bytes()[:-30])
    Image.new("RGB", SIZE).save(masks[1])
    capture = open_scan(find_scans(scene.parent.parent)[0], render=False)
    assert capture.mask(0) is None and capture.mask(1) is None and capture.mask(2) is not None
    assert len(capture.findings.problems) == 2
    with pytest.raises(FieldError, match="is missing"):
        read_ids(folder / "none.png")


def test_a_video_cut_short_gives_no_more_frames_than_it_has(scene):
    phone = files.write_iphone(scene, make_room())
    content = (phone / "rgb.mkv").read_bytes()
    (phone / "rgb.mkv").write_bytes(content[: len(content) * 2 // 3])
    with open_scan(find_scans(scene.parent.parent, route="iphone")[0], render=False) as capture:
        assert 2 <= len(capture.views) < 6 and len(list(capture.pictures())) == len(capture.views)
    assert any("pose_intrinsic_imu.json: has 12 frames" in line for line in capture.findings.problems)
    (phone / "rgb.mkv").write_bytes(content[:300])
    assert "rgb.mkv" in refusal(scene, "iphone")


def record(path: Path, **values) -> Path:
    np.savez(path, **{"intrinsic": MATRIX, "extrinsic": POSE, "image_size": np.array(SIZE), **values})
    return path


def test_a_camera_record_is_scaled_to_the_picture_whichever_side_its_size_names_first(tmp_path):
    for size in ((128, 96), (96, 128)):
        found = read_record(record(tmp_path / "a.npz", image_size=np.array(size)), SIZE)
        camera = found.camera
        assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (64, 48, 22.5, 22.5, 16, 12)
        assert found.pose is not None and (found.pose == POSE).all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"intrinsic": np.eye(2)}, "no 3x3 intrinsic"),
        ({"intrinsic": MATRIX.T}, "no camera matrix"),
        ({"intrinsic": MATRIX * np.nan}, "not finite"),
        ({"intrinsic": np.zeros((900, 3))}, "more than"),
        ({"intrinsic": np.array([{"a": 1}], object)}, "no small array of numbers"),
        ({"image_size": np.array([64, 64])}, "is for 64 x 64 pixels"),
        ({"image_size": np.array([1.5, 2])}, "not a whole number"),
    ],
)
def test_records_that_hold_no_camera_are_refused(tmp_path, values, reason):
    with pytest.raises(FieldError, match=reason):
        read_record(record(tmp_path / "a.npz", **values), SIZE)


def test_archives_that_lie_about_their_arrays_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    for content in (header.getvalue(), b"\x93NUMPY", b"", b"\x93NUMPY\x01\x00\xff\xff{'shape': "):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("intrinsic.npy", content)
        with pytest.raises(FieldError, match=r"intrinsic\.npy is no"):
            read_record(path, SIZE)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("intrinsic.npy", bytes(100_000_000))
    with pytest.raises(FieldError, match="more than 16384 bytes"):
        read_record(path, SIZE)
    path.write_bytes(b"PK no archive")
    with pytest.raises(FieldError, match="cannot be read"):
        read_record(path, SIZE)
    monkeypatch.setattr(camera_record, "MAX_FILE_BYTES", 4)
    with pytest.raises(FieldError, match="more than 4 bytes"):
        read_record(path, SIZE)
    with pytest.raises(FieldError, match="is missing"):
        read_record(tmp_path / "b.npz", SIZE)
