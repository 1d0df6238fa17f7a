"""From scenes to a file: the same bytes however it is run, within its caps, whole or not at all."""

import collections
import json
import shutil
from pathlib import Path

import pytest

from tests.qa.conftest import rows_of
from tests.qa.scenes_by_chance import write_scenes
from vlm3r.errors import UserError
from vlm3r.qa import engine
from vlm3r.qa.engine import GenerateOptions, generate, meta_path
from vlm3r.qa.sources import find_sources
from vlm3r.qa.tasks import TASKS


def make(rooms: Path, out: Path, options: GenerateOptions | None = None, **settings):
    summary = generate(find_sources([rooms]), out, options or GenerateOptions(), **settings)
    return summary, rows_of(out)


def test_one_and_two_workers_write_the_same_bytes(rooms, tmp_path):
    options = GenerateOptions(debias=True, per_scene=2)
    generate(find_sources([rooms]), tmp_path / "one.jsonl", options, workers=1)
    generate(find_sources([rooms]), tmp_path / "two.jsonl", options, workers=2)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert meta_path(tmp_path / "one.jsonl").read_bytes() == meta_path(tmp_path / "two.jsonl").read_bytes()


def test_another_seed_gives_other_questions(rooms, tmp_path):
    ids = [{row["id"] for row in make(rooms, tmp_path / f"{s}", GenerateOptions(seed=s))[1]} for s in (0, 1)]
    assert not ids[0] & ids[1]


def test_a_scene_gives_the_same_proposals_whatever_stands_beside_it(rooms, tmp_path):
    alone = tmp_path / "alone"
    shutil.copytree(rooms / "chance00003", alone / "chance00003")
    options = GenerateOptions(balance=False)
    _, among = make(rooms, tmp_path / "among", options)
    _, single = make(alone, tmp_path / "single", options)
    texts = {tuple(sorted(row["provenance"]["slots"].items())) for row in among if row["scene_name"] == "chance00003"}
    assert {tuple(sorted(row["provenance"]["slots"].items())) for row in single} == texts


def test_every_task_asks_and_no_id_comes_twice(rooms, tmp_path):
    summary, rows = make(rooms, tmp_path / "q.jsonl")
    asked = {row["provenance"]["variant"] for row in rows}
    possible = {kind for task in TASKS.values() for kind in task.question_types}
    assert possible - asked <= {"obj_appearance_order"}  # rare in rooms where everything is seen at once
    assert len({row["id"] for row in rows}) == len(rows) == sum(summary.written.values())
    assert summary.scenes == 12
    assert not summary.failed


def test_caps_hold_per_scene_and_type(rooms, tmp_path):
    options = GenerateOptions(per_scene=3, caps={"object_rel_direction": 2, "object_rel_direction_v1": 5})
    _, rows = make(rooms, tmp_path / "q.jsonl", options)
    counts = collections.Counter((row["scene_name"], row["provenance"]["variant"]) for row in rows)
    most = collections.Counter()
    for (_, kind), number in counts.items():
        most[kind] = max(most[kind], number)
    assert most["object_rel_direction_v1"] == 5
    assert most["object_rel_direction_v2"] == most["object_rel_direction_v3"] == 2
    assert most["object_abs_distance"] == 3
    assert max(number for kind, number in most.items() if kind != "object_rel_direction_v1") == 3


def test_only_the_tasks_named_are_asked(rooms, tmp_path):
    _, rows = make(
        rooms, tmp_path / "q.jsonl", GenerateOptions(tasks=("room_size_estimation", "camera_obj_rel_dist_v2"))
    )
    assert {row["question_type"] for row in rows} == {"room_size_estimation", "camera_obj_rel_dist_v2"}


def test_splits_share_no_scene_and_leave_none_out(rooms, tmp_path):
    shares = {"train": 0.5, "val": 0.25, "test": 0.25}
    scenes = {}
    for part in shares:
        options = GenerateOptions(split=part, shares=shares, tasks=("object_size_estimation",), balance=False)
        scenes[part] = {row["scene_name"] for row in make(rooms, tmp_path / part, options)[1]}
    assert not scenes["train"] & scenes["val"] | scenes["train"] & scenes["test"] | scenes["val"] & scenes["test"]
    assert len(set().union(*scenes.values())) == 12


def test_scenes_of_too_few_frames_are_left_out_and_an_empty_file_says_so(rooms, tmp_path):
    frames = {source.open().scene_id: len(source.open().frames) for source in find_sources([rooms])}
    cut = tmp_path / "rooms"
    shutil.copytree(rooms, cut)
    short = cut / "chance00003" / "scene.json"
    record = json.loads(short.read_text())
    record["frames"] = record["frames"][:2]
    short.write_text(json.dumps(record))
    options = GenerateOptions(tasks=("object_size_estimation",), least_frames=min(frames.values()))
    _, rows = make(cut, tmp_path / "q.jsonl", options)
    assert {row["scene_name"] for row in rows} == set(frames) - {"chance00003"}
    with pytest.raises(UserError, match="there are no scenes with 10000 frames"):
        make(rooms, tmp_path / "none.jsonl", GenerateOptions(least_frames=10_000))


def test_a_run_that_was_cut_short_goes_on_where_it_was(rooms, tmp_path, monkeypatch):
    make(rooms, tmp_path / "whole.jsonl")
    asked = []

    def interrupted(settings, source):
        if len(asked) == 7:
            raise KeyboardInterrupt
        asked.append(source.key)
        return original(settings, source)

    original = engine.propose
    monkeypatch.setattr(engine, "propose", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(rooms, tmp_path / "cut.jsonl")
    assert not (tmp_path / "cut.jsonl").exists()
    spool = next(tmp_path.glob(".cut*/proposals.jsonl"))
    spool.write_bytes(spool.read_bytes()[:-100])  # the last line was half written
    monkeypatch.setattr(
        engine, "propose", lambda settings, source: asked.append(source.key) or original(settings, source)
    )
    asked.clear()
    make(rooms, tmp_path / "cut.jsonl")
    assert len(asked) == 12 - 6
    assert (tmp_path / "cut.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_an_existing_file_is_kept_unless_told_otherwise(rooms, tmp_path):
    out = tmp_path / "q.jsonl"
    out.write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        make(rooms, out)
    assert out.read_text() == "mine"
    assert make(rooms, out, overwrite=True)[1]


def test_a_failed_run_leaves_the_old_file(rooms, tmp_path, monkeypatch):
    out = tmp_path / "q.jsonl"
    out.write_text("mine")
    monkeypatch.setattr(engine, "make_row", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(rooms, out, overwrite=True)
    assert out.read_text() == "mine"


def test_the_sidecar_says_what_was_done(rooms, tmp_path):
    out = tmp_path / "q.jsonl"
    summary, rows = make(rooms, out, GenerateOptions(per_scene=2, seed=4), about={"scenes_from": [str(rooms)]})
    meta = json.loads(meta_path(out).read_text())
    assert meta["rows"] == len(rows)
    assert meta["rows_by_type"] == dict(summary.written)
    assert meta["options"]["per_scene"] == 2
    assert meta["options"]["seed"] == 4
    assert meta["scenes"] == 12
    assert meta["scenes_from"] == [str(rooms)]
    assert meta["failed"] == meta["warned"] == {}


def test_scenes_of_one_name_are_used_once(tmp_path):
    write_scenes(tmp_path / "s" / "a", 2, objects=12)
    write_scenes(tmp_path / "s" / "b", 1, objects=12)
    summary, rows = make(tmp_path / "s", tmp_path / "q.jsonl")
    assert list(summary.failed) == ["b/chance00000"]
    assert "was read before" in summary.failed["b/chance00000"]
    assert {row["provenance"]["source"] for row in rows} == {"a/chance00000", "a/chance00001"}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"tasks": ("object_weight",)}, "unknown task 'object_weight'"),
        ({"caps": {"object_weight": 2}}, "unknown task 'object_weight'"),
        ({"per_scene": 0}, "per-scene must be 1 or more"),
        ({"split": "dev"}, "unknown split 'dev': give train, val, test"),
        ({"style": "poem"}, "unknown style 'poem'"),
        ({"format": "xml"}, "unknown format 'xml'"),
        ({"seed": -1}, "give 0 or more"),
    ],
)
def test_wrong_options_are_refused(settings, reason):
    with pytest.raises(UserError, match=reason):
        GenerateOptions(**settings)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("object_rel_direction_medium", ["object_rel_direction_v2"]),
        ("object_rel_direction_v2", ["object_rel_direction_v2"]),
        ("camera_movement_direction_hard", ["camera_movement_direction_v1"]),
        ("object_rel_distance", ["object_rel_distance_v1", "object_rel_distance_v2", "object_rel_distance_v3"]),
    ],
)
def test_types_may_be_named_as_rows_name_them(name, kinds):
    assert list(GenerateOptions(tasks=(name,)).limits()) == kinds


@pytest.mark.parametrize("place", ["file/q.jsonl", "folder", "n" * 300])
def test_a_place_that_cannot_be_written_is_one_line_and_leaves_nothing(rooms, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError) as caught:
        make(rooms, tmp_path / place, GenerateOptions(tasks=("room_size_estimation",)), overwrite=True)
    assert "\n" not in str(caught.value) and place in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
