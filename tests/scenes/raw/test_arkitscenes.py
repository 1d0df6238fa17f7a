"""ARKitScenes read back from files whose truth is a synthetic room."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.scenes.raw.arkitscenes_files import START, STEP, VIDEO_ID, write_recording, write_scan, write_table
from tests.scenes.raw.room import TestRoom, make_room
from vlm3r.errors import UserError
from vlm3r.scenes.arkitscenes import find_scans, open_scan
from vlm3r.scenes.raw.arkit_capture import ARKitCapture


@pytest.fixture
def room() -> TestRoom:
    return make_room()


def opened(raw: Path, **options) -> ARKitCapture:
    return open_scan(find_scans(raw)[0], **options)


def edited(path: Path, change) -> None:
    path.write_text(change(path.read_text()))


def frame_file(scan: Path, folder: str, number: int, suffix: str) -> Path:
    return scan / f"{VIDEO_ID}_frames" / folder / f"{VIDEO_ID}_{START + number * STEP:.3f}{suffix}"


@pytest.mark.parametrize("held", [0, 1, 2, 3])
def test_a_scan_held_in_any_way_is_read_back_upright(tmp_path, room, held):
    write_scan(tmp_path / "3dod" / "Training", room, held=held)
    with opened(tmp_path) as capture:
        assert [o.label for o in capture.objects] == [o.category for o in room.scene.objects]
        assert [o.instance_id for o in capture.objects] == [o.instance_id for o in room.scene.objects]
        for read, true in zip(capture.objects, room.scene.objects, strict=True):
            assert read.box is not None and read.box.corners == pytest.approx(true.box.corners, abs=1e-9)
        assert len(capture.views) == len(room.poses) and capture.fps == 10.0
        pictures = list(capture.pictures())
        for number, (view, pose) in enumerate(zip(capture.views, room.poses, strict=True)):
            assert view.pose == pytest.approx(pose, abs=1e-7)
            assert view.intrinsics == room.intrinsics and view.samplable
            assert view.timestamp == pytest.approx(number * STEP, abs=1e-6)
            assert (pictures[number] == room.pictures[number]).all()
            assert (capture.picture(number) == room.pictures[number]).all()
            depth = capture.depth(number)
            assert depth is not None and depth.dtype == np.float32
            assert depth == pytest.approx(room.depth[number], abs=0.00051)
            assert capture.mask(number) is None
        assert capture.cloud is not None and capture.cloud.instances is None and capture.cloud.triangles is not None
        assert capture.cloud.points == pytest.approx(room.points, abs=1e-5)
        assert (capture.cloud.triangles == room.triangles).all()
        assert capture.findings.problems == ()
        rotation = capture.findings.provenance["rotation"]
        assert (rotation["quarter_turns"], rotation["from"]) == (held, "poses")


def test_depth_unprojected_by_what_is_read_lies_where_the_room_is(tmp_path, room):
    write_scan(tmp_path, room, held=1)
    capture = opened(tmp_path)
    view, depth = capture.views[2], capture.depth(2)
    assert view.pose is not None and depth is not None
    rows, columns = np.nonzero(depth)
    camera = view.intrinsics
    rays = np.stack([(columns + 0.5 - camera.cx) / camera.fx, (rows + 0.5 - camera.cy) / camera.fy, rows * 0 + 1.0], 1)
    points = (rays * depth[rows, columns, None]) @ view.pose[:3, :3].T + view.pose[:3, 3]
    low, high = room.points.min(0), room.points.max(0)
    assert ((points > low - 0.01) & (points < high + 0.01)).all()
    assert points[:, 2].min() < low[2] + 0.05  # the floor is below, seen at its true height


def test_instance_ids_follow_the_file_and_its_own_ids_are_recorded(tmp_path, room):
    scan = write_scan(tmp_path, room)

    def break_second(text: str) -> str:
        record = json.loads(text)
        record["data"][1]["segments"]["obbAligned"]["axesLengths"] = [0.5, float("nan"), 0.5]
        return json.dumps(record)

    edited(scan / f"{VIDEO_ID}_3dod_annotation.json", break_second)
    capture = opened(tmp_path)
    true = room.scene.objects
    assert [o.instance_id for o in capture.objects] == [o.instance_id for o in true if o.instance_id != 2]
    uids = capture.findings.provenance["instance_ids"]["uids"]
    assert uids["3"].endswith(f"{7003:x}") and "2" not in uids
    assert any("data[1]" in line and "left out" in line for line in capture.findings.problems)


def test_the_metadata_table_names_visits_and_folds(tmp_path, room):
    for video_id in ("41048190", "41048191", "41048192", "41048193"):
        write_scan(tmp_path, room, video_id)
    rows = [("41048190", "421378.0", "Training"), ("41048191", "421378", "Training")]
    rows += [("41048192", "NaN", "Validation"), ("41048193", "", "Validation"), ("bad", "1", "Training")]
    write_table(
        tmp_path / "metadata.csv", [dict(zip(("video_id", "visit_id", "fold"), row, strict=True)) for row in rows]
    )
    scans = find_scans(tmp_path)
    assert [scan.place for scan in scans] == ["421378", "421378", "41048192", "41048193"]
    assert [scan.split for scan in scans] == ["Training", "Training", "Validation", "Validation"]
    assert [scan.scene_id for scan in find_scans(tmp_path, "val")] == ["41048192", "41048193"]


def test_tables_fill_each_others_gaps(tmp_path):
    (tmp_path / "3dod" / "Training" / "40000001").mkdir(parents=True)
    write_table(tmp_path / "metadata.csv", [{"video_id": "40000001", "visit_id": "nan", "fold": "Validation"}])
    rows = [{"video_id": "40000001", "visit_id": "420001", "fold": "Training"}]
    write_table(tmp_path / "3dod" / "3dod_train_val_splits.csv", rows)
    (scan,) = find_scans(tmp_path)
    assert (scan.place, scan.split) == ("420001", "Training")  # the folder's fold, before any table's


def test_one_scan_of_each_visit_is_drawn_by_the_seed_whatever_else_is_there(tmp_path, room):
    numbers = range(41048100, 41048108)
    for number in numbers:
        (tmp_path / "Training" / str(number)).mkdir(parents=True)
        (tmp_path / "Training" / str(number) / f"{number}_3dod_annotation.json").touch()
    rows = [{"video_id": str(n), "visit_id": str(420000 + n % 2), "fold": "Training"} for n in numbers]
    rows[-1]["visit_id"] = rows[-2]["visit_id"] = "nan"  # scans of unknown visits are not taken for one
    write_table(tmp_path / "metadata.csv", rows)
    drawn = {tuple(s.scene_id for s in find_scans(tmp_path, one_per_visit=True, seed=seed)) for seed in range(60)}
    assert all(len(choice) == 4 and choice[2:] == ("41048106", "41048107") for choice in drawn) and len(drawn) == 9
    first = find_scans(tmp_path, one_per_visit=True, seed=5)
    assert first == find_scans(tmp_path, one_per_visit=True, seed=5)
    even = [scan for scan in first if scan.place == "420000"]
    odd = tmp_path / "Training" / "41048101"
    (odd / "41048101_3dod_annotation.json").unlink()
    odd.rmdir()
    assert [s for s in find_scans(tmp_path, one_per_visit=True, seed=5) if s.place == "420000"] == even


def test_a_visit_is_shown_by_a_scan_that_is_annotated(tmp_path, room):
    for number in range(41048100, 41048110):
        (tmp_path / str(number)).mkdir()
    write_scan(tmp_path / "3dod" / "Training", room, "41048104")
    rows = [{"video_id": str(n), "visit_id": "421000"} for n in range(41048100, 41048110)]
    write_table(tmp_path / "metadata.csv", rows)
    for seed in range(5):
        assert [s.scene_id for s in find_scans(tmp_path, one_per_visit=True, seed=seed)] == ["41048104"]


def test_layouts_of_the_download_script_are_found_once(tmp_path, room):
    for parent in ("3dod/Training", "3dod/Validation", "raw/Training", "Training", "."):
        for number in ("40000001", "40000002") if parent == "3dod/Training" else ("40000001", f"4100{len(parent):04}"):
            (tmp_path / parent / number).mkdir(parents=True)
    (tmp_path / "notes").mkdir()
    scans = {scan.scene_id: scan for scan in find_scans(tmp_path)}
    assert list(scans) == sorted(scans) and len(scans) == 6
    assert scans["40000001"].folder == tmp_path / "3dod" / "Training" / "40000001"
    assert {scan.scene_id for scan in find_scans(tmp_path, "Training")} == {
        "40000001",
        "40000002",
        "41000012",
        "41000008",
    }


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"visit_id,fold\n1,Training\n", "no column video_id"),
        (b"\xff\xfe\x00", "no column"),
        (b"", "no column video_id"),
    ],
)
def test_broken_tables_are_refused_in_one_line(tmp_path, table, reason):
    (tmp_path / "40000001").mkdir()
    (tmp_path / "metadata.csv").write_bytes(table)
    with pytest.raises(UserError, match=reason):
        find_scans(tmp_path)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        find_scans(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has no scan, which would be a folder 3dod/Training/<video id>"):
        find_scans(tmp_path)
    (tmp_path / "Training" / "40000001").mkdir(parents=True)
    with pytest.raises(UserError, match="has no scan of Validation"):
        find_scans(tmp_path, "validation")
    with pytest.raises(UserError, match="Training and Validation"):
        find_scans(tmp_path, "test")
    with pytest.raises(UserError, match=r"40000001_3dod_annotation\.json: no such file"):
        opened(tmp_path)


def test_frames_farther_than_fifty_milliseconds_from_a_pose_have_none(tmp_path, room):
    scan = write_scan(tmp_path, room)
    gone = ("3310.306", "3310.406")
    edited(
        scan / f"{VIDEO_ID}_frames" / "lowres_wide.traj",
        lambda text: "".join(line for line in text.splitlines(True) if not line.startswith(gone)),
    )
    capture = opened(tmp_path)
    assert [view.pose is None for view in capture.views] == [False, False, True, True, False, False]
    assert [view.samplable for view in capture.views] == [True, True, False, False, True, True]
    assert "2 of 6 frames have no pose within 50 ms" in capture.findings.problems
    assert len(list(capture.pictures())) == 6


def test_frames_between_poses_get_the_pose_between_unless_the_nearest_is_asked_for(tmp_path, room):
    scan = write_scan(tmp_path, room, step=0.04)
    edited(scan / f"{VIDEO_ID}_frames" / "lowres_wide.traj", lambda text: "".join(text.splitlines(True)[::2]))
    between, nearest = opened(tmp_path), opened(tmp_path, interpolate=False)
    a, b = room.poses[0][:3, 3], room.poses[2][:3, 3]
    share = (0.04 - 0.0003) / 0.08
    middle, near = between.views[1].pose, nearest.views[1].pose
    assert middle is not None and middle[:3, 3] == pytest.approx((1 - share) * a + share * b, abs=1e-4)
    assert near is not None and near == pytest.approx(room.poses[0], abs=1e-7)
    assert between.fps == pytest.approx(25) and between.findings.provenance["frame_rate"]["from"] == "time stamps"


def test_frames_whose_depth_is_all_zero_missing_or_damaged_are_not_sampled(tmp_path, room):
    scan = write_scan(tmp_path, room)
    Image.fromarray(np.zeros((48, 64), np.uint16)).save(frame_file(scan, "lowres_depth", 1, ".png"))
    frame_file(scan, "lowres_depth", 2, ".png").unlink()
    cut = frame_file(scan, "lowres_depth", 3, ".png")
    cut.write_bytes(cut.read_bytes()[:-20])
    Image.fromarray(np.ones((48, 64), np.uint8)).save(frame_file(scan, "lowres_depth", 4, ".png"))
    capture = opened(tmp_path)
    assert [view.samplable for view in capture.views] == [True, False, False, False, False, True]
    empty = capture.depth(1)
    assert empty is not None and not empty.any()
    assert [capture.depth(n) is None for n in range(6)] == [False, False, True, True, True, False]
    told = "\n".join(capture.findings.problems)
    assert "1 of 6 depth maps hold no depth" in told and "1 of 6 frames have no depth map" in told
    assert "2 depth maps are unusable" in told and "is cut short" in told and str(tmp_path) not in told


def test_a_missing_camera_record_is_replaced_by_the_nearest_in_time(tmp_path, room):
    scan = write_scan(tmp_path, room)
    for number in (1, 2, 3, 4):
        camera = frame_file(scan, "lowres_wide_intrinsics", number, ".pincam")
        edited(camera, lambda text, n=number: text.replace("44.8", f"{44.8 + n}"))
    frame_file(scan, "lowres_wide_intrinsics", 2, ".pincam").unlink()
    frame_file(scan, "lowres_wide_intrinsics", 3, ".pincam").write_text("64 48 nan 45 32 24")
    capture = opened(tmp_path)
    assert [round(view.intrinsics.fx - 44.8) for view in capture.views] == [0, 1, 1, 4, 4, 0]
    assert all(view.samplable for view in capture.views)
    assert any("3310.406.pincam: the camera is not finite" in line for line in capture.findings.problems)


def test_a_camera_record_that_is_far_away_in_time_is_not_trusted(tmp_path, room):
    scan = write_scan(tmp_path, room, step=0.3)
    for file in sorted((scan / f"{VIDEO_ID}_frames" / "lowres_wide_intrinsics").iterdir())[1:]:
        file.unlink()
    capture = opened(tmp_path)
    assert [view.samplable for view in capture.views] == [True, True, False, False, False, False]
    assert "4 of 6 frames have no camera record within 0.5 s" in capture.findings.problems


def test_camera_records_one_millisecond_off_belong_to_their_frames(tmp_path, room):
    scan = write_scan(tmp_path, room)
    for number in range(6):
        file = frame_file(scan, "lowres_wide_intrinsics", number, ".pincam")
        edited(file, lambda text, n=number: text.replace("44.8", f"{44.8 + n}"))
        file.rename(file.with_name(f"{VIDEO_ID}_{START + number * STEP - 0.001:.3f}.pincam"))
    assert [round(view.intrinsics.fx - 44.8) for view in opened(tmp_path).views] == [0, 1, 2, 3, 4, 5]


def test_the_sky_in_the_table_is_compared_with_the_poses_which_count(tmp_path, room):
    write_scan(tmp_path / "3dod" / "Training", room, held=1)
    for sky, agrees in (("Right", True), ("Left", False), ("", None)):
        write_table(tmp_path / "metadata.csv", [{"video_id": VIDEO_ID, "visit_id": "1", "sky_direction": sky}])
        rotation = opened(tmp_path).findings.provenance["rotation"]
        assert (rotation["quarter_turns"], rotation["sky_direction_agrees"]) == (1, agrees)


def test_a_table_of_another_data_set_above_the_scan_does_no_harm(tmp_path, room):
    write_scan(tmp_path / "raw" / "Training", room)
    (tmp_path / "metadata.csv").write_text("name,licence\nother,none\n")
    assert len(opened(tmp_path / "raw" / "Training").views) == 6


def test_where_no_pose_tells_the_sky_of_the_table_counts(tmp_path, room):
    scan = write_scan(tmp_path, room, held=1)
    edited(
        scan / f"{VIDEO_ID}_frames" / "lowres_wide.traj",
        lambda text: "\n".join(f"1{line}" for line in text.splitlines()),  # another clock
    )
    write_table(tmp_path / "metadata.csv", [{"video_id": VIDEO_ID, "visit_id": "1", "sky_direction": "Right"}])
    capture = opened(tmp_path)
    assert (capture.picture(0) == room.pictures[0]).all()
    assert any("turned by sky_direction" in line for line in capture.findings.problems)


def test_frames_may_lie_in_the_scans_own_folder_and_the_mesh_may_be_missing(tmp_path, room):
    scan = write_scan(tmp_path, room)
    for entry in list((scan / f"{VIDEO_ID}_frames").iterdir()):
        entry.rename(scan / entry.name)
    (scan / f"{VIDEO_ID}_frames").rmdir()
    (scan / f"{VIDEO_ID}_3dod_mesh.ply").unlink()
    capture = opened(tmp_path)
    assert len(capture.views) == 6 and capture.cloud is None
    assert any("_3dod_mesh.ply: no such file" in line for line in capture.findings.problems)


@pytest.mark.parametrize(("held", "stored"), [(0, 0), (1, 1), (3, 0)])
def test_a_recordings_frames_are_shown_upright_and_in_step(tmp_path, room, held, stored):
    scan = write_scan(tmp_path, room, held=held)
    write_recording(scan / f"{VIDEO_ID}.mov", [np.rot90(picture, -stored) for picture in room.pictures])
    capture = opened(tmp_path)
    camera = capture.views[0].intrinsics
    assert (camera.width, camera.height, camera.fx, camera.cy) == (128, 96, 2 * room.intrinsics.fx, 48)
    pictures = list(capture.pictures())
    for number, (shown, true) in enumerate(zip(pictures, room.pictures, strict=True)):
        small = np.asarray(Image.fromarray(shown).resize((64, 48), Image.Resampling.BOX), float)
        errors = [np.abs(small - other).mean() for other in room.pictures]
        assert shown.shape == (96, 128, 3) and np.argmin(errors) == number and np.abs(small - true).mean() < 8
        assert (capture.picture(number) == shown).all()
    video = capture.findings.provenance["video"]
    assert video["from"] == f"{VIDEO_ID}.mov" and video["offset_seconds"] == pytest.approx(0.4, abs=0.07)
    assert video["quarter_turns"] == stored and capture.findings.problems == ()


def test_a_recording_of_something_else_is_not_used(tmp_path, room):
    scan = write_scan(tmp_path, room)
    noise = np.random.default_rng(0).integers(0, 255, (6, 48, 64, 3)).astype(np.uint8)
    write_recording(scan / f"{VIDEO_ID}.mov", list(noise))
    capture = opened(tmp_path)
    small = np.asarray(Image.fromarray(next(capture.pictures())).resize((64, 48), Image.Resampling.BOX), float)
    assert np.abs(small - room.pictures[0]).mean() < 8
    assert capture.findings.provenance["video"] == {"from": "lowres_wide"}
    assert any("does not show the scan's frames" in line for line in capture.findings.problems)


def test_views_beyond_the_recording_are_shown_as_enlarged_stills(tmp_path, room):
    scan = write_scan(tmp_path, room)
    write_recording(scan / f"{VIDEO_ID}.mov", room.pictures[:4])
    capture = opened(tmp_path)
    last = list(capture.pictures())[5]
    small = np.asarray(Image.fromarray(last).resize((64, 48), Image.Resampling.BOX), float)
    assert last.shape == (96, 128, 3) and np.abs(small - room.pictures[5]).mean() < 8
    assert any("has no frame for 2 views" in line for line in capture.findings.problems)


@pytest.mark.parametrize("content", [b"", b"no video", None])
def test_an_unusable_recording_leaves_the_frames(tmp_path, room, content):
    scan = write_scan(tmp_path, room)
    movie = scan / f"{VIDEO_ID}.mov"
    if content is None:
        write_recording(movie, room.pictures, size=(96, 96))
    else:
        movie.write_bytes(content)
    capture = opened(tmp_path)
    assert capture.views[0].intrinsics == room.intrinsics and (capture.picture(0) == room.pictures[0]).all()
    assert any(f"{VIDEO_ID}.mov" in line for line in capture.findings.problems)
    assert open_scan(find_scans(tmp_path, route="lowres")[0]).findings.problems == ()
