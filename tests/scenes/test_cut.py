"""Clips hold the walk's own pictures and records, and a second run makes nothing new."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.qa.scenes_by_chance import random_scene
from vlm3r import cli
from vlm3r.commands import scenes as command
from vlm3r.errors import UserError
from vlm3r.processing.video import decode_indices
from vlm3r.scenes.cut import Cut, CutTask, cut_scene
from vlm3r.scenes.schema import Scene
from vlm3r.scenes.storage import find_scenes, read_scene, write_scene
from vlm3r.scenes.synthetic.pictures import write_video

FPS = 4.0


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """A scene whose video shows frame i as grey level 8 i, every second frame sampled."""
    drawn = random_scene(3)
    frames = tuple(replace(frame, frame_id=i, timestamp=i / FPS) for i, frame in enumerate(drawn.frames))
    scene = replace(drawn, frames=frames, sampled=tuple(range(0, len(frames), 2)), video="video.mp4")
    folder = tmp_path / "walks" / scene.scene_id
    folder.mkdir(parents=True)
    write_video(folder / "video.mp4", (np.full((32, 48, 3), 8 * i, np.uint8) for i in range(len(frames))), FPS)
    write_scene(scene, folder / "scene.json")
    return folder / "scene.json"


def clips_of(folder: Path) -> list[tuple[Path, Scene]]:
    return [(path.parent, read_scene(path)) for path in sorted(find_scenes(folder))]


def test_frames_with_names_are_found_by_their_place_in_the_video(walk: Path, tmp_path: Path) -> None:
    scene = read_scene(walk)
    named = tuple(replace(frame, frame_id=f"DSC{i:05d}", video_index=i) for i, frame in enumerate(scene.frames))
    write_scene(replace(scene, frames=named), walk)
    cut_scene(CutTask(walk, tmp_path / "clips", 2, 1, 0))
    ((folder, clip),) = clips_of(tmp_path / "clips")
    shown = [int(name[3:]) for name in clip.provenance["cut_frames"]]
    levels = decode_indices(folder / "video.mp4", range(2)).frames.reshape(2, -1).mean(1)
    assert np.abs(levels - 8 * np.array(shown)).max() < 4
    assert [frame.position for frame in clip.frames] == [0, 1]


@pytest.mark.parametrize("frames", [1, 3])
def test_clips_show_neighbouring_sampled_frames_with_their_records(walk: Path, tmp_path: Path, frames: int) -> None:
    scene = read_scene(walk)
    out = tmp_path / "clips"
    assert cut_scene(CutTask(walk, out, frames, 2, 0)) == Cut(2, 0)
    found = clips_of(out)
    assert len({folder.name for folder, _ in found}) == 2
    for folder, clip in found:
        original = [scene.frames[i] for i in clip.provenance["cut_frames"]]
        assert set(np.diff(clip.provenance["cut_frames"])) <= {2}
        pictures = decode_indices(folder / "video.mp4", range(frames)).frames
        levels = pictures.reshape(frames, -1).mean(1)
        assert np.abs(levels - [8 * int(frame.frame_id) for frame in original]).max() < 4
        assert [frame.frame_id for frame in clip.frames] == list(range(frames))
        for ours, theirs in zip(clip.frames, original, strict=True):
            assert np.array_equal(ours.pose, theirs.pose)
            assert ours.sightings == theirs.sightings
            assert ours.depth is None and ours.mask is None
        assert clip.scene_id == folder.name and clip.sampled is None
        if frames > 1:
            assert clip.frames[1].timestamp == pytest.approx(2 / FPS)


def test_what_is_there_is_kept_and_no_more_clips_than_places_are_made(walk: Path, tmp_path: Path) -> None:
    out = tmp_path / "clips"
    sampled = len(read_scene(walk).seen_frames)
    assert cut_scene(CutTask(walk, out, sampled - 1, 9, 0)) == Cut(2, 0)
    assert cut_scene(CutTask(walk, out, sampled - 1, 9, 0)) == Cut(0, 2)
    assert cut_scene(CutTask(walk, out, sampled + 1, 9, 0)) == Cut(0, 0)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_scene_without_a_video_is_refused(walk: Path, tmp_path: Path) -> None:
    write_scene(replace(read_scene(walk), video=None), walk)
    with pytest.raises(UserError, match="has no video"):
        cut_scene(CutTask(walk, tmp_path / "clips", 1, 1, 0))


def test_a_scene_whose_id_is_a_path_gives_clips_inside_the_folder(walk: Path, tmp_path: Path) -> None:
    name = walk.parent.name
    write_scene(replace(read_scene(walk), scene_id="../elsewhere"), walk)
    assert cut_scene(CutTask(walk, tmp_path / "new" / "clips", 1, 1, 0)) == Cut(1, 0)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["clips"]
    assert [path.name.rpartition("_")[0] for path in (tmp_path / "new" / "clips").iterdir()] == [name]


def test_a_copy_of_a_scene_in_another_folder_gives_clips_of_its_own(walk: Path, tmp_path: Path) -> None:
    twin = Path(shutil.copytree(walk.parent, tmp_path / "walks" / "twin")) / walk.name
    assert [cut_scene(CutTask(file, tmp_path / "clips", 1, 2, 0)) for file in (walk, twin)] == [Cut(2, 0), Cut(2, 0)]


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_times_of_no_camera_are_refused(walk: Path, tmp_path: Path, factor: float) -> None:
    scene = read_scene(walk)
    frames = tuple(replace(frame, timestamp=factor * (frame.timestamp or 0)) for frame in scene.frames)
    write_scene(replace(scene, frames=frames), walk)
    with pytest.raises(UserError, match=r"scene\.json: its timestamps mean .* frames a second; give them in seconds"):
        cut_scene(CutTask(walk, tmp_path / "clips", 2, 1, 0))
    assert not (tmp_path / "clips").exists()


def test_what_stands_in_a_clips_place_is_kept_and_named(walk: Path, tmp_path: Path) -> None:
    cut_scene(CutTask(walk, tmp_path / "clips", 1, 1, 0))
    (clip,) = (tmp_path / "clips").iterdir()
    (clip / "scene.json").rename(clip / "mine.txt")
    with pytest.raises(UserError, match="remove what stands there"):
        cut_scene(CutTask(walk, tmp_path / "clips", 1, 1, 0))
    assert (clip / "mine.txt").exists()


def test_the_command_fails_where_no_scene_has_so_many_frames(walk: Path, tmp_path: Path, capsys) -> None:
    assert command.cut([tmp_path / "walks"], tmp_path / "c", 1000, 1, 0, workers=1) == 1
    assert "no scene has 1000 frames that a model sees; give a smaller --frames" in capsys.readouterr().err


def test_the_command_counts_what_it_made(walk: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    arguments = ["vlm3r", "scenes", "cut", "--scenes", str(tmp_path / "walks"), "--out", str(tmp_path / "c")]
    monkeypatch.setattr("sys.argv", [*arguments, "--clips", "3", "--workers", "1"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code in (0, None)
    assert "3 clips of 1 frames from 1 scenes" in capsys.readouterr().out
