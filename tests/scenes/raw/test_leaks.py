"""No scene that is evaluated on, and no other scan of its place, goes unnoticed; splits keep places whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.invented_scenes import make_box, make_pose, make_scene
from vlm3r.cli import app
from vlm3r.commands.scenes_check import named_scenes
from vlm3r.errors import UserError
from vlm3r.qa.splits import Splits
from vlm3r.scenes.places import place_of, room_of
from vlm3r.scenes.raw.leaks import Named, find_leaks
from vlm3r.scenes.raw.splits import divide, read_scene_list, write_scene_list
from vlm3r.scenes.schema import Scene
from vlm3r.scenes.storage import write_scene

VISITS = {"41069021": "421380", "41069025": "421380", "47333462": "422012"}


def leaking(training: list[Named], evaluated: list[Named], visits: dict[str, str] | None = None) -> list[str]:
    return [leak.training.scene_id for leak in find_leaks(training, evaluated, visits).found]


@pytest.mark.parametrize(
    ("training", "evaluated", "leaks"),
    [
        (("scene0000_00", "scannet"), ("scene0000_00", "scannet"), True),
        (("scene0000_00", "scannet"), ("scene0000_01", "scannet"), True),
        (("scene0000_00", "scannet"), ("scene0001_00", "scannet"), False),
        (("scene0000_02", "scannet"), ("scene0000_01", None), True),
        (("7b6477cb95", "scannetpp"), ("7b6477cb95", "scannetpp"), True),
        (("7b6477cb95", "scannetpp"), ("c50d2d1d42", "scannetpp"), False),
        (("41069021", "arkitscenes"), ("41069025", "arkitscenes"), True),
        (("41069021", "arkitscenes"), ("47333462", "arkitscenes"), False),
        (("41069021", None), ("41069025", None), True),
        (("room_0_00001", "synthetic"), ("room_0_00001", "scannet"), False),
    ],
)
def test_a_scan_leaks_where_its_place_is_evaluated_on(training, evaluated, leaks) -> None:
    assert bool(leaking([Named(*training)], [Named(*evaluated)], VISITS)) is leaks


def test_a_visit_is_no_video_though_both_are_numbers() -> None:
    assert leaking([Named("421380", "arkitscenes")], [Named("41069025", "arkitscenes")], VISITS) == []


def test_visits_recorded_with_prepared_scenes_need_no_table() -> None:
    training = [Named("41069021", "arkitscenes", "421380"), Named("47333462", "arkitscenes", "422012")]
    assert leaking(training, [Named("41069025", "arkitscenes", "421380")]) == ["41069021"]


def test_scans_of_unknown_visit_are_counted() -> None:
    found = find_leaks([Named("1", "arkitscenes")], [Named("2", "arkitscenes"), Named("3", "arkitscenes")], {"2": "9"})
    assert found.unplaced == 1


def test_a_line_says_which_scan_and_what_to_do() -> None:
    [leak] = find_leaks([Named("scene0000_01")], [Named("scene0000_00", "scannet", None, "test.jsonl")]).found
    assert leak.line() == "shows the same place as scene0000_00 of test.jsonl; leave it out of training"


def scene_named(scene_id: str, dataset: str, **provenance: str) -> Scene:
    scene = make_scene([("chair", make_box((1, 1, 0.5), (1, 1, 1)))], [make_pose((0, 0, 1.5))])
    return replace(scene, scene_id=scene_id, dataset=dataset, provenance=provenance)


def test_the_place_is_the_recorded_one_else_the_room_of_the_scan() -> None:
    assert place_of(scene_named("41069021", "arkitscenes", place="421380")) == "421380"
    assert place_of(scene_named("scene0011_01", "scannet")) == "scene0011"
    assert place_of(scene_named("walk_3+1", "scannet", cut_from="scene0011_00")) == "scene0011"
    assert place_of(scene_named("7b6477cb95", "scannetpp")) == "7b6477cb95"


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Three scans of two ScanNet rooms, two of one flat of ARKitScenes and another."""
    folder = tmp_path / "prepared"
    scenes = [
        *(scene_named(name, "scannet") for name in ("scene0000_00", "scene0000_01", "scene0050_00")),
        *(scene_named(video, "arkitscenes", place=visit) for video, visit in VISITS.items()),
    ]
    for scene in scenes:
        (folder / scene.scene_id).mkdir(parents=True)
        write_scene(scene, folder / scene.scene_id / "scene.json")
    return folder


def rows(path: Path, *records: dict) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_benchmarks_and_training_files_name_their_scenes_in_every_published_form(tmp_path: Path) -> None:
    asked = {"dataset": "ScanNet", "scene_name": "scene0568_00", "question": "?"}
    learnt = {"video": "scannetpp/videos/train/7b6477cb95.mp4", "conversations": []}
    ours = {"data_source": "arkitscenes", "scene_name": "41069021", "video": "a/video.mp4", "conversations": []}
    file = rows(tmp_path / "test.jsonl", asked, asked, learnt, ours, {"text": "no scene"})
    found = [(scene.dataset, scene.scene_id) for scene in named_scenes(file)]
    assert found == [("scannet", "scene0568_00"), ("scannetpp", "7b6477cb95"), ("arkitscenes", "41069021")]
    as_list = tmp_path / "train.json"
    as_list.write_text(json.dumps([learnt]))
    assert [scene.scene_id for scene in named_scenes(as_list)] == ["7b6477cb95"]
    assert [scene.scene_id for scene in named_scenes(tmp_path)] == ["scene0568_00", "7b6477cb95", "41069021"]
    write_scene_list(tmp_path / "list.txt", ["scene0568_00"])
    assert [scene.scene_id for scene in named_scenes(tmp_path / "list.txt")] == ["scene0568_00"]


def test_a_table_names_scenes_too(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"dataset": ["arkitscenes"], "scene_name": [41069021]}), tmp_path / "test.parquet")
    [scene] = named_scenes(tmp_path / "test.parquet")
    assert (scene.dataset, scene.scene_id) == ("arkitscenes", "41069021")


def test_a_file_without_scenes_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names no scenes"):
        named_scenes(rows(tmp_path / "test.jsonl", {"text": "nothing"}))


def test_checking_prepared_scenes_names_the_leaks(prepared: Path, tmp_path: Path) -> None:
    benchmark = rows(
        tmp_path / "test.jsonl",
        {"dataset": "scannet", "scene_name": "scene0000_01"},
        {"dataset": "arkitscenes", "scene_name": "41069025"},
    )
    out = tmp_path / "leaking.txt"
    ended = CliRunner().invoke(
        app, ["scenes", "leaks", str(prepared), "--benchmark", str(benchmark), "--out", str(out)]
    )
    assert ended.exit_code == 1
    assert read_scene_list(out) == ["41069021", "41069025", "scene0000_00", "scene0000_01"]
    assert "4 of 6 scenes leak: 2 scenes are evaluated on" in ended.stdout
    checked = CliRunner().invoke(
        app, ["scenes", "check", str(prepared), "--benchmark", str(benchmark), "--workers", "1"]
    )
    assert checked.exit_code == 1
    assert "scene0000_00: leak: shows the same place as scene0000_01 of test.jsonl; leave it out" in checked.stdout
    assert "41069021: leak: shows the same place as 41069025" in checked.stdout
    assert "47333462: leak" not in checked.stdout


def test_splitting_keeps_places_whole_and_evaluated_scenes_out(prepared: Path, tmp_path: Path) -> None:
    benchmark, out = rows(tmp_path / "test.jsonl", {"scene_name": "scene0000_01"}), tmp_path / "splits"
    arguments = ["scenes", "split", str(prepared), "--out", str(out), "--shares", "train=0.5,val=0.5"]
    ended = CliRunner().invoke(app, [*arguments, "--benchmark", str(benchmark)])
    assert ended.exit_code == 0
    parts = {name: read_scene_list(out / f"{name}.txt") for name in ("train", "val", "evaluated")}
    assert parts["evaluated"] == ["scene0000_00", "scene0000_01"]
    assert sorted(parts["train"] + parts["val"]) == ["41069021", "41069025", "47333462", "scene0050_00"]
    assert ("41069021" in parts["train"]) == ("41069025" in parts["train"])


def test_parts_are_those_that_questions_are_split_by() -> None:
    splits = Splits(seed=4)
    places = {f"scene{room:04d}_{scan:02d}": f"scene{room:04d}" for room in range(400) for scan in range(3)}
    parts = divide(places, splits.part, splits.shares)
    assert {part: len(scenes) for part, scenes in parts.items()} == pytest.approx(
        {"train": 960, "val": 120, "test": 120}, rel=0.25
    )
    assert all(splits.part(scene) == part for part, scenes in parts.items() for scene in scenes)
    rooms = [{room_of(scene) for scene in scenes} for scenes in parts.values()]
    assert not rooms[0] & rooms[1] and not rooms[0] & rooms[2] and not rooms[1] & rooms[2]


def test_lists_come_back_as_written_and_comments_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    write_scene_list(path, ["scene0000_00", "b"], ["two scenes", "seed 0"])
    assert path.read_text() == "# two scenes\n# seed 0\nscene0000_00\nb\n"
    path.write_text(path.read_text() + "\n  c  # added by hand\nb\n")
    assert read_scene_list(path) == ["scene0000_00", "b", "c"]


@pytest.mark.parametrize("content", [b"a b\n", b"\xff\xfe\x00a\n"])
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"train\.txt: .*one"):
        read_scene_list(tmp_path / "train.txt")


@pytest.mark.parametrize("scene_id", ["a b", "a#b", "", "a\nb", "\ud800"])
def test_an_id_that_no_list_can_hold_is_refused(tmp_path: Path, scene_id: str) -> None:
    with pytest.raises(UserError, match="rename the scene"):
        write_scene_list(tmp_path / "train.txt", [scene_id])
