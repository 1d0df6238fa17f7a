"""ScanNet read back from files whose truth is a synthetic room."""

from __future__ import annotations

import shutil
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from tests.scenes.raw import scannet_files as files
from tests.scenes.raw.room import make_room
from tests.scenes.raw.scannet_files import ALIGNMENT, DEPTH_CAMERA, LOST, SCENE_ID, write_scan
from vlm3r.errors import UserError
from vlm3r.scenes.raw.capture import NO_INSTANCE
from vlm3r.scenes.raw.scannet_capture import ScanNetCapture
from vlm3r.scenes.scannet import categories, find_scans, open_scan
from vlm3r.scenes.schema import rotation_problem

ROOM = make_room()


@pytest.fixture
def scan(tmp_path) -> Path:
    return write_scan(tmp_path, ROOM)


def opened(scan: Path, **options) -> ScanNetCapture:
    return open_scan(find_scans(scan.parent.parent, **options)[0])


def without_recording(scan: Path) -> Path:
    next(scan.glob("*.sens")).unlink()
    return scan


def test_objects_have_their_raw_labels_and_ids_from_zero(scan) -> None:
    with opened(scan) as capture:
        assert [o.label for o in capture.objects] == [o.category for o in ROOM.scene.objects]
        assert [o.instance_id for o in capture.objects] == [(o.instance_id or 0) - 1 for o in ROOM.scene.objects]
        assert {o.box for o in capture.objects} == {None}  # none are annotated
        assert [o.mended for o in capture.objects] == [f"{o.category} kind" for o in ROOM.scene.objects]
        assert capture.findings.problems == ()


def test_poses_are_aligned_and_lost_ones_are_none(scan) -> None:
    with opened(scan) as capture:
        for number, (view, true) in enumerate(zip(capture.views, ROOM.poses, strict=True)):
            if number == LOST:  # minus infinity, which the alignment's product would have made NaN
                assert view.pose is None and not view.samplable
            else:
                assert view.pose == pytest.approx(true, abs=1e-5) and view.samplable
        assert capture.findings.provenance["lost_poses"] == {"not finite": 1}


def test_the_fixture_is_not_aligned_by_chance() -> None:
    """Reading stored poses as they are would be seen."""
    stored = files.recording(ROOM).poses[0]
    assert np.abs(stored - ROOM.poses[0]).max() > 1
    assert np.linalg.norm(ALIGNMENT[:3, 3]) > 1


def test_time_is_the_frames_number_at_24_frames_a_second(scan) -> None:
    with opened(scan) as capture:
        assert [view.timestamp for view in capture.views] == pytest.approx([n / 24 for n in range(6)])
        assert capture.fps == 24


def test_pictures_have_the_colour_cameras_intrinsics(scan) -> None:
    with opened(scan) as capture:
        for view in capture.views:
            assert astuple(view.intrinsics) == pytest.approx(astuple(ROOM.intrinsics), rel=1e-6)  # stored as float32
        for number, picture in enumerate(capture.pictures()):
            assert np.array_equal(picture, ROOM.pictures[number])
            assert np.array_equal(capture.picture(number), picture)


def test_depth_is_resampled_into_the_colour_camera(scan) -> None:
    """The depth camera of the fixture sees less, and not the same way: its values taken as they are disagree."""
    with opened(scan) as capture:
        for number in range(6):
            depth = capture.depth(number)
            assert depth is not None
            height, width = depth.shape
            assert width / height == pytest.approx(64 / 48, rel=0.02)
            rows, columns = (np.arange(height) * 48 // height, np.arange(width) * 64 // width)
            true = ROOM.depth[number][rows[:, None], columns]
            known = depth > 0
            assert known.mean() > 0.6
            assert np.median(np.abs(depth - true)[known]) < 0.02
            stored = files.recording(ROOM).depth[number]
            assert np.median(np.abs(stored - true)) > 0.02  # taken as it is, it would not fit


def test_the_published_route_says_the_depth_cameras_intrinsics(scan) -> None:
    with opened(scan, route="published") as capture:
        camera = capture.views[0].intrinsics
        scale = 64 / DEPTH_CAMERA.width
        assert (camera.width, camera.height) == (64, 48)
        assert (camera.fx, camera.cx) == pytest.approx((DEPTH_CAMERA.fx * scale, DEPTH_CAMERA.cx * scale))
        depth = capture.depth(0)
        assert depth is not None and depth == pytest.approx(files.recording(ROOM).depth[0], abs=0.00051)


def test_masks_are_one_above_the_ids(scan) -> None:
    with opened(scan) as capture:
        for number, true in enumerate(ROOM.masks):
            mask = capture.mask(number)
            assert mask is not None
            assert np.array_equal(mask, np.where(true > 0, true - 1, NO_INSTANCE))


def test_the_mesh_is_aligned_and_its_vertices_know_their_instances(scan) -> None:
    with opened(scan) as capture:
        cloud = capture.cloud
        assert cloud is not None and cloud.instances is not None and cloud.triangles is not None
        assert cloud.points == pytest.approx(ROOM.points, abs=1e-4)
        assert np.array_equal(
            cloud.instances, np.where(ROOM.point_instances > 0, ROOM.point_instances - 1, NO_INSTANCE)
        )
        assert np.array_equal(cloud.triangles, ROOM.triangles)


def test_without_alignment_all_stays_as_recorded_and_is_named(scan) -> None:
    (scan / f"{SCENE_ID}.txt").write_text(files.info_text(ROOM.intrinsics, None))
    with opened(scan) as capture:
        assert capture.views[0].pose == pytest.approx(files.recording(ROOM).poses[0], abs=1e-5)
        assert any("has no axisAlignment" in problem for problem in capture.findings.problems)
        assert capture.findings.provenance["alignment"] == "none"
    (scan / f"{SCENE_ID}.txt").unlink()
    with opened(scan) as capture:
        assert any("no such file" in problem and "not aligned" in problem for problem in capture.findings.problems)


@pytest.mark.parametrize("kept", ["_2d-instance-filt.zip", "_2d-instance.zip"])
def test_the_second_archive_is_read_by_its_own_inner_folder(scan, kept) -> None:
    (scan / f"{SCENE_ID}_2d-instance-filt.zip").unlink()
    inner = "instance-filt" if "filt" in kept else "instance"
    files.write_masks(scan / f"{SCENE_ID}{kept}", inner, ROOM.masks)
    with opened(scan) as capture:
        mask = capture.mask(0)
        assert mask is not None and np.array_equal(mask >= 0, ROOM.masks[0] > 0)
        assert kept in capture.findings.provenance["masks"]


def test_the_filtered_masks_are_preferred(scan) -> None:
    files.write_masks(scan / f"{SCENE_ID}_2d-instance.zip", "instance", [np.zeros_like(m) for m in ROOM.masks])
    with opened(scan) as capture:
        mask = capture.mask(0)
        assert mask is not None and (mask >= 0).any()


def test_missing_masks_are_named_and_none(scan) -> None:
    (scan / f"{SCENE_ID}_2d-instance-filt.zip").unlink()
    with opened(scan) as capture:
        assert capture.mask(0) is None
        assert any("no instance masks" in problem for problem in capture.findings.problems)


@pytest.mark.parametrize(("size", "step"), [(None, 1), ((32, 24), 1), (None, 2)])
def test_an_export_is_read_as_the_recording_is(scan, size, step) -> None:
    files.write_export(scan, files.recording(ROOM), size, step)
    with opened(without_recording(scan)) as capture:
        numbers = list(range(0, 6, step))
        assert [view.frame_id for view in capture.views] == numbers
        assert [view.timestamp for view in capture.views] == pytest.approx([number / 24 for number in numbers])
        for position, number in enumerate(numbers):
            view = capture.views[position]
            if number == LOST:
                assert view.pose is None
                continue
            assert view.pose == pytest.approx(ROOM.poses[number], abs=1e-5)
            width = 64 if size is None else size[0]
            assert view.intrinsics.width == width
            assert view.intrinsics.fx == pytest.approx(ROOM.intrinsics.fx * width / 64, rel=1e-5)
            mask = capture.mask(position)
            assert mask is not None and np.array_equal(mask >= 0, ROOM.masks[number] > 0)
            assert capture.depth(position) is not None


def test_labels_are_found_by_name_and_not_by_the_last_row_with_their_id(tmp_path) -> None:
    table = tmp_path / "scannetv2-labels.combined.tsv"
    rows = [("2", "chair", "chair", "chair"), ("2", "office chair", "chair", "chair"), ("39", "bin", "trash can", "x")]
    files.write_labels(table, [*rows, ("2", "beach chair", "chair", "chair")])
    found = categories(table)
    assert {raw: row.category for raw, row in found.items()} == {
        "chair": "chair", "office chair": "chair", "bin": "trash can", "beach chair": "chair",
    }  # fmt: skip
    assert found["chair"].published == found["office chair"].published == "beach chair"
    assert found["bin"].published == "bin"


def test_scans_are_found_in_both_layouts_with_place_and_split(tmp_path) -> None:
    for name in ("scene0002_00", "scene0001_01", "scene0001_00"):
        write_scan(tmp_path, ROOM, name)
    (tmp_path / "scannetv2_train.txt").write_text("scene0001_00\nscene0001_01\n")
    (tmp_path / "scannetv2_val.txt").write_text("scene0002_00\n")
    found = find_scans(tmp_path)
    assert [(s.scene_id, s.place, s.split) for s in found] == [
        ("scene0001_00", "scene0001", "train"), ("scene0001_01", "scene0001", "train"),
        ("scene0002_00", "scene0002", "val"),
    ]  # fmt: skip
    assert [s.scene_id for s in find_scans(tmp_path, "val")] == ["scene0002_00"]
    assert [s.scene_id for s in find_scans(tmp_path / "scans")] == [s.scene_id for s in found]


def test_what_is_not_there_is_said_with_the_remedy(tmp_path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        find_scans(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has no scan, which would be a folder scans/<scan id>"):
        find_scans(tmp_path)
    write_scan(tmp_path, ROOM)
    with pytest.raises(UserError, match=r"has no scannetv2_train.txt; download the list"):
        find_scans(tmp_path, "train")
    with pytest.raises(UserError, match="--split dev: ScanNet has train, val, test"):
        find_scans(tmp_path, "dev")
    with pytest.raises(UserError, match="--route colour: ScanNet has registered, published"):
        find_scans(tmp_path, route="colour")


def test_every_frame_of_the_aligned_world_is_a_rigid_motion(scan) -> None:
    with opened(scan) as capture:
        for view in capture.views:
            assert view.pose is None or rotation_problem(view.pose[:3, :3]) is None


def test_a_capture_can_be_opened_again_after_it_was_closed(scan) -> None:
    capture = opened(scan)
    capture.close()
    shutil.move(next(scan.glob("*.zip")), scan / "elsewhere")
    with opened(scan) as again:
        assert again.mask(0) is None
