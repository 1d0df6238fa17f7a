"""Our own scene file: damage is one line that names file, scene and field."""

import json
from dataclasses import replace

import numpy as np
import pytest

from vlm3r.errors import UserError
from vlm3r.scenes.schema import Frame, Intrinsics, OrientedBox, Room, RoomOutline, Scene, SceneObject, Sighting
from vlm3r.scenes.storage import find_scenes, read_scene, scene_record, write_scene


def example():
    box = OrientedBox(np.array([1.0, 2.0, 0.5]), np.array([1.0, 0.5, 1.0]), np.eye(3))
    sighting = Sighting(1, (10, 20, 30, 40), pixels=300, visible_fraction=0.5, depth=2.25)
    square = RoomOutline("kitchen", ((0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)))
    return Scene(
        scene_id="room_0",
        dataset="synthetic",
        room=Room(area=16.0, centre=(2.0, 2.0, 1.3), height=2.6, outlines=(square,)),
        objects=(SceneObject("sofa", box, 1),),
        counts={"sofa": 1},
        frames=(Frame(0, np.eye(4), 0.0, depth="depth/0.png", sightings=(sighting,)), Frame(1, None, 0.25)),
        intrinsics=Intrinsics(320, 240, 220.0, 220.0, 160.0, 120.0),
        sampled=(0,),
        video="video.mp4",
        provenance={"seed": 0},
    )


def test_a_scene_comes_back_as_it_was_written(tmp_path):
    write_scene(example(), tmp_path / "scene.json")
    assert scene_record(read_scene(tmp_path / "scene.json")) == scene_record(example())
    assert [p.name for p in tmp_path.iterdir()] == ["scene.json"]


def test_what_only_real_scenes_have_comes_back_too(tmp_path):
    named = Frame("DSC01700", np.eye(4), 0.0, mask="instances/0.png", video_index=4)
    scene = replace(example(), frames=(named, Frame(7, None, 0.25)), mask_offset=1)
    write_scene(scene, tmp_path / "scene.json")
    read = read_scene(tmp_path / "scene.json")
    assert read.mask_offset == 1
    assert [frame.position for frame in read.frames] == [4, 7]
    assert Frame("DSC01700").position is None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("version",), 99, "version 99"),
        (("format",), None, "format"),
        (("objects",), None, "objects is null, not a list"),
        (("objects", 0, "size"), [1, 0, 1], r"objects\[0\]: size"),
        (("objects", 0, "category"), 7, r"objects\[0\]: category is a number, not text"),
        (("objects", 0, "axes"), [[2, 0, 0], [0, 1, 0], [0, 0, 1]], "not orthonormal"),
        (("frames", 0, "pose"), [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], r"frames\[0\]: .*mirrored"),
        (("frames", 0, "pose", 0, 3), float("nan"), r"frames\[0\]: pose is not finite"),
        (("frames", 0, "sightings", 0, "box"), [5, 5, 1, 9], "bbox_2d"),
        (("frames", 1, "frame_id"), 0, "frame_id 0 is used twice"),
        (("sampled",), [1, 0], "ascending"),
        (("mask_offset",), "one", "mask_offset is 'one'"),
        (("frames", 0, "video_index"), 0.5, r"frames\[0\]: video_index"),
        (("sampled",), [0, 2], "ascending positions among the 2 frames"),
        (("room", "outlines", 0, "polygon"), [[0, 0], [1, 0]], "fewer than three corners"),
        (("intrinsics", "fx"), "wide", "intrinsics.fx is 'wide'"),
        (("intrinsics", "width"), -640, "camera's width is -640"),
        (("objects", 0, "category"), " ", r"objects\[0\]: category ' ' is blank"),
        (("objects", 0, "category"), "a\nb", "line breaks"),
        (("objects", 0, "category"), "\ud800", "no valid Unicode"),
        (("objects", 0, "centre"), [10**400, 0, 0], "no number"),
        (("objects", 0, "centre"), [1e200, 0, 0], "beyond"),
        (("counts", "sofa"), 10**30, "counts.sofa is too large"),
        (("counts", "sofa"), 1.5, "counts.sofa is 1.5, not a whole number"),
        (("source",), "{", "source is no JSON"),
    ],
)
def test_a_wrong_field_is_named_with_its_file_and_scene(tmp_path, path, value, message):
    record = scene_record(example())
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "scene.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=message) as caught:
        read_scene(tmp_path / "scene.json")
    assert "scene.json: scene room_0" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_cut_short_at_any_place_is_refused(tmp_path):
    write_scene(example(), tmp_path / "scene.json")
    whole = (tmp_path / "scene.json").read_text().rstrip()
    for length in range(0, len(whole), 97):
        (tmp_path / "scene.json").write_text(whole[:length])
        with pytest.raises(UserError, match=r"scene\.json"):
            read_scene(tmp_path / "scene.json")


def test_half_written_scenes_are_not_found(tmp_path):
    for folder in ("b", "a", ".a.123"):
        (tmp_path / folder).mkdir()
        write_scene(example(), tmp_path / folder / "scene.json")
    assert [path.parent.name for path in find_scenes(tmp_path)] == ["a", "b"]


def test_a_folder_without_scenes_says_how_to_make_some(tmp_path):
    with pytest.raises(UserError, match="scenes generate"):
        list(find_scenes(tmp_path))
    with pytest.raises(UserError, match="no such folder"):
        list(find_scenes(tmp_path / "none"))
