"""`vlm3r qa`: bad scenes are named with their reason, the others are written, and the status says so."""

import copy
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.qa.conftest import rows_of
from tests.qa.scenes_by_chance import write_scenes
from vlm3r.commands.qa_cli import app
from vlm3r.errors import UserError

QUICK = "object_counting,object_size_estimation,room_size_estimation,camera_displacement"
DATA = Path(__file__).parents[1] / "data" / "qa"


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def generate(scenes, out, *more):
    settings = ("--workers", 1, "--per-scene", 1, "--tasks", QUICK)
    return call("generate", "--scenes", scenes, "--out", out, *settings, *more)


@pytest.fixture
def trio(tmp_path):
    """Three good scenes of ours."""
    return write_scenes(tmp_path / "scenes", 3, objects=12)


def change_scene(trio, change):
    path = trio / "chance00001" / "scene.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def set_in(record, path, value):
    for key in path[:-1]:
        record = record[key]
    record[path[-1]] = value


MIRRORED = [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
NAN = [[float("nan")] * 4] * 4
BROKEN = {
    "zero size": (("objects", 0, "size"), [0, 1, 1], "size .* has an edge that is not positive"),
    "NaN pose": (("frames", 3, "pose"), NAN, "pose is not finite"),
    "mirrored pose": (("frames", 3, "pose"), MIRRORED, "is mirrored"),
    "duplicate id": (("objects", 0, "instance_id"), 1, "instance_id 1 is used twice"),
    "duplicate frame": (("frames", 3, "frame_id"), 0, "frame_id 0 is used twice"),
    "no objects": (("objects",), None, "objects is null, not a list"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_scene_of_ours_is_named_and_the_others_written(trio, tmp_path, name):
    path, value, reason = BROKEN[name]
    change_scene(trio, lambda record: set_in(record, path, value))
    result = generate(trio, tmp_path / "q.jsonl")
    assert result.exit_code == 1
    assert "1 of 3 scenes had problems (1 left out): chance00001: " in result.stderr
    assert re.search(reason, result.stderr)
    assert {row["scene_name"] for row in rows_of(tmp_path / "q.jsonl")} == {"chance00000", "chance00002"}
    assert list(json.loads((tmp_path / "q.jsonl.meta.json").read_text())["failed"]) == ["chance00001"]


def test_a_truncated_scene_is_named_and_the_others_written(trio, tmp_path):
    path = trio / "chance00001" / "scene.json"
    path.write_text(path.read_text()[:5000])
    result = generate(trio, tmp_path / "q.jsonl", "--tolerate-problems")
    assert result.exit_code == 1  # a scene that is left out is never tolerated
    assert "cannot be read as JSON" in result.stderr
    assert {row["scene_name"] for row in rows_of(tmp_path / "q.jsonl")} == {"chance00000", "chance00002"}


def test_a_scene_without_frames_or_video_is_reported_and_used(trio, tmp_path):
    def without_frames(record):
        record.update(frames=[], video="video.mp4")

    change_scene(trio, without_frames)
    result = generate(trio, tmp_path / "q.jsonl")
    assert result.exit_code == 1
    assert "chance00001: no frames" in result.stderr
    assert "chance00001: video video.mp4 is missing" in result.stderr
    types = {row["question_type"] for row in rows_of(tmp_path / "q.jsonl") if row["scene_name"] == "chance00001"}
    assert "room_size_estimation" in types
    assert not any(name.startswith("camera") for name in types)
    assert generate(trio, tmp_path / "q.jsonl", "--overwrite", "--tolerate-problems").exit_code == 0


@pytest.fixture
def published(tmp_path):
    """Our copy of recorded published metadata, to be damaged: scene records, frame records, and a writer."""
    scenes = json.loads((DATA / "scannet_metadata_val.json").read_text())
    frames = json.loads((DATA / "scannet_frame_metadata_val.json").read_text())
    del scenes["synth0003_01"], frames["synth0003_01"]  # awkward on purpose

    def write():
        (tmp_path / "scannet_metadata_val.json").write_text(json.dumps(scenes))
        (tmp_path / "scannet_frame_metadata_val.json").write_text(json.dumps(frames))
        return tmp_path / "scannet_metadata_val.json"

    return scenes, frames, write


def first_box(scenes):
    return next(iter(scenes["synth0001_00"]["object_bboxes"].values()))[0]


def frame(frames):
    return frames["synth0001_00"]["frames"][4]


def pose(frames, value):
    frame(frames)["camera_pose_camera_to_world"] = value


def repeat_an_id(scenes, _):
    boxes = list(scenes["synth0001_00"]["object_bboxes"].values())
    boxes[1][0]["instance_id"] = boxes[0][0]["instance_id"]


DAMAGE = {
    "zero size": (lambda s, f: first_box(s).update(axesLengths=[0, 1, 1]), "not positive; left out"),
    "skewed axes": (lambda s, f: first_box(s).update(normalizedAxes=[1, 0, 0, 1, 1, 0, 0, 0, 1]), "not orthonormal"),
    "NaN pose": (lambda s, f: pose(f, NAN), "pose is not finite; used without pose"),
    "mirrored pose": (lambda s, f: pose(f, MIRRORED), "is mirrored; used without pose"),
    "duplicate id": (repeat_an_id, "is used by 2 objects; ignored"),
    "missing frames": (lambda s, f: f.pop("synth0001_00"), "no frame record"),
    "no frames": (lambda s, f: f["synth0001_00"].update(frames=[]), "no frames"),
    "a frame twice": (lambda s, f: f["synth0001_00"]["frames"].append(copy.deepcopy(frame(f))), "is listed twice"),
    "negative room": (lambda s, f: s["synth0001_00"].update(room_size=-4), "room_size is -4, which is negative"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_published_metadata_is_reported_per_scene(published, tmp_path, name):
    scenes, frames, write = published
    change, reason = DAMAGE[name]
    change(scenes, frames)
    path = write()
    result = generate(path, tmp_path / "q.jsonl")
    assert result.exit_code == 1
    assert "1 of 2 scenes had problems: scannet_metadata_val.json#synth0001_00: " in result.stderr
    assert reason in result.stderr
    assert {row["scene_name"] for row in rows_of(tmp_path / "q.jsonl")} == {"synth0001_00", "synth0002_00"}
    assert generate(path, tmp_path / "q.jsonl", "--overwrite", "--tolerate-problems").exit_code == 0


def test_undamaged_published_metadata_gives_status_0(published, tmp_path):
    result = generate(published[2](), tmp_path / "q.jsonl")
    assert result.exit_code == 0
    assert "problems" not in result.stderr
    assert "questions about 2 scenes" in result.stdout


def test_a_truncated_published_file_is_reported_and_the_other_used(published, tmp_path):
    path = published[2]()
    (tmp_path / "cut_metadata_val.json").write_text(path.read_text()[:3000])
    result = generate(tmp_path, tmp_path / "q.jsonl")
    assert result.exit_code == 1
    assert "cut_metadata_val.json: " in result.stderr
    assert "cannot be read as JSON" in result.stderr
    assert {row["scene_name"] for row in rows_of(tmp_path / "q.jsonl")} == {"synth0001_00", "synth0002_00"}


def test_an_unusable_published_record_leaves_out_that_scene_only(published, tmp_path):
    scenes, _, write = published
    scenes["synth0001_00"] = "lost"
    result = generate(write(), tmp_path / "q.jsonl")
    assert result.exit_code == 1
    assert "(1 left out): scannet_metadata_val.json#synth0001_00: " in result.stderr
    assert {row["scene_name"] for row in rows_of(tmp_path / "q.jsonl")} == {"synth0002_00"}


def test_frames_of_another_file_are_used_when_given(published, tmp_path):
    path = published[2]()
    moved = (tmp_path / "scannet_frame_metadata_val.json").rename(tmp_path / "moved.json")
    generate(path, tmp_path / "without.jsonl")
    generate(path, tmp_path / "with.jsonl", "--frames-file", moved)
    without, with_frames = ({r["question_type"] for r in rows_of(tmp_path / f"{n}.jsonl")} for n in ("without", "with"))
    assert "camera_displacement" in with_frames - without


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--scenes", "absent"), "no such file or folder"),
        (("--scenes", ".", "--cap", "chairs"), "give NAME=N"),
        (("--scenes", ".", "--shares", "most"), "give NAME=SHARE"),
        (("--scenes", ".", "--split", "dev"), "unknown split 'dev'"),
        (("--scenes", ".", "--tasks", "chess"), "unknown task 'chess'"),
        (("--scenes", "."), "holds no scene.json"),
    ],
)
def test_wrong_options_are_refused_in_one_line(tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    result = call("generate", "--out", "q.jsonl", *arguments)
    assert isinstance(result.exception, UserError)
    assert reason in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_a_broken_scene_is_named_and_the_others_are_described(trio, tmp_path):
    (trio / "chance00001" / "scene.json").write_text('{"format": "vlm3r-sc')
    found = call("describe", "--scenes", trio, "--out", tmp_path / "d.jsonl", "--per-kind", 1)
    assert found.exit_code == 1
    assert "chance00001: left out, " in found.stderr and "cannot be read as JSON" in found.stderr
    assert {row["scene_name"] for row in rows_of(tmp_path / "d.jsonl")} == {"chance00000", "chance00002"}


def test_a_folder_is_refused_before_scenes_are_described(trio, tmp_path):
    found = call("describe", "--scenes", trio, "--scenes", tmp_path / "absent", "--out", tmp_path, "--overwrite")
    assert isinstance(found.exception, UserError) and "is a folder; give the file" in str(found.exception)


def test_no_question_at_all_is_an_error_with_the_first_reason(trio, tmp_path):
    for path in trio.glob("*/scene.json"):
        path.write_text("{")
    result = generate(trio, tmp_path / "q.jsonl")
    assert isinstance(result.exception, UserError)
    assert "no scene gave a question" in str(result.exception)
    assert "cannot be read as JSON" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]


def test_inspect_and_stats_work_from_the_command_line(trio, tmp_path):
    out = tmp_path / "q.jsonl"
    assert generate(trio, out).exit_code == 0
    assert "4 questions in" in call("inspect", out, "--n", 4).stdout
    assert (tmp_path / "q.jsonl.html").stat().st_size > 10_000
    result = call("stats", out, "--out", tmp_path / "plots")
    assert "| room_size_estimation | 3 |" in result.stdout
    assert "numbers.png" in result.stdout
