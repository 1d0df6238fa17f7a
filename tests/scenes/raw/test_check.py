"""Every fault of a prepared scene is made and named; a sound scene has none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.scenes.raw.prepared import (
    VIDEO,
    change_frames,
    change_maps,
    change_poses,
    change_scene,
    change_video,
    move_world,
    turn_pictures,
    write_prepared,
)
from tests.scenes.raw.room import FPS, TestRoom, make_room
from vlm3r.cli import app
from vlm3r.errors import UserError
from vlm3r.scenes.raw.check import CheckTask, SceneReport, check_folder, check_scene
from vlm3r.scenes.schema import OrientedBox, Room, Scene
from vlm3r.scenes.storage import SCENE_FILE


@pytest.fixture(scope="session")
def room() -> TestRoom:
    return make_room(16, 96, 72)


@pytest.fixture(scope="session")
def sound(room: TestRoom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("sound") / "scene0000_00", room)


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(sound, tmp_path / "scenes" / sound.name))


def report_of(folder: Path) -> SceneReport:
    return check_scene(CheckTask(folder.name, folder / SCENE_FILE))


def lines_of(folder: Path) -> list[str]:
    return [fault.line() for fault in report_of(folder).faults]


def rotation(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = {"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]]}[axis]
    result = np.eye(4)
    result[:3, :3] = turned
    return result


def shift(x: float, y: float, z: float) -> np.ndarray:
    result = np.eye(4)
    result[:3, 3] = x, y, z
    return result


FLIP_X = np.diag([-1.0, 1.0, 1.0, 1.0])
SWAP = np.eye(4)[[1, 0, 2, 3]]
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
Y_UP = rotation("x", -90)
Spoil = Callable[[Path, TestRoom], None]


def in_millimetres(pose: np.ndarray) -> np.ndarray:
    pose[:3, 3] *= 1000
    return pose


def move_cameras(folder: Path, east: float, up: float) -> None:
    move_world(folder, shift(east, 0, up), boxes=False)


def upside_down(picture: np.ndarray) -> np.ndarray:
    return picture[::-1, ::-1]


def smaller(picture: np.ndarray) -> np.ndarray:
    return picture[::3, ::3]


def sink_some(scene: Scene) -> Scene:
    first, *others = scene.objects
    box = OrientedBox(first.box.centre - [0, 0, 4.0], first.box.size, first.box.axes)
    return replace(scene, objects=(replace(first, box=box), *others))


DISAGREEMENTS: dict[str, tuple[str, str, Spoil]] = {
    "poses inverted": ("inverted", "world-to-camera", lambda f, r: change_poses(f, np.linalg.inv)),
    "poses inverted, of OpenGL": (
        "inverted",
        "world-to-camera with y up",
        lambda f, r: change_poses(f, lambda p: np.linalg.inv(p @ OPENGL)),
    ),
    "camera axes of OpenGL": ("mirrored", "OpenGL", lambda f, r: change_poses(f, lambda p: p @ OPENGL)),
    "poses mirrored": ("mirrored", "mirrored in x", lambda f, r: change_poses(f, lambda p: FLIP_X @ p @ FLIP_X)),
    "x and y exchanged": ("mirrored", "exchanged", lambda f, r: change_poses(f, lambda p: SWAP @ p @ FLIP_X)),
    "poses with y up": ("unaligned", "y up", lambda f, r: change_poses(f, lambda p: Y_UP @ p)),
    "poses in millimetres": ("units", "millimetres", lambda f, r: change_poses(f, in_millimetres)),
    "everything but poses upside down": ("rotated", "180 degrees", lambda f, r: turn_pictures(f, r, 2)),
    "everything but poses turned": ("rotated", "degrees against", lambda f, r: turn_pictures(f, r, 1)),
    "everything but poses mirrored": ("mirrored", "left to right", lambda f, r: turn_pictures(f, r, mirror=True)),
    "video upside down": ("rotated", "pictures are upside down", lambda f, r: change_video(f, r, upside_down)),
    "video mirrored": ("mirrored", "pictures are mirrored", lambda f, r: change_video(f, r, lambda p: p[:, ::-1])),
    "video turned by a quarter": ("rotated", "72x96", lambda f, r: change_video(f, r, np.rot90)),
    "video of another size": ("corrupt", "scale the intrinsics", lambda f, r: change_video(f, r, smaller)),
    "instance maps mirrored": ("mirrored", "maps are", lambda f, r: change_maps(f, "instances", lambda m: m[:, ::-1])),
    "instance maps turned": ("rotated", "instance map", lambda f, r: change_maps(f, "instances", np.rot90)),
    "ids one too high": ("ids", "one too high", lambda f, r: change_maps(f, "instances", lambda m: m + 1)),
    "ids of another run": (
        "ids",
        "agree with the 2-D boxes by 0%",
        lambda f, r: change_maps(f, "instances", lambda m: m + 900 * (m > 0)),
    ),
    "depth in centimetres": ("units", "not in millimetres", lambda f, r: change_maps(f, "depth", lambda d: d // 10)),
    "depth turned": ("rotated", "depth map", lambda f, r: change_maps(f, "depth", np.rot90)),
    "poses of another room": ("misplaced", "outside all boxes", lambda f, r: move_cameras(f, 40, 0)),
    "an object below the floor": ("misplaced", "below the floor", lambda f, r: change_scene(f, sink_some)),
    "cameras below the floor": ("misplaced", "below the floor", lambda f, r: move_cameras(f, 0, -4)),
    "poses unaligned": ("unaligned", "25 degrees from z", lambda f, r: move_world(f, rotation("x", 25), boxes=False)),
    "boxes unaligned": ("unaligned", "none is upright", lambda f, r: move_world(f, rotation("x", 25), poses=False)),
}  # fmt: skip


def test_a_sound_scene_has_no_faults(sound: Path) -> None:
    report = report_of(sound)
    assert report.faults == ()
    assert report.figures["instance maps"] == 1.0
    assert report.figures["2-D boxes"] > 0.6
    assert report.figures["depth maps"] > 0.95


@pytest.mark.parametrize("name", DISAGREEMENTS)
def test_what_contradicts_itself_is_named_with_a_remedy(folder: Path, room: TestRoom, name: str) -> None:
    kind, text, spoil = DISAGREEMENTS[name]
    spoil(folder, room)
    report = report_of(folder)
    assert report.wrong
    assert any(line.startswith(f"{kind}: ") and text in line for line in lines_of(folder)), lines_of(folder)
    assert all(fault.remedy and "\n" not in fault.line() for fault in report.faults)


@pytest.mark.parametrize(("quarters", "text"), [(3, "90 degrees clockwise"), (1, "counter-clockwise"), (2, "180")])
def test_a_whole_scene_that_lies_on_its_side_is_found_by_gravity(
    folder: Path, room: TestRoom, quarters: int, text: str
) -> None:
    turn_pictures(folder, room, quarters)
    camera = rotation("z", 90 * quarters)  # axes of a camera whose picture was turned counter-clockwise, y down
    change_poses(folder, lambda pose: pose @ camera)
    [line] = lines_of(folder)
    assert line.startswith("rotated: pictures lie turned by") and text in line


def test_a_whole_scene_with_y_up_is_found_by_gravity_and_boxes(folder: Path) -> None:
    move_world(folder, Y_UP)
    kinds = {fault.kind for fault in report_of(folder).faults}
    assert "unaligned" in kinds and "mirrored" not in kinds and "inverted" not in kinds
    assert sum("90 degrees" in line for line in lines_of(folder)) >= 1


def test_depth_maps_tell_a_mirrored_scene_whose_boxes_were_projected_with_the_same_poses(folder: Path) -> None:
    shutil.rmtree(folder / "instances")
    change_frames(folder, lambda frame: replace(frame, mask=None, sightings=()))
    assert not any(fault.serious for fault in report_of(folder).faults)
    change_poses(folder, lambda p: FLIP_X @ p @ FLIP_X)
    assert any(line.startswith("mirrored: poses are mirrored in x") for line in lines_of(folder))


def test_a_room_moved_and_turned_about_the_vertical_is_as_sound(folder: Path) -> None:
    move_world(folder, shift(3, -70, -1.3) @ rotation("z", 33))
    assert lines_of(folder) == []


def break_path(name: str) -> Spoil:
    def spoil(folder: Path, room: TestRoom) -> None:
        change_frames(folder, lambda frame: replace(frame, depth=f"../{name}") if frame.frame_id == 2 else frame)

    return spoil


def truncate(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def link_out(folder: Path, room: TestRoom) -> None:
    outside = folder.parents[1] / "outside.png"
    (folder / "depth" / "000002.png").rename(outside)
    (folder / "depth" / "000002.png").symlink_to(outside)


def mirror_in_the_file(folder: Path, room: TestRoom) -> None:
    record = json.loads((folder / SCENE_FILE).read_text())
    record["frames"][1]["pose"] = (np.array(record["frames"][1]["pose"]) @ FLIP_X).tolist()
    (folder / SCENE_FILE).write_text(json.dumps(record))


def shorter(folder: Path, room: TestRoom) -> None:
    change_video(folder, replace(room, pictures=room.pictures[:10]), lambda p: p)


def empty_depth(folder: Path, room: TestRoom) -> None:
    change_maps(folder, "depth", lambda depth: 0 * depth)


def colour_as_depth(folder: Path, room: TestRoom) -> None:
    Image.fromarray(room.pictures[0]).save(folder / "depth" / "000000.png")


BROKEN: dict[str, tuple[str, str, Spoil]] = {
    "video deleted": ("missing", VIDEO, lambda f, r: (f / VIDEO).unlink()),
    "video not recorded": ("missing", "no video", lambda f, r: change_scene(f, lambda s: replace(s, video=None))),
    "video cut": ("corrupt", VIDEO, lambda f, r: truncate(f / VIDEO, 0.5)),
    "video empty": ("corrupt", VIDEO, lambda f, r: truncate(f / VIDEO, 0)),
    "video of other frames": ("corrupt", "10 frames and the record 16", shorter),
    "video at another rate": ("corrupt", "another frame rate", lambda f, r: change_video(f, r, lambda p: p, 2 * FPS)),
    "depth deleted": ("missing", "such as depth/000003.png", lambda f, r: (f / "depth" / "000003.png").unlink()),
    "depth cut": ("corrupt", "cannot be read", lambda f, r: truncate(f / "depth" / "000003.png", 0.3)),
    "depth without depth": ("corrupt", "16 frames have a depth map without any depth", empty_depth),
    "depth in colour": ("corrupt", "no 16-bit numbers", colour_as_depth),
    "depth elsewhere": ("missing", "outside the scene's folder", break_path("000002.png")),
    "depth linked out": ("missing", "outside the scene's folder", link_out),
    "instance map deleted": ("missing", "instance map", lambda f, r: (f / "instances" / "000003.png").unlink()),
    "instance map empty": ("corrupt", "instance map", lambda f, r: truncate(f / "instances" / "000003.png", 0)),
    "record cut": ("unreadable", "JSON", lambda f, r: truncate(f / SCENE_FILE, 0.5)),
    "record empty": ("unreadable", "JSON", lambda f, r: truncate(f / SCENE_FILE, 0)),
    "pose mirrored in the file": ("mirrored", "frames[1]", mirror_in_the_file),
    "no intrinsics": ("missing", "intrinsics", lambda f, r: change_scene(f, lambda s: replace(s, intrinsics=None))),
    "no poses": ("frames", "no frame has a pose", lambda f, r: change_frames(f, lambda x: replace(x, pose=None))),
    "no objects": ("objects", "no objects", lambda f, r: change_scene(f, lambda s: replace(s, objects=()))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_missing_or_broken_is_named(folder: Path, room: TestRoom, name: str) -> None:
    kind, text, spoil = BROKEN[name]
    spoil(folder, room)
    assert report_of(folder).wrong
    assert any(line.startswith(f"{kind}: ") and text in line for line in lines_of(folder)), lines_of(folder)


def without_ids(scene: Scene) -> Scene:
    return replace(scene, objects=tuple(replace(thing, instance_id=None) for thing in scene.objects))


LIMITING: dict[str, tuple[str, str, Callable[[Scene], Scene]]] = {
    "ids": ("ids", "have no instance id", without_ids),
    "area": ("area", "area is unknown", lambda s: replace(s, room=Room())),
    "frames": ("frames", "only 4 frames", lambda s: replace(s, sampled=(0, 5, 10, 15))),
    "problems": (
        "noted",
        "pose 3 was lost and 1 more",
        lambda s: replace(s, problems=("pose 3 was lost", "and so on")),
    ),
}


@pytest.mark.parametrize("name", LIMITING)
def test_what_only_limits_questions_does_not_make_a_scene_wrong(folder: Path, name: str) -> None:
    kind, text, change = LIMITING[name]
    change_scene(folder, change)
    [fault] = report_of(folder).faults
    assert (fault.kind, fault.serious) == (kind, False) and text in fault.text


def test_lost_tracking_in_most_frames_is_said(folder: Path) -> None:
    change_frames(folder, lambda frame: replace(frame, pose=None) if frame.frame_id > 5 else frame)
    assert "frames: 10 of 16 frames have no pose" in "\n".join(lines_of(folder))


def test_halves_of_scenes_are_reported_beside_whole_ones(folder: Path) -> None:
    half = folder.parent / "scene0001_00"
    shutil.copytree(folder, half)
    (half / SCENE_FILE).unlink()
    (folder.parent / ".scene0002_00.incomplete").mkdir()
    report = check_folder(folder.parent)
    found = {scene.key: [fault.kind for fault in scene.faults] for scene in report.scenes}
    assert found == {folder.name: [], half.name: ["missing"], ".scene0002_00.incomplete": ["missing"]}
    assert report.wrong == 1


def test_an_empty_folder_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no"):
        check_folder(tmp_path)


def test_the_command_reports_draws_and_fails_where_a_scene_is_wrong(folder: Path, tmp_path: Path) -> None:
    wrong = Path(shutil.copytree(folder, folder.parent / "scene0007_00"))
    change_poses(wrong, np.linalg.inv)
    sheets, file = tmp_path / "sheets", tmp_path / "report.json"
    arguments = [
        "scenes",
        "check",
        str(folder.parent),
        "--sheets",
        str(sheets),
        "--report",
        str(file),
        "--workers",
        "1",
    ]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 1
    printed = ended.stdout
    assert "scene0007_00: inverted: poses are world-to-camera" in printed
    assert "1 of 2 scenes are sound" in printed
    record = json.loads(file.read_text())
    assert record["wrong"] == 1 and record["serious"]["inverted"] == 1
    for name in ("scene0000_00", "scene0007_00"):
        with Image.open(sheets / f"{name}.png") as sheet:
            assert min(sheet.size) > 300
    assert CliRunner().invoke(app, ["scenes", "check", str(folder), "--workers", "1"]).exit_code == 0
