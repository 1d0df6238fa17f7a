"""Descriptions of scenes say what the scene record says, worked out another way."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.qa.scenes_by_chance import random_scene
from vlm3r.errors import UserError
from vlm3r.qa.descriptions import KINDS, describe, describe_file
from vlm3r.qa.sources import SceneSource
from vlm3r.scenes.boxes import BoxArray
from vlm3r.scenes.schema import OrientedBox, Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return random_scene(3)


def rows_of(scene: Scene, kind: str, seed: int = 0) -> list[tuple[list[int], list[str], list[str]]]:
    """Frames named in the question, things named after its colon, and the answer's entries."""
    source = SceneSource("s", Path("memory"), "", content=scene)
    found = []
    for row in describe(source, 30, seed):
        if row["question_type"] == f"describe_{kind}":
            asked, answered = (turn["value"] for turn in row["conversations"])
            numbers = re.findall(r"frames? ([\d, ]+) of", asked)
            frames = [int(n) - 1 for n in numbers[0].split(", ")] if numbers else []
            things = asked.rstrip("?").split(": ", 1)[1].split(", ") if ": " in asked else []
            found.append((frames, things, re.split(r"; " if ";" in answered else r", ", answered)))
    return found


def turns_of(scene: Scene, kind: str) -> list[tuple[str, str]]:
    """Questions and answers of one kind as they are put, at least one."""
    rows = describe(SceneSource("s", Path("memory"), "", content=scene), 30)
    turns = [row["conversations"] for row in rows if row["question_type"] == f"describe_{kind}"]
    assert turns
    return [(asked["value"], answered["value"]) for asked, answered in turns]


def only(scene: Scene, category: str) -> int:
    places = [i for i, o in enumerate(scene.objects) if o.category == category]
    assert len(places) == 1
    return places[0]


def box_distance(first: OrientedBox, second: OrientedBox) -> float:
    """Metres between two boxes; the exact distance is checked in the tests of boxes."""
    return float(BoxArray([first, second]).distances()[0, 1])


def sampled(scene: Scene) -> list:
    return [scene.frames[i] for i in (scene.sampled or range(len(scene.frames)))]


def test_every_kind_is_drawn_and_rows_have_the_training_form(scene: Scene) -> None:
    source = SceneSource("s", Path("memory"), "", content=scene)
    rows = list(describe(source, 4))
    assert {row["question_type"] for row in rows} == {f"describe_{kind}" for kind in KINDS}
    for row in rows:
        human, gpt = row["conversations"]
        assert human["value"].startswith("<image>\n") and human["from"] == "human"
        assert gpt["value"] and "nan" not in gpt["value"] and "-0.0" not in gpt["value"]
    assert len({row["id"] for row in rows}) == len(rows)


def test_objects_of_a_frame_go_from_left_to_right(scene: Scene) -> None:
    frames = sampled(scene)
    ids = {o.instance_id: o.category for o in scene.objects}
    for (frame,), _, names in rows_of(scene, "frame_objects"):
        middles: dict[str, list[float]] = {}
        for sighting in frames[frame].sightings:
            middles.setdefault(ids[sighting.instance_id], []).append((sighting.box[0] + sighting.box[2]) / 2)
        assert set(names) <= set(middles)
        low = -np.inf
        for name in names:
            # The leftmost of its kind that is not left of the one before.
            low = min(middle for middle in middles[name] if middle >= low)


def test_distances_from_the_camera_are_those_to_the_box(scene: Scene) -> None:
    frames = sampled(scene)
    for (frame,), names, answers in rows_of(scene, "frame_distances"):
        for name, answer in zip(names, answers, strict=True):
            box = scene.objects[only(scene, name)].box
            local = box.axes @ (frames[frame].pose[:3, 3] - box.centre)
            outside = np.maximum(np.abs(local) - box.size / 2, 0)
            assert float(answer) == pytest.approx(np.linalg.norm(outside), abs=0.051)


def test_places_undo_to_world_points(scene: Scene) -> None:
    pose = sampled(scene)[0].pose
    heading = np.arctan2(pose[1, 2], pose[0, 2])
    for _, names, spots in rows_of(scene, "places"):
        spots = spots if len(names) > 1 else [", ".join(spots)]
        for name, spot in zip(names, spots, strict=True):
            right, up, ahead = map(float, spot.split(", "))
            x = pose[0, 3] + ahead * np.cos(heading) + right * np.sin(heading)
            y = pose[1, 3] + ahead * np.sin(heading) - right * np.cos(heading)
            world = np.array([x, y, pose[2, 3] + up])
            assert np.abs(world - scene.objects[only(scene, name)].box.centre).max() < 0.11


def test_the_camera_s_way_undoes_to_its_positions(scene: Scene) -> None:
    frames = sampled(scene)
    pose = frames[0].pose
    for numbers, _, spots in rows_of(scene, "camera_path"):
        spots = spots if len(numbers) > 1 else [", ".join(spots)]
        for number, spot in zip(numbers, spots, strict=True):
            offset = frames[number].pose[:3, 3] - pose[:3, 3]
            assert np.linalg.norm(list(map(float, spot.split(", ")))) == pytest.approx(np.linalg.norm(offset), abs=0.1)


def test_counts_sizes_distances_and_first_frames_are_the_record_s(scene: Scene) -> None:
    frames = sampled(scene)
    for _, names, answers in rows_of(scene, "counts"):
        assert [scene.counts[name] for name in names] == [int(answer) for answer in answers]
    for _, names, answers in rows_of(scene, "sizes"):
        for name, answer in zip(names, answers, strict=True):
            assert float(answer) == pytest.approx(100 * scene.objects[only(scene, name)].box.size.max(), abs=0.51)
    for _, names, answers in rows_of(scene, "first_frames"):
        for name, answer in zip(names, answers, strict=True):
            wanted = scene.objects[only(scene, name)].instance_id
            shown = [any(s.instance_id == wanted for s in frame.sightings) for frame in frames]
            assert shown[int(answer) - 1]


def test_sides_follow_from_turning_the_world_to_the_facing_direction(scene: Scene) -> None:
    for asked, answered in turns_of(scene, "sides"):
        named = re.search(r"by the (.+) and face the (.+)\. .*: (.+)\?$", asked)
        assert named
        here, there, *others = [
            scene.objects[only(scene, name)].box.centre[:2] for name in (*named.groups()[:2], *named[3].split(", "))
        ]
        ahead = there - here
        for other, side in zip(others, answered.split(", "), strict=True):
            forward, left = (other - here) @ ahead, (other - here) @ np.array([-ahead[1], ahead[0]])
            assert side == f"{'front' if forward > 0 else 'back'}-{'left' if left > 0 else 'right'}"
            assert min(abs(forward), abs(left)) > 0.17 * np.linalg.norm(other - here) * np.linalg.norm(ahead)


def options_of(asked: str) -> dict[str, str]:
    """The letters of a question's options, and what they stand for."""
    return dict(re.findall(r"^([A-D])\. (.+)$", asked, flags=re.MULTILINE))


def test_letters_stand_for_the_options_behind_them(scene: Scene) -> None:
    forms = set()
    for asked, answered in turns_of(scene, "letters"):
        options = options_of(asked)
        form, named = re.search(
            r"(Which letters? stands? for(?: these:)?|What do these letters stand for:) (.+)\?", asked
        ).groups()
        forms.add(form)
        if form.startswith("What"):
            assert [options[letter] for letter in named.split(", ")] == answered.split(", ")
        else:
            assert [options[letter] for letter in answered.split(", ")] == named.split(", ")
    assert len(forms) == 3


def test_only_the_right_choice_is_shown_in_the_frame_asked_for(scene: Scene) -> None:
    frames = sampled(scene)
    for asked, answered in turns_of(scene, "choices"):
        number = re.search(r"in frame (\d+) of", asked)
        assert number
        shown = {sighting.instance_id for sighting in frames[int(number[1]) - 1].sightings}
        ids = {letter: scene.objects[only(scene, name)].instance_id for letter, name in options_of(asked).items()}
        assert [letter for letter, one in ids.items() if one in shown] == [answered]


def test_kinds_can_be_chosen_and_an_unknown_one_is_refused(scene: Scene, tmp_path: Path) -> None:
    source = SceneSource("s", Path("memory"), "", content=scene)
    chosen = list(describe(source, 3, kinds=("letters", "sizes")))
    assert {row["question_type"] for row in chosen} == {"describe_letters", "describe_sizes"}
    assert [row for row in describe(source, 3) if row["question_type"] == "describe_sizes"] == [
        row for row in chosen if row["question_type"] == "describe_sizes"
    ]
    with pytest.raises(UserError, match="unknown kind of description 'colours': give some of frame_objects"):
        describe_file([source], tmp_path / "d.jsonl", 2, kinds=("colours",))


def test_orders_are_those_of_first_sight_and_of_distance(scene: Scene) -> None:
    frames = sampled(scene)
    rows = rows_of(scene, "orders")
    assert rows
    for _, names, answers in rows:
        assert sorted(names) == sorted(answers)
        ids = [scene.objects[only(scene, name)].instance_id for name in answers]
        first = [
            next(i for i, f in enumerate(frames) if wanted in {s.instance_id for s in f.sightings}) for wanted in ids
        ]
        assert first == sorted(first)
    for asked, answered in turns_of(scene, "nearest_first"):
        named = re.search(r"from the (.+), in what order", asked)
        assert named
        centre = scene.objects[only(scene, named[1])].box
        others = [scene.objects[only(scene, name)].box for name in answered.split(", ")]
        gaps = [box_distance(centre, other) for other in others]
        assert gaps == sorted(gaps)


def test_a_single_picture_is_not_asked_for_times_and_ways(scene: Scene) -> None:
    fullest = max(scene.frames, key=lambda frame: len(frame.sightings))
    still = replace(scene, frames=(fullest,), sampled=None)
    kinds = {row["question_type"] for row in describe(SceneSource("s", Path("memory"), "", content=still), 8)}
    assert kinds and not kinds & {"describe_first_frames", "describe_camera_path", "describe_orders"}


def test_scenes_of_too_few_frames_are_left_out(scene: Scene) -> None:
    source = SceneSource("s", Path("memory"), "", content=scene)
    frames = len(scene.frames)
    assert list(describe(source, 2, least_frames=frames)) == list(describe(source, 2))
    assert not list(describe(source, 2, least_frames=frames + 1))


def test_the_same_seed_gives_the_same_file_and_another_seed_another(scene: Scene, tmp_path: Path) -> None:
    source = SceneSource("s", Path("memory"), "", content=scene)
    texts = []
    for number, seed in enumerate((0, 0, 1)):
        count = describe_file([source], tmp_path / f"{number}.jsonl", 5, seed)
        texts.append((tmp_path / f"{number}.jsonl").read_text(encoding="utf-8"))
        assert count == len(texts[-1].splitlines())
        json.loads(texts[-1].splitlines()[0])
    assert texts[0] == texts[1] != texts[2]


def test_scenes_without_frames_give_nothing_and_an_empty_file_is_refused(scene: Scene, tmp_path: Path) -> None:
    bare = SceneSource("s", Path("memory"), "", content=replace(scene, frames=(), sampled=None))
    assert list(describe(bare, 5)) == []
    with pytest.raises(UserError, match="no scene gave a description"):
        describe_file([bare], tmp_path / "none.jsonl", 5)
    assert not (tmp_path / "none.jsonl").exists()
