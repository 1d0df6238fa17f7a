"""The published metadata files: what is accepted, what is reported, and that nothing is lost on the way back."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest

from vlm3r.errors import UserError
from vlm3r.scenes import load_published_metadata
from vlm3r.scenes.publish import save_published_metadata
from vlm3r.scenes.published import read_published
from vlm3r.scenes.storage import read_scene, scene_record, write_scene

EYE = [[1.0, 0, 0, 1.0], [0, 1, 0, 2.0], [0, 0, 1, 1.5], [0, 0, 0, 1]]


def box(centre=(0.0, 0.0, 0.5), size=(1.0, 2.0, 1.0), **more):
    return {"centroid": list(centre), "axesLengths": list(size), "normalizedAxes": [1, 0, 0, 0, 1, 0, 0, 0, 1], **more}


def scene_records():
    record = {
        "video_path": "v/s0.mp4",
        "dataset": "ScanNet",
        "room_size": 20.25,
        "room_center": [0, 0, 1.2],
        "object_counts": {"sofa": 1, "chair": 2},
        "object_bboxes": {
            "sofa": [box(instance_id=3, min=[9, 9, 9])],
            "chair": [box((1, 1, 0.4), instance_id=4), box((2, 1, 0.4), instance_id=5)],
        },
    }
    return {"s0": record}


def frame_records():
    frames = [
        {
            "frame_id": 48,
            "camera_pose_camera_to_world": EYE,
            "bboxes_2d": [{"instance_id": 3, "bbox_2d": [1, 2, 3, 4]}],
        },
        {"frame_id": 0, "camera_pose_camera_to_world": EYE, "file_path_color": "c.jpg", "bboxes_2d": []},
    ]
    camera = {"fx": 500.0, "fy": 501.0, "cx": 320.0, "cy": 240.0}
    return {"s0": {"camera_intrinsics": camera, "img_width": 640, "img_height": 480, "frames": frames}}


@pytest.fixture
def load(tmp_path):
    def write_and_load(scenes, frames=None):
        (tmp_path / "scenes.json").write_text(json.dumps(scenes))
        if frames is None:
            return load_published_metadata(tmp_path / "scenes.json")["s0"]
        (tmp_path / "frames.json").write_text(json.dumps(frames))
        return load_published_metadata(tmp_path / "scenes.json", tmp_path / "frames.json")["s0"]

    return write_and_load


def test_fields_arrive_in_metres_seconds_and_video_order(load):
    scene = load(scene_records(), frame_records())
    assert (scene.dataset, scene.room.area, scene.video) == ("scannet", 20.25, "v/s0.mp4")
    assert [frame.frame_id for frame in scene.frames] == [0, 48]
    assert scene.frames[1].timestamp == 2.0  # 48 frames at 24 frames per second
    assert scene.frames[1].pose[:3, 3].tolist() == [1.0, 2.0, 1.5]
    assert scene.frames[1].sightings[0].box == (1, 2, 3, 4)
    assert [o.instance_id for o in scene.objects] == [3, 4, 5]
    assert scene.problems == ()


def test_other_spellings_of_the_same_record_are_accepted(load):
    records = scene_records()
    record = records["s0"]
    record["object_bbox"] = record.pop("object_bboxes")
    record["object_bbox"]["sofa"][0]["normalizedAxes"] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    record["object_bbox"]["sofa"][0]["axesLengths"] = ["1.0", "2.0", "1.0"]
    record["room_size"] = "20.25"
    scene = load(records)
    assert scene.room.area == 20.25
    assert np.array_equal(scene.objects[0].box.size, [1, 2, 1])
    assert scene.problems == ()


def test_a_room_size_of_zero_means_unknown(load):
    records = scene_records()
    records["s0"]["room_size"] = 0.0
    assert load(records).room.area is None


NAN, INF = math.nan, -math.inf
MIRRORED = [[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
STRETCHED = [[1.1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("pose", "reason"),
    [
        (None, "missing"),
        ([[NAN, 0, 0, 0], *EYE[1:]], "not finite"),
        ([[INF] * 4] * 4, "not finite"),
        (MIRRORED, "mirrored"),
        (STRETCHED, "not orthonormal"),
        (EYE[:3], "12 numbers instead of 16"),
        ([*EYE[:3], [0, 0, 0, 2]], "last row"),
        ("lost", "no number"),
    ],
)
def test_an_unusable_pose_leaves_the_frame_in_place_without_one(load, pose, reason):
    frames = frame_records()
    frames["s0"]["frames"][0]["camera_pose_camera_to_world"] = pose
    scene = load(scene_records(), frames)
    assert scene.frames[1].pose is None and scene.frames[0].pose is not None
    assert len(scene.frames) == 2
    [problem] = scene.problems
    assert "frame 48" in problem and reason in problem


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"axesLengths": [1, 0, 1]}, "edge that is not positive"),
        ({"axesLengths": [0, 0, 0]}, "edge that is not positive"),
        ({"centroid": [0, NAN, 0]}, "centre is not finite"),
        ({"centroid": None}, "centre"),
        ({"normalizedAxes": [1, 0, 0, 1, 0, 0, 0, 0, 1]}, "not orthonormal"),
        ({"normalizedAxes": [1, 0, 0]}, "3 numbers instead of 9"),
        ({"instance_id": "x"}, "instance_id"),
    ],
)
def test_an_unusable_box_is_left_out_and_named(load, change, reason):
    records = scene_records()
    records["s0"]["object_bboxes"]["sofa"][0].update(change)
    scene = load(records)
    assert [o.category for o in scene.objects] == ["chair", "chair"]
    assert scene.counts["sofa"] == 1
    [problem] = scene.problems
    assert "object_bboxes.sofa[0]" in problem and reason in problem


def test_mirrored_box_axes_are_no_problem(load):
    records = scene_records()
    records["s0"]["object_bboxes"]["sofa"][0]["normalizedAxes"] = [1, 0, 0, 0, 1, 0, 0, 0, -1]
    assert load(records).problems == ()


def test_an_id_that_two_objects_claim_belongs_to_neither(load):
    records = scene_records()
    records["s0"]["object_bboxes"]["chair"][0]["instance_id"] = 3
    scene = load(records)
    assert [o.instance_id for o in scene.objects] == [None, None, 5]
    assert "instance_id 3 is used by 2 objects" in scene.problems[0]


def test_a_frame_listed_twice_is_used_once(load):
    frames = frame_records()
    frames["s0"]["frames"].append(copy.deepcopy(frames["s0"]["frames"][0]))
    scene = load(scene_records(), frames)
    assert [frame.frame_id for frame in scene.frames] == [0, 48]
    assert "listed twice" in scene.problems[0]


def test_scenes_without_frames_are_reported_where_frames_are_expected(load):
    assert "no frame record" in load(scene_records(), {}).problems[0]
    empty = frame_records()
    empty["s0"]["frames"] = []
    assert "no frames" in load(scene_records(), empty).problems[0]


def test_one_hopeless_scene_does_not_stop_the_others(tmp_path):
    (tmp_path / "scenes.json").write_text(json.dumps({"bad": [1, 2], **scene_records()}))
    outcomes = dict(read_published(tmp_path / "scenes.json"))
    assert isinstance(outcomes["bad"], UserError) and "scene bad" in str(outcomes["bad"])
    assert outcomes["s0"].scene_id == "s0"


@pytest.mark.parametrize("content", ["", "{", '{"s0": {"dataset": "x"', "[1]", "null", '{"a": 1, "a": 2}', "\x00\xff"])
def test_a_broken_file_is_one_line_that_names_it(tmp_path, content):
    (tmp_path / "scenes.json").write_text(content)
    with pytest.raises(UserError, match=r"scenes\.json") as caught:
        load_published_metadata(tmp_path / "scenes.json")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_published_metadata(tmp_path / "none.json")


def round_trip(tmp_path, scene):
    save_published_metadata([scene], tmp_path / "a.json", tmp_path / "b.json")
    return json.loads((tmp_path / "a.json").read_text())["s0"], json.loads((tmp_path / "b.json").read_text())["s0"]


def test_what_was_read_is_written_back_unchanged_even_where_it_was_unusable(load, tmp_path):
    scenes, frames = scene_records(), frame_records()
    scenes["s0"]["note"] = {"kept": True}
    scenes["s0"]["object_bboxes"]["chair"][1]["axesLengths"] = ["1", 0, 1]
    frames["s0"]["frames"][0]["camera_pose_camera_to_world"] = [[INF] * 4] * 4
    written = round_trip(tmp_path, load(scenes, frames))
    assert json.dumps(written) == json.dumps((scenes["s0"], frames["s0"]))


def test_a_change_alters_its_own_field_only(load, tmp_path):
    scenes, frames = scene_records(), frame_records()
    scene = load(scenes, frames)
    moved = scene.frames[1].pose.copy()
    moved[0, 3] = 7.5
    changed = dataclasses.replace(scene.frames[1], pose=moved)
    scene = dataclasses.replace(
        scene, frames=(scene.frames[0], changed), room=dataclasses.replace(scene.room, area=30.0)
    )
    scene_written, frames_written = round_trip(tmp_path, scene)
    assert scene_written == {**scenes["s0"], "room_size": 30.0}
    by_id = {frame["frame_id"]: frame for frame in frames_written["frames"]}
    expected = copy.deepcopy(frames["s0"]["frames"])
    expected[0]["camera_pose_camera_to_world"] = [[1.0, 0, 0, 7.5], *EYE[1:]]
    assert by_id == {frame["frame_id"]: frame for frame in expected}


def test_our_own_scenes_can_be_read_by_users_of_the_published_files(load, tmp_path):
    scene = dataclasses.replace(load(scene_records(), frame_records()), source={})
    save_published_metadata([scene], tmp_path / "a.json", tmp_path / "b.json")
    again = load_published_metadata(tmp_path / "a.json", tmp_path / "b.json")["s0"]
    assert scene_record(dataclasses.replace(again, source={})) == scene_record(scene)


def test_our_own_format_gives_back_every_field(load, tmp_path):
    frames = frame_records()
    frames["s0"]["frames"][0]["camera_pose_camera_to_world"] = [[INF] * 4] * 4
    scene = dataclasses.replace(load(scene_records(), frames), sampled=(1,), provenance={"seed": 3})
    write_scene(scene, tmp_path / "scene.json")
    assert scene_record(read_scene(tmp_path / "scene.json")) == scene_record(scene)
    assert "NaN" not in (tmp_path / "scene.json").read_text().replace("\\", "")


def test_a_change_leaves_the_other_spelling_and_absent_keys_as_they_were(load, tmp_path):
    records = scene_records()
    record = records["s0"]
    record["object_bbox"] = record.pop("object_bboxes")
    del record["room_center"], record["object_counts"]
    scene = load(records)
    scene = dataclasses.replace(scene, room=dataclasses.replace(scene.room, area=30.0))
    save_published_metadata([scene], tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())["s0"]
    assert written == {**record, "room_size": 30.0}
    assert list(written) == list(record)


def test_an_unusable_box_still_counts_where_there_are_no_counts(load):
    records = scene_records()
    del records["s0"]["object_counts"]
    records["s0"]["object_bboxes"]["chair"][0]["axesLengths"] = [0, 1, 1]
    scene = load(records)
    assert scene.counts == {"sofa": 1, "chair": 2}  # else the other chair would pass for the only one
    assert len(scene.objects) == 2


HALF_A_CHARACTER = "\ud800"
EXTREMES = {
    "half a character": (lambda s, f: s["object_bboxes"].update({HALF_A_CHARACTER: []}), "no valid Unicode"),
    "blank category": (lambda s, f: s["object_counts"].update({" ": 1}), "is blank"),
    "centre": (lambda s, f: s["object_bboxes"]["sofa"][0].update(centroid=[1e200, 0, 0]), "beyond"),
    "integer": (lambda s, f: s["object_bboxes"]["sofa"][0].update(centroid=[10**400, 0, 0]), "no number"),
    "count": (lambda s, f: s["object_counts"].update(sofa=10**30), "too large"),
    "picture": (lambda s, f: f.update(img_width=0), "camera's width is 0"),
    "pose": (lambda s, f: f["frames"][0].update(camera_pose_camera_to_world=[[1e300] * 4] * 4), "beyond"),
    "2-D box": (lambda s, f: f["frames"][0]["bboxes_2d"][0].update(bbox_2d=[0, 0, 1e300, 1]), "beyond"),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_values_are_left_out_and_named(load, name):
    change, reason = EXTREMES[name]
    scenes, frames = scene_records(), frame_records()
    change(scenes["s0"], frames["s0"])
    scene = load(scenes, frames)
    assert len(scene.problems) == 1 and reason in scene.problems[0]
    scene.problems[0].encode()


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_frame_id_of_endless_digits_is_a_name(load, digits):
    frames = frame_records()
    frames["s0"]["frames"][0]["frame_id"] = "9" * digits
    scene = load(scene_records(), frames)
    assert [frame.timestamp for frame in scene.frames] == [0.0, None]


def test_large_instance_ids_stay_apart(load):
    records, first, second = scene_records(), 2**53, 2**53 + 1  # one number as floats
    for entry, identity in zip(records["s0"]["object_bboxes"]["chair"], (first, second), strict=True):
        entry["instance_id"] = identity
    scene = load(records)
    assert [o.instance_id for o in scene.objects] == [3, first, second] and not scene.problems


def test_a_scene_id_that_cannot_be_written_is_an_error_of_that_scene(tmp_path):
    records = scene_records()
    records[HALF_A_CHARACTER] = records["s0"]
    (tmp_path / "scenes.json").write_text(json.dumps(records))
    outcomes = dict(read_published(tmp_path / "scenes.json"))
    assert isinstance(outcomes[ascii(HALF_A_CHARACTER)], UserError) and not isinstance(outcomes["s0"], UserError)
