"""Scene folders made from each raw layout of one room, against the room."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.scenes.raw import arkitscenes_files, scannet_files
from tests.scenes.raw.room import TestRoom, make_room
from tests.scenes.raw.truth import DATASETS, RATES, answers, floor_area, instance_id, true_scene, write_raw
from vlm3r.errors import UserError
from vlm3r.processing.video import decode_indices
from vlm3r.scenes.raw.capture import Dataset, Scan
from vlm3r.scenes.raw.prepare import PrepareSettings, PrepareTask, prepare_scan
from vlm3r.scenes.raw.readers import find_scans
from vlm3r.scenes.schema import Scene
from vlm3r.scenes.storage import SCENE_FILE, read_scene
from vlm3r.scenes.synthetic.pictures import MILLIMETRES, read_png

ROOM = make_room()
SETTINGS = PrepareSettings(frames=len(ROOM.pictures))


def scan_of(raw: Path, dataset: Dataset, published: bool = False) -> Scan:
    return find_scans(dataset, raw, None, None, published, 0)[0]


def prepared(tmp: Path, dataset: Dataset, settings: PrepareSettings = SETTINGS) -> tuple[Scene, Path]:
    """The scene made from the scan in `raw`, and its folder."""
    task = PrepareTask(scan_of(tmp / "raw", dataset, settings.published), tmp / "out", settings)
    prepare_scan(task)
    return read_scene(task.folder / SCENE_FILE), task.folder


@pytest.fixture(scope="module", params=DATASETS)
def made(request, tmp_path_factory) -> tuple[Dataset, Scene, Scene, Path]:
    """The data set, the scene made from its layout, the truth, and the folder."""
    dataset: Dataset = request.param
    tmp = tmp_path_factory.mktemp(dataset)
    write_raw(tmp / "raw", dataset, ROOM)
    scene, folder = prepared(tmp, dataset)
    return dataset, scene, true_scene(dataset, ROOM, scene.scene_id), folder


def test_objects_are_the_rooms_with_ids_and_boxes(made) -> None:
    _, scene, truth, _ = made
    assert [(o.category, o.instance_id) for o in scene.objects] == [(o.category, o.instance_id) for o in truth.objects]
    for read, true in zip(scene.objects, truth.objects, strict=True):
        assert sorted(read.box.size) == pytest.approx(sorted(true.box.size), rel=0.01, abs=1e-4)
        assert read.box.centre == pytest.approx(true.box.centre, abs=1e-3)
    assert dict(scene.counts) == dict(truth.counts)


def test_poses_times_and_intrinsics_are_the_rooms(made) -> None:
    _, scene, truth, _ = made
    assert len(scene.frames) == len(truth.frames)
    for position, (read, true) in enumerate(zip(scene.frames, truth.frames, strict=True)):
        assert read.position == position
        assert read.timestamp == pytest.approx(true.timestamp, abs=1e-6)
        assert (read.pose is None) == (true.pose is None)
        if true.pose is not None:
            assert read.pose == pytest.approx(true.pose, abs=1e-5)
    camera = scene.intrinsics
    assert camera is not None and (camera.width, camera.height) == (64, 48)
    own = ROOM.intrinsics
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((own.fx, own.fy, own.cx, own.cy), rel=1e-5)


def test_depth_maps_show_what_the_pictures_show(made) -> None:
    dataset, scene, _, folder = made
    for position, frame in enumerate(scene.frames):
        if frame.pose is None:
            assert frame.depth is None
            continue
        depth = read_png(folder / str(frame.depth)) / MILLIMETRES
        assert depth.shape == (48, 64)
        known = depth > 0
        assert known.mean() > (0.6 if dataset == "scannet" else 0.99)  # ScanNet's depth camera sees less here
        off = np.abs(depth - ROOM.depth[position])[known]
        assert np.median(off) < (0.02 if dataset == "scannet" else 0.001)


def test_masks_and_sightings_are_the_renderers(made) -> None:
    dataset, scene, truth, folder = made
    shown = {o.instance_id for o in scene.objects}
    for position, (frame, true) in enumerate(zip(scene.frames, truth.frames, strict=True)):
        if frame.pose is None:
            continue
        ids = ROOM.masks[position]
        expected = np.where(ids > 0, np.vectorize(lambda i: instance_id(dataset, i))(ids), -1)
        expected[~np.isin(expected, list(shown))] = -1
        mask = read_png(folder / str(frame.mask))
        found = np.where(mask == 0, -1, mask - scene.mask_offset)
        share = 0.9 if dataset == "arkitscenes" else 1.0  # which ships no masks
        assert (found == expected).mean() >= share
        if share == 1.0:
            assert [(s.instance_id, s.box, s.pixels) for s in frame.sightings] == [
                (s.instance_id, s.box, s.pixels) for s in true.sightings
            ]
    source = "depth inside the annotated boxes" if dataset == "arkitscenes" else "as the reader gives them"
    assert set(scene.provenance["masks"]) == {source}


def test_the_rooms_area_is_the_true_one(made) -> None:
    _, scene, _, _ = made
    assert scene.room.area == pytest.approx(floor_area(ROOM), rel=0.03)
    assert scene.room.outlines


def test_every_question_has_the_answer_that_the_room_itself_gives(made, tmp_path) -> None:
    dataset, scene, truth, _ = made
    boxes = {o.instance_id: o.box for o in scene.objects}
    # Area and boxes have tests of their own; and round things have more than one smallest box.
    objects = tuple(replace(o, box=boxes[o.instance_id]) for o in truth.objects)
    truth = replace(truth, room=scene.room, objects=objects)
    true, read = answers(truth, tmp_path / "true"), answers(scene, tmp_path / "read")
    both = true.keys() & read.keys()
    assert len(true) > 100
    assert len(both) / len(true.keys() | read.keys()) > (0.9 if dataset == "arkitscenes" else 0.999)
    assert {q: read[q] for q in both} == {q: true[q] for q in both}
    assert {kind for kind, *_ in both} == {kind for kind, *_ in true}


def test_the_video_shows_the_rooms_pictures_upright(made) -> None:
    dataset, scene, _, folder = made
    video = decode_indices(folder / str(scene.video), list(range(len(ROOM.pictures))))
    for shown, picture in zip(video.frames, ROOM.pictures, strict=True):
        assert np.abs(np.asarray(shown, int) - picture.astype(int)).mean() < 8
    assert scene.frames[-1].timestamp == pytest.approx((len(ROOM.pictures) - 1) / RATES[dataset])
    assert (folder / "contact_sheet.png").is_file() and (folder / "map.png").is_file()


def test_a_mesh_with_instances_gives_masks_where_none_ship(tmp_path) -> None:
    folder = write_raw(tmp_path / "raw", "scannet", ROOM)
    for archive in folder.glob("*.zip"):
        archive.unlink()
    scene, out = prepared(tmp_path, "scannet")
    assert set(scene.provenance["masks"]) == {"depth in the nearest vertex's instance"}
    seen = {s.instance_id for f in scene.frames for s in f.sightings}
    true = {s.instance_id for f in true_scene("scannet", ROOM, scene.scene_id).frames for s in f.sightings}
    assert len(seen - true) <= 1
    assert len(seen) > 0.7 * len(true)  # its vertices are 25 cm apart, so that little things between them are lost
    assert scene.mask_offset == 1
    assert read_png(out / str(scene.frames[0].mask)).max() > 0


def test_a_finished_scene_is_kept_and_one_of_other_settings_refused(tmp_path) -> None:
    write_raw(tmp_path / "raw", "arkitscenes", ROOM)
    task = PrepareTask(scan_of(tmp_path / "raw", "arkitscenes"), tmp_path / "out", SETTINGS)
    assert not prepare_scan(task).kept
    before = {path: path.stat().st_mtime_ns for path in task.folder.rglob("*")}
    assert prepare_scan(task).kept
    assert {path: path.stat().st_mtime_ns for path in task.folder.rglob("*")} == before
    with pytest.raises(UserError, match="was made with labels 'ours', not 'published'; give another --out"):
        prepare_scan(replace(task, settings=replace(SETTINGS, labels="published")))


def test_a_scan_that_breaks_off_leaves_no_folder(tmp_path) -> None:
    folder = write_raw(tmp_path / "raw", "scannet", ROOM)
    sens = next(folder.glob("*.sens"))
    content = sens.read_bytes()
    sens.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="download it again"):
        prepared(tmp_path, "scannet")
    assert list((tmp_path / "out").iterdir()) == []
    scene, _ = prepared(tmp_path, "scannet", replace(SETTINGS, partial=True))
    assert 0 < len(scene.frames) < len(ROOM.pictures)
    assert any("frames before are used" in problem for problem in scene.problems)


def test_two_runs_write_the_same_files(tmp_path) -> None:
    write_raw(tmp_path / "raw", "scannetpp", ROOM)
    contents = []
    for out in ("a", "b"):
        task = PrepareTask(scan_of(tmp_path / "raw", "scannetpp"), tmp_path / out, SETTINGS)
        prepare_scan(task)
        contents.append({p.name: p.read_bytes() for p in sorted(task.folder.rglob("*")) if p.is_file()})
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("dataset", "size"), [("scannet", (640, 480)), ("scannetpp", (584, 388)), ("arkitscenes", (512, 384))]
)
def test_published_scenes_have_the_published_sizes(tmp_path, dataset, size) -> None:
    write_raw(tmp_path / "raw", dataset, wide(dataset))
    scene, folder = prepared(tmp_path, dataset, PrepareSettings(labels="published", published=True, frames=2))
    camera = scene.intrinsics
    assert camera is not None and (camera.width, camera.height) == size
    assert decode_indices(folder / str(scene.video), [0]).frames[0].shape[:2] == size[::-1]
    if dataset == "scannet":  # says the depth camera's, as published
        depth = scannet_files.DEPTH_CAMERA
        assert camera.fx == pytest.approx(depth.fx * size[0] / depth.width, rel=1e-4)
    else:
        assert camera.fx == pytest.approx(ROOM.intrinsics.fx * size[0] / 64, rel=1e-3)


def wide(dataset: str) -> TestRoom:
    """The room filmed with a few frames of the shape that the data set's pictures have."""
    return make_room(4, 96, 64) if dataset == "scannetpp" else make_room(4)


def test_pictures_keep_their_shape_and_are_never_enlarged(tmp_path) -> None:
    write_raw(tmp_path / "raw", "arkitscenes", ROOM)
    scene, _ = prepared(tmp_path, "arkitscenes", replace(SETTINGS, size=32))
    camera = scene.intrinsics
    assert camera is not None and (camera.width, camera.height) == (32, 24)
    assert camera.fx == pytest.approx(ROOM.intrinsics.fx / 2)


def test_only_sampled_frames_are_annotated_unless_all_are_asked_for(tmp_path) -> None:
    write_raw(tmp_path / "raw", "scannetpp", ROOM)
    few, folder = prepared(tmp_path, "scannetpp", replace(SETTINGS, frames=2))
    assert few.sampled == (0, 5)
    assert [bool(f.depth) for f in few.frames] == [True, False, False, False, False, True]
    assert all(f.pose is not None for f in few.frames)
    shutil.rmtree(folder)
    dense, _ = prepared(tmp_path, "scannetpp", replace(SETTINGS, frames=2, dense=True))
    assert dense.sampled == (0, 5)
    assert all(f.depth and f.mask and f.sightings for f in dense.frames)


def test_a_scan_without_mesh_has_no_area_and_says_so(tmp_path) -> None:
    folder = write_raw(tmp_path / "raw", "arkitscenes", ROOM)
    next(folder.glob("*_3dod_mesh.ply")).unlink()
    scene, out = prepared(tmp_path, "arkitscenes")
    assert scene.room.area is None
    assert any("area is unknown" in problem for problem in scene.problems)
    assert not (out / "map.png").exists()
    assert scene.frames[0].sightings


def test_dropped_labels_leave_objects_masks_and_counts_and_are_counted(tmp_path) -> None:
    folder = write_raw(tmp_path / "raw", "arkitscenes", ROOM)
    path = next(folder.glob("*_annotation.json"))
    annotation = json.loads(path.read_text())
    annotation["data"][0]["label"] = "cabinet"
    path.write_text(json.dumps(annotation))
    scene, _ = prepared(tmp_path, "arkitscenes", replace(SETTINGS, labels="vsibench"))
    assert scene.provenance["labels"]["dropped"]["cabinet"] >= 1
    assert 1 not in {o.instance_id for o in scene.objects}
    assert 1 not in {s.instance_id for f in scene.frames for s in f.sightings}


def test_frames_at_uneven_times_keep_their_times_in_the_video(tmp_path) -> None:
    import av

    folder = write_raw(tmp_path / "raw", "arkitscenes", ROOM)
    frames = folder / f"{arkitscenes_files.VIDEO_ID}_frames"
    lost = f"{arkitscenes_files.VIDEO_ID}_{arkitscenes_files.START + 2 * arkitscenes_files.STEP:.3f}"
    (frames / "lowres_wide" / f"{lost}.png").unlink()
    scene, out = prepared(tmp_path, "arkitscenes")
    with av.open(str(out / str(scene.video))) as video:
        times = [float(picture.time or 0) for picture in video.decode(video=0)]
    assert times == pytest.approx([0, 0.1, 0.3, 0.4, 0.5], abs=1e-3)
    assert times == pytest.approx([frame.timestamp for frame in scene.frames], abs=1e-3)


def test_instance_ids_that_masks_cannot_hold_are_refused(tmp_path) -> None:
    folder = write_raw(tmp_path / "raw", "scannetpp", ROOM)
    path = folder / "scans" / "segments_anno.json"
    annotation = json.loads(path.read_text())
    annotation["segGroups"][0]["objectId"] = 70_000
    path.write_text(json.dumps(annotation))
    with pytest.raises(UserError, match="instance ids go up to 70000"):
        prepared(tmp_path, "scannetpp")
