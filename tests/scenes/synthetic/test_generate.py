"""`vlm3r scenes generate`: whole scenes, the same whatever makes them, and nothing half written."""

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest

from vlm3r.commands.scenes import generate
from vlm3r.errors import UserError
from vlm3r.processing.sampling import FrameSampling
from vlm3r.scenes.storage import read_scene
from vlm3r.scenes.synthetic.generate import RoomTask, make_scene, sampled_positions
from vlm3r.scenes.synthetic.pictures import read_png
from vlm3r.scenes.synthetic.settings import SceneSettings
from vlm3r.scenes.synthetic.walk import WalkSettings

QUICK = SceneSettings(fps=1.5, sampled_frames=8, walk=WalkSettings(shortest=6.0, pause=1.5))
SEED = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two scenes, made in this process."""
    out = tmp_path_factory.mktemp("rooms")
    assert generate(2, SEED, out, QUICK, workers=1) == 0
    return out


def folders(out):
    return sorted(path for path in out.iterdir() if path.is_dir())


def digests(folder):
    """Hash of every file but the pictures for people, which name no facts of their own."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_scene_folder_holds_everything_and_nothing_temporary(made):
    assert [path.name for path in folders(made)] == ["room_3_00000", "room_3_00001"]
    for folder in folders(made):
        scene = read_scene(folder / "scene.json")
        assert {path.name for path in folder.iterdir()} == {
            "scene.json", "video.mp4", "depth", "instances", "contact_sheet.png", "map.png",
        }  # fmt: skip
        for frame in scene.seen_frames:
            assert (folder / frame.depth).exists() and (folder / frame.mask).exists()
        assert len(list((folder / "depth").iterdir())) == len(scene.seen_frames) == 8


def test_the_video_has_a_frame_for_every_pose(made):
    for folder in folders(made):
        scene = read_scene(folder / "scene.json")
        with av.open(str(folder / "video.mp4")) as video:
            times = [float(frame.time) for frame in video.decode(video=0)]
        assert times == pytest.approx([frame.timestamp for frame in scene.frames], abs=1e-3)


def test_masks_say_what_the_sightings_say(made):
    for folder in folders(made):
        scene = read_scene(folder / "scene.json")
        for frame in scene.seen_frames:
            ids, counts = np.unique(read_png(folder / frame.mask), return_counts=True)
            shown = {int(i): int(n) for i, n in zip(ids, counts, strict=True) if i}
            assert shown == {s.instance_id: s.pixels for s in frame.sightings}


def test_every_object_pixel_lies_in_its_box(made):
    for folder in folders(made):
        scene = read_scene(folder / "scene.json")
        camera = scene.intrinsics
        column, row = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        rays = np.stack([(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, np.ones_like(row)], axis=-1)
        for frame in scene.seen_frames:
            depth, ids = read_png(folder / frame.depth) / 1000, read_png(folder / frame.mask)
            world = (rays * depth[..., None]) @ frame.pose[:3, :3].T + frame.pose[:3, 3]
            for thing in scene.objects:
                points = world[ids == thing.instance_id]
                local = np.abs((points - thing.box.centre) @ thing.box.axes.T) - thing.box.size / 2
                inside = (local < 0.03).all(axis=1)
                assert inside.all() if len(points) < 20 else inside.mean() > 0.99, (thing.category, frame.frame_id)


def test_the_sampled_frames_are_those_that_a_model_samples(made):
    assert sampled_positions(100, 32) == np.linspace(0, 99, 32, dtype=int).tolist()
    for folder in folders(made):
        scene = read_scene(folder / "scene.json")
        assert list(scene.sampled) == np.linspace(0, len(scene.frames) - 1, 8, dtype=int).tolist()
    assert FrameSampling is not None


def test_two_workers_make_the_same_bytes(made, tmp_path):
    assert generate(2, SEED, tmp_path, QUICK, workers=2) == 0
    for one, other in zip(folders(made), folders(tmp_path), strict=True):
        assert digests(one) == digests(other)


def test_a_killed_run_leaves_whole_scenes_and_is_continued_to_the_same_end(made, tmp_path):
    code = (
        "from pathlib import Path; from tests.scenes.synthetic.test_generate import QUICK, SEED;"
        "from vlm3r.commands.scenes import generate; generate(2, SEED, Path(__import__('sys').argv[1]), QUICK, 1)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".*.incomplete/depth/*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert list(tmp_path.glob(".*.incomplete")), "the run was over before it could be killed"
    for folder in tmp_path.glob("room_*"):
        read_scene(folder / "scene.json")
    assert generate(2, SEED, tmp_path, QUICK, workers=1) == 0
    assert not list(tmp_path.glob(".*"))
    for one, other in zip(folders(made), folders(tmp_path), strict=True):
        assert digests(one) == digests(other)


def test_finished_scenes_are_kept(made, capsys):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert generate(2, SEED, made, QUICK, workers=1) == 0
    assert "0 made, 2 were there" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_other_settings_in_the_same_folder_are_refused_scene_by_scene(made, capsys):
    assert generate(2, SEED, made, dataclasses.replace(QUICK, fps=2.0), workers=1) == 1
    error = capsys.readouterr().err
    assert "room_3_00000" in error and "another settings" in error and "--out" in error


def test_one_bad_room_does_not_stop_the_others(tmp_path, capsys):
    (tmp_path / "room_3_00000").mkdir()
    (tmp_path / "room_3_00000" / "scene.json").write_text("{")
    assert generate(2, SEED, tmp_path, QUICK, workers=1) == 1
    captured = capsys.readouterr()
    assert "room_3_00000" in captured.err and "1 of 2 rooms" in captured.out
    assert (tmp_path / "room_3_00001" / "scene.json").exists()


def test_a_home_that_cannot_be_walked_is_an_error_with_a_remedy(tmp_path):
    impossible = dataclasses.replace(QUICK, attempts=1, walk=WalkSettings(clearance=9.0))
    with pytest.raises(UserError, match="try another --seed"):
        make_scene(RoomTask(tmp_path, SEED, 0, impossible))
    assert not list(tmp_path.iterdir())


def test_the_place_must_be_writable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --out"):
        generate(1, SEED, tmp_path / "file" / "rooms", QUICK, workers=1)


def test_provenance_tells_how_to_make_it_again(made):
    provenance = json.loads((made / "room_3_00001" / "scene.json").read_text())["provenance"]
    assert (provenance["seed"], provenance["index"]) == (SEED, 1)
    assert provenance["settings"]["fps"] == 1.5 and provenance["renderer"] in ("opengl", "raycast")


def test_settings_are_checked():
    with pytest.raises(UserError, match="quality"):
        SceneSettings(quality="superb")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="frames per second"):
        SceneSettings(fps=-1)


def test_a_frame_rate_that_leaves_a_model_short_of_frames_is_refused():
    with pytest.raises(UserError, match=r"2\.28 frames per second: the shortest walk.*give 2\.3 or more"):
        SceneSettings(fps=2.28)
    assert SceneSettings(fps=2.3).frame_rate * WalkSettings().shortest >= 32
