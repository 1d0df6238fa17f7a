"""ScanNet++ read back from files whose truth is a synthetic room."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.scenes.raw import scannetpp_files as files
from tests.scenes.raw.arkitscenes_files import held_camera, held_pose
from tests.scenes.raw.room import TestRoom, make_room
from tests.scenes.raw.scannetpp_files import SCENE_ID, dslr_name, object_id
from vlm3r.errors import UserError
from vlm3r.scenes.raw.capture import NO_INSTANCE
from vlm3r.scenes.raw.lens import Lens, Undistortion
from vlm3r.scenes.raw.scannetpp_capture import ScanNetPPCapture
from vlm3r.scenes.scannetpp import ROUTES, find_scans, open_scan

MILLIMETRE = 0.00051


@pytest.fixture
def room() -> TestRoom:
    return make_room()


@pytest.fixture
def scene(tmp_path, room) -> Path:
    """A scene with its annotation and no recording."""
    folder = tmp_path / "data" / SCENE_ID
    files.write_scans(folder, room)
    return folder


@pytest.fixture
def opened() -> Iterator[Callable[..., ScanNetPPCapture]]:
    """Opens scenes, and closes them after the test."""
    with ExitStack() as stack:

        def open_scene(scene: Path, route: str = "dslr", render: bool = False) -> ScanNetPPCapture:
            return stack.enter_context(open_scan(find_scans(scene.parent.parent, route=route)[0], render=render))

        yield open_scene


def edited(path: Path, change) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def ids(room: TestRoom, mask: np.ndarray) -> np.ndarray:
    """The room's mask in the annotation's ids."""
    return np.where(mask > 0, object_id(0) + 3 * mask, NO_INSTANCE)


def assert_annotated(capture: ScanNetPPCapture, room: TestRoom) -> None:
    assert [o.label for o in capture.objects] == [o.category for o in room.scene.objects]
    assert [o.instance_id for o in capture.objects] == [object_id(o.instance_id or 0) for o in room.scene.objects]
    for read, true in zip(capture.objects, room.scene.objects, strict=True):
        assert read.box is not None and read.box.corners == pytest.approx(true.box.corners, abs=1e-9)
    assert capture.cloud is not None and capture.cloud.triangles is not None
    assert capture.cloud.points == pytest.approx(room.points, abs=1e-5)
    assert (capture.cloud.triangles == room.triangles).all()
    assert (capture.cloud.instances == ids(room, room.point_instances)).all()


def test_dslr_pictures_are_read_back_with_what_was_rendered_for_them(scene, room, opened):
    files.write_dslr(scene, room)
    files.write_rendered(scene, room)
    with opened(scene) as capture:
        assert_annotated(capture, room)
        assert capture.fps == 3.0 and len(capture.views) == len(room.poses)
        pictures = list(capture.pictures())
        for number, (view, pose) in enumerate(zip(capture.views, room.poses, strict=True)):
            assert view.frame_id == Path(dslr_name(number)).stem and view.timestamp == pytest.approx(number / 3)
            assert view.pose == pytest.approx(pose, abs=1e-9)
            assert view.intrinsics == room.intrinsics and view.samplable
            assert (pictures[number] == room.pictures[number]).all()
            assert (capture.picture(number) == room.pictures[number]).all()
            depth, mask = capture.depth(number), capture.mask(number)
            assert depth is not None and depth.dtype == np.float32
            assert np.abs(depth - room.depth[number]).max() <= MILLIMETRE
            assert mask is not None and (mask == ids(room, room.masks[number])).all()
        assert capture.findings.problems == ()
        assert capture.findings.provenance["masks"] == "dslr/render_instance"


@pytest.mark.parametrize("held", [1, 2, 3])
def test_a_recording_held_in_any_way_is_read_back_upright(scene, room, held, opened):
    def stored(values: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        return tuple(np.rot90(value, -held) for value in values)

    frames = tuple(
        replace(f, pose=held_pose(pose, held)) for f, pose in zip(room.scene.frames, room.poses, strict=True)
    )
    turned = replace(
        room,
        scene=replace(room.scene, frames=frames),
        pictures=stored(room.pictures),
        depth=stored(room.depth),
        masks=stored(room.masks),
        intrinsics=held_camera(room.intrinsics, held),
    )
    files.write_dslr(scene, turned)
    files.write_rendered(scene, turned)
    capture = opened(scene)
    assert capture.findings.provenance["rotation"]["quarter_turns"] == held
    for number, pose in enumerate(room.poses):
        view, depth, mask = capture.views[number], capture.depth(number), capture.mask(number)
        assert view.pose == pytest.approx(pose, abs=1e-9) and view.intrinsics == room.intrinsics
        assert (capture.picture(number) == room.pictures[number]).all()
        assert depth is not None and np.abs(depth - room.depth[number]).max() <= MILLIMETRE
        assert mask is not None and (mask == ids(room, room.masks[number])).all()


def test_pictures_of_the_published_preparation_are_taken_where_its_camera_records_are(scene, room, opened):
    folder = files.write_dslr(scene, room)
    files.write_rendered(scene, room)
    (folder / "rgb_resized_undistorted").mkdir()
    for path in (folder / "resized_undistorted_images").iterdir():
        Image.new("RGB", (64, 48), "red").save(folder / "rgb_resized_undistorted" / path.name, format="PNG")
    assert (opened(scene).picture(0) == [255, 0, 0]).all()
    shutil.rmtree(folder / "camera")
    assert (opened(scene).picture(0) == room.pictures[0]).all()


def test_each_picture_has_its_own_camera(scene, room, opened):
    cameras = [replace(room.intrinsics, fx=room.intrinsics.fx + n, cy=room.intrinsics.cy - n / 8) for n in range(6)]
    files.write_dslr(scene, room)
    files.write_rendered(scene, room, cameras)
    assert [view.intrinsics for view in opened(scene).views] == cameras


def test_without_camera_records_poses_are_the_inverted_ones_of_the_colmap_model(scene, room, opened):
    files.write_dslr(scene, room)
    capture = opened(scene)
    for number, (view, pose) in enumerate(zip(capture.views, room.poses, strict=True)):
        assert view.pose == pytest.approx(pose, abs=1e-9)
        assert view.intrinsics == room.intrinsics
        assert view.samplable and capture.depth(number) is None and capture.mask(number) is None
    provenance = capture.findings.provenance
    assert provenance["poses"] == "dslr/colmap/images.txt, world-to-camera, inverted"
    assert provenance["depth"] == provenance["masks"] == "none shipped" and "rendered" not in provenance
    assert capture.findings.problems == ()


def test_maps_that_do_not_ship_are_rendered_from_the_mesh(scene, room, opened):
    files.write_dslr(scene, room)
    capture = opened(scene, render=True)
    for number in range(len(room.poses)):
        depth, mask = capture.depth(number), capture.mask(number)
        assert depth is not None and mask is not None
        walls = depth > 0  # behind the windows there is no mesh
        assert walls.mean() > 0.9
        assert np.quantile(np.abs(depth - room.depth[number])[walls], 0.97) < 0.01
        assert (mask == ids(room, room.masks[number])).mean() > 0.97
    assert "rendered from the mesh" in capture.findings.provenance["rendered"]["masks"]


def test_maps_of_the_official_tool_are_brought_from_the_fisheye_to_the_undistorted_picture(scene, room, opened):
    folder = files.write_dslr(scene, room)
    for number in range(len(room.poses)):
        depth, mask = (
            files.seen_by_fisheye(values[number], room.intrinsics, files.FOLDED, 0)
            for values in (room.depth, room.masks)
        )
        files.write_maps(folder, Path(dslr_name(number)).stem, depth, mask)
    capture = opened(scene)
    agreement, unmoved = [], []
    for number in range(len(room.poses)):
        mask = capture.mask(number)
        depth = capture.depth(number)
        assert mask is not None and depth is not None
        agreement.append((mask == ids(room, room.masks[number])).mean())
        stored = files.seen_by_fisheye(room.masks[number], room.intrinsics, files.FOLDED, 0)
        unmoved.append((stored == room.masks[number]).mean())
        assert np.median(np.abs(depth - room.depth[number])) < 0.01
    assert np.mean(agreement) > 0.95 > np.mean(unmoved)


def test_fisheye_pictures_are_undistorted_where_only_they_are_there(scene, room, opened):
    folder = files.write_dslr(scene, room)
    (folder / "resized_undistorted_images").rename(folder / "resized_images")
    (folder / "nerfstudio" / "transforms_undistorted.json").unlink()
    c = room.intrinsics
    for number, picture in enumerate(room.pictures):
        bent = files.seen_by_fisheye(picture, c, files.FOLDED, 1)
        Image.fromarray(bent).save(folder / "resized_images" / dslr_name(number), format="PNG")
    capture = opened(scene)
    lens = Lens.of("OPENCV_FISHEYE", (c.width, c.height), (c.fx, c.fy, c.cx, c.cy, *files.FOLDED))
    camera = Undistortion(lens).camera
    assert {view.intrinsics for view in capture.views} == {camera}
    # Straight views of the same camera from the room's picture, by way of their rays.
    u, v = np.meshgrid(np.arange(c.width) + 0.5, np.arange(c.height) + 0.5)
    columns = ((u - camera.cx) / camera.fx * c.fx + c.cx - 0.5).round().astype(int).clip(0, c.width - 1)
    rows = ((v - camera.cy) / camera.fy * c.fy + c.cy - 0.5).round().astype(int).clip(0, c.height - 1)
    for number, pose in enumerate(room.poses):
        difference = np.abs(capture.picture(number).astype(int) - room.pictures[number][rows, columns])
        assert np.median(difference) <= 6
        assert capture.views[number].pose == pytest.approx(pose, abs=1e-9)
    assert capture.findings.provenance["pictures"]["undistorted"] == "here"


@pytest.mark.parametrize(("route", "numbers"), [("dslr", [0, 2, 3, 5]), ("dslr-test", [1, 4]), ("dslr-all", range(6))])
def test_the_list_that_was_asked_for_decides_which_pictures_are_read(scene, room, route, numbers, opened):
    files.write_dslr(scene, room, test=(1, 4))
    capture = opened(scene, route)
    assert [view.frame_id for view in capture.views] == [Path(dslr_name(n)).stem for n in numbers]
    assert [view.timestamp for view in capture.views] == pytest.approx([n / 3 for n in range(len(numbers))])
    assert [(capture.picture(i) == room.pictures[n]).all() for i, n in enumerate(numbers)] == [True] * len(numbers)


def test_missing_masks_and_depth_are_none_and_their_frames_are_told_apart(scene, room, opened):
    folder = files.write_dslr(scene, room)
    files.write_rendered(scene, room)
    stems = [Path(dslr_name(number)).stem for number in range(6)]
    (folder / "render_instance" / f"{stems[1]}.png").unlink()
    (folder / "render_depth" / f"{stems[2]}.png").unlink()
    (folder / "render_depth" / f"{stems[3]}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    capture = opened(scene)
    assert capture.mask(1) is None and capture.depth(2) is None and capture.depth(3) is None
    assert [view.samplable for view in capture.views] == [True, True, False, False, True, True]
    assert [view.samplable for view in opened(scene, render=True).views] == [True] * 6
    assert len(capture.findings.problems) == 1 and f"{stems[3]}.png" in capture.findings.problems[0]


def test_lost_poses_are_none_and_pictures_without_camera_are_left_out(scene, room, opened):
    folder = files.write_dslr(scene, room)
    files.write_rendered(scene, room)
    records = sorted((folder / "camera").iterdir())
    with np.load(records[1]) as record:
        np.savez(records[1], **{**record, "extrinsic": np.full((4, 4), -np.inf)})
    records[4].unlink()
    (folder / "resized_undistorted_images" / dslr_name(5)).write_bytes(b"no picture")
    capture = opened(scene)
    assert [view.frame_id for view in capture.views] == [Path(dslr_name(n)).stem for n in range(4)]
    assert [view.pose is None for view in capture.views] == [False, True, False, False]
    assert [view.samplable for view in capture.views] == [True, False, True, True]
    problems = "\n".join(capture.findings.problems)
    assert dslr_name(5) in problems and records[1].name in problems


@pytest.mark.parametrize("kind", ["whole", "zlib", "lz4"])
def test_an_iphone_video_is_read_back_with_every_layout_of_its_depth(scene, room, kind, opened):
    if kind == "lz4":
        pytest.importorskip("lz4.block")
    files.write_iphone(scene, room, kind)
    with opened(scene, "iphone") as capture:
        assert_annotated(capture, room)
        assert capture.fps == pytest.approx(30) and len(capture.views) == len(room.poses)
        pictures = list(capture.pictures())
        for number, (view, pose) in enumerate(zip(capture.views, room.poses, strict=True)):
            assert view.frame_id == f"frame_{2 * number:06d}" and view.samplable
            assert view.timestamp == pytest.approx(number / 30)
            assert view.pose == pytest.approx(pose, abs=1e-9)
            assert (pictures[number] == room.pictures[number]).all()
            depth = capture.depth(number)
            assert depth is not None and depth.shape == (192, 256)
            assert np.abs(depth - files.phone_depth(room.depth[number])).max() <= MILLIMETRE
            assert capture.mask(number) is None
        assert (capture.picture(3) == room.pictures[3]).all()
        assert capture.findings.problems == ()


def test_intrinsics_are_each_frames_own_at_the_size_of_the_picture(scene, room, opened):
    files.write_iphone(scene, room)
    c = room.intrinsics
    for number, view in enumerate(opened(scene, "iphone").views):
        breath = 1 + 0.001 * 2 * number
        found = view.intrinsics
        assert (found.width, found.height) == (c.width, c.height)
        assert (found.fx, found.fy) == pytest.approx((c.fx * breath, c.fy * breath))
        assert (found.cx, found.cy) == pytest.approx((c.cx, c.cy))


def test_the_depth_camera_is_the_colour_camera_over_seven_and_a_half(scene, room, opened):
    files.write_iphone(scene, room)
    capture = opened(scene, "iphone")
    view, depth = capture.views[2], capture.depth(2)
    assert depth is not None and view.pose is not None
    native = files.phone_camera(room.intrinsics, 4)
    own = [value / 7.5 for value in (native.fx, native.fy, native.cx, native.cy)]
    scaled = depth.shape[1] / view.intrinsics.width
    assert [getattr(view.intrinsics, k) * scaled for k in ("fx", "fy", "cx", "cy")] == pytest.approx(own)
    rows, columns = np.nonzero(depth)
    rays = np.stack([(columns + 0.5 - own[2]) / own[0], (rows + 0.5 - own[3]) / own[1], rows * 0 + 1.0], axis=1)
    points = (rays * depth[rows, columns, None]) @ view.pose[:3, :3].T + view.pose[:3, 3]
    low, high = room.points.min(0), room.points.max(0)
    assert ((points > low - 0.05) & (points < high + 0.05)).all() and points[:, 2].min() < low[2] + 0.1


def test_a_frame_without_aligned_pose_has_none_though_the_phones_own_pose_is_there(scene, room, opened):
    files.write_iphone(scene, room, lost=4)
    capture = opened(scene, "iphone")
    assert [view.pose is None for view in capture.views] == [n == 2 for n in range(6)]
    assert [view.samplable for view in capture.views] == [n != 2 for n in range(6)]
    assert "frame_000004" in capture.findings.problems[0] and "1 of 6" in capture.findings.problems[0]


def test_depth_that_ends_early_leaves_the_last_frames_unsampled_unless_it_is_rendered(scene, room, opened):
    folder = files.write_iphone(scene, room, "zlib")
    content = (folder / "depth.bin").read_bytes()
    (folder / "depth.bin").write_bytes(content[:-10])
    capture = opened(scene, "iphone")
    assert [view.samplable for view in capture.views] == [True] * 6  # the last frame of twelve is not looked at
    (folder / "depth.bin").write_bytes(content[: len(content) * 2 // 3])
    capture = opened(scene, "iphone")
    assert [view.samplable for view in capture.views][:3] == [True] * 3 and not capture.views[5].samplable
    assert capture.depth(5) is None and any("cut short" in line for line in capture.findings.problems)
    filled = opened(scene, "iphone", render=True)
    depth, mask = filled.depth(5), filled.mask(5)
    assert filled.views[5].samplable and depth is not None and mask is not None


def test_a_scene_without_depth_stream_is_read_without_depth(scene, room, opened):
    folder = files.write_iphone(scene, room)
    (folder / "depth.bin").unlink()
    capture = opened(scene, "iphone")
    assert capture.depth(0) is None and capture.views[0].samplable
    assert any("depth.bin: no such file" in line for line in capture.findings.problems)


def test_colmap_poses_of_the_iphone_are_inverted_and_its_pictures_undistorted(scene, room, opened):
    folder = files.write_iphone(scene, room)
    poses = {f"frame_{2 * number:06d}.jpg": room.poses[number] for number in (0, 2, 5)}
    c = files.phone_camera(room.intrinsics, 0)
    files.write_text_model(folder / "colmap", poses, "OPENCV", c, (0.05, -0.1, 0.001, -0.001))
    capture = opened(scene, "iphone-colmap")
    assert [view.pose is not None for view in capture.views] == [True, False, True, False, False, True]
    assert [view.samplable for view in capture.views] == [True, False, True, False, False, True]
    for number in (0, 2, 5):
        assert capture.views[number].pose == pytest.approx(room.poses[number], abs=1e-9)
    lens = Lens.of("OPENCV", files.PHONE_SIZE, (c.fx, c.fy, c.cx, c.cy, 0.05, -0.1, 0.001, -0.001))
    expected = Undistortion(lens.resized(64, 48))
    assert capture.views[0].intrinsics == expected.camera
    assert (capture.picture(2) == expected.picture(room.pictures[2])).all()
    assert any("poses of 3 of 6 frames" in line for line in capture.findings.problems)


def test_scenes_are_found_by_lists_wherever_the_download_keeps_them(tmp_path):
    scene_ids = ["00777c41d4", "036bce3393", "09c1414f1b", "0a5c013435"]
    for scene_id in scene_ids[:3]:
        (tmp_path / "data" / scene_id / "scans").mkdir(parents=True)
    (tmp_path / "data" / "not a scene").mkdir()
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "nvs_sem_train.txt").write_text("09c1414f1b\n00777c41d4\n\n0a5c013435\n")
    (tmp_path / "splits" / "nvs_sem_val.txt").write_text("036bce3393\n")
    (tmp_path / "splits" / "extra.txt").write_text("00777c41d4\n036bce3393")
    assert [s.scene_id for s in find_scans(tmp_path)] == scene_ids[:3]
    assert [s.split for s in find_scans(tmp_path)] == ["nvs_sem_train", "nvs_sem_val", "nvs_sem_train"]
    assert [s.scene_id for s in find_scans(tmp_path, "train")] == ["00777c41d4", "09c1414f1b"]
    assert [s.scene_id for s in find_scans(tmp_path / "data", "nvs_sem_val")] == ["036bce3393"]
    assert [s.split for s in find_scans(tmp_path, "extra")] == ["extra", "extra"]
    assert {s.place for s in find_scans(tmp_path)} == set(scene_ids[:3])
    assert {find_scans(tmp_path, route=route)[0].route for route in ROUTES} == set(ROUTES)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("missing",), "no such folder"),
        ((".",), "has no scene"),
        ((".", "train"), "splits folder"),
        ((".", None, "lidar"), "--route lidar"),
    ],
)
def test_what_is_missing_of_a_download_is_named(tmp_path, arguments, reason):
    folder, split, route = (*arguments, None, "dslr")[:3] if len(arguments) < 3 else arguments
    with pytest.raises(UserError, match=reason):
        find_scans(tmp_path / folder, split, route=route or "dslr")
