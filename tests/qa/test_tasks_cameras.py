"""Questions about cameras and single frames in scenes whose answers are known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.invented_scenes import make_box, make_pose, make_scene
from vlm3r.qa import candidates
from vlm3r.qa.rules import Rules
from vlm3r.qa.tasks import make_tasks
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import Intrinsics

STRICT, PUBLISHED = Rules.strict(), Rules.published()
CUBE = (0.2, 0.2, 0.2)
AT_ORIGIN = make_pose((0, 0, 0))  # looks along +x; left is +y, up is +z


def ask(scene, task: str, rules: Rules = STRICT, limit: int = 10**6, seed: int = 0) -> list:
    return list(make_tasks(rules)[task].items(SceneGraph(scene), np.random.default_rng(seed), limit))


def with_picture_boxes(scene, boxes):
    """The 2-D boxes of all objects, in every frame."""
    frames = [
        replace(f, sightings=tuple(replace(s, box=boxes[s.instance_id]) for s in f.sightings)) for f in scene.frames
    ]
    return replace(scene, frames=tuple(frames))


class TestDistance:
    def test_is_to_the_nearest_point_and_names_the_true_place_of_the_frame(self):
        scene = make_scene([("sofa", make_box((2.5, 0, 0), (1, 1, 1)))], [None, None, AT_ORIGIN, None])
        (item,) = ask(scene, "camera_obj_abs_dist")
        assert (item.answer, item.frames) == (2.0, (3,))
        assert item.slots == {"category": "sofa", "frame": "3", "total": "4"}

    @pytest.mark.parametrize(("distance", "asked"), [(0.19, False), (0.21, True), (9.99, True), (10.01, False)])
    def test_bounds_apply_before_rounding(self, distance, asked):
        scene = make_scene([("sofa", make_box((distance + 0.1, 0, 0), CUBE))], [AT_ORIGIN])
        assert bool(ask(scene, "camera_obj_abs_dist")) == asked

    def test_two_of_a_kind_in_a_frame_are_not_asked_however_small_one_is(self):
        objects = [("cup", make_box((2, y, 0), CUBE)) for y in (0, 1)]
        scene = make_scene(objects, [AT_ORIGIN, AT_ORIGIN], seen=[[0, 1], [1]])
        small = replace(scene.frames[0].sightings[0], pixels=1, box=(0, 0, 0, 0))
        frames = (replace(scene.frames[0], sightings=(small, scene.frames[0].sightings[1])), scene.frames[1])
        assert [i.frames for i in ask(replace(scene, frames=frames), "camera_obj_abs_dist")] == [(2,)]

    def test_an_object_that_is_hardly_visible_is_asked_only_under_published_rules(self):
        scene = make_scene([("cup", make_box((2, 0, 0), CUBE))], [AT_ORIGIN] * 2)
        hidden = replace(scene.frames[0].sightings[0], visible_fraction=0.05)
        scene = replace(scene, frames=(replace(scene.frames[0], sightings=(hidden,)), scene.frames[1]))
        assert [i.frames for i in ask(scene, "camera_obj_abs_dist")] == [(2,)]
        assert len(ask(scene, "camera_obj_abs_dist", PUBLISHED)) == 2

    def test_places_are_among_the_frames_that_the_model_sees(self):
        poses = [make_pose((0.1 * f, 0, 0)) for f in range(9)]
        scene = make_scene([("cup", make_box((3.1, 0, 0), CUBE))], poses, sampled=(0, 4, 8))
        items = {i.frames: i.answer for i in ask(scene, "camera_obj_abs_dist")}
        assert items == {(1,): 3.0, (2,): 2.6, (3,): 2.2}

    def test_sightings_are_those_of_the_frames_that_the_model_sees(self):
        objects = [("cup", make_box((3, 0, 0), CUBE)), ("can", make_box((3, 1, 0), CUBE))]
        scene = make_scene(objects, [AT_ORIGIN] * 4, seen=[[0], [0, 1], [0], [1]], sampled=(1, 3))
        found = {(i.slots["category"], i.frames) for i in ask(scene, "camera_obj_abs_dist")}
        assert found == {("cup", (1,)), ("can", (1,)), ("can", (2,))}


class TestRelativeDistance:
    OBJECTS = tuple((n, make_box((x + 0.1, 0, 0), CUBE)) for n, x in zip("abcd", (1.0, 1.1, 1.5, 2.0), strict=True))

    def test_the_nearest_object_is_the_answer_and_near_ties_are_no_options(self):
        items = ask(make_scene(self.OBJECTS, [AT_ORIGIN]), "camera_obj_rel_dist")
        found = {i.question_type: (i.answer, set(i.options)) for i in items}
        assert found["camera_obj_rel_dist_v2"] == ("a", {"a", "c", "d"})
        assert found["camera_obj_rel_dist_v3"][0] == "a" and found["camera_obj_rel_dist_v3"][1] <= {"a", "c", "d"}
        assert "camera_obj_rel_dist_v1" not in found
        assert items[0].slots == {"frame": "1", "total": "1"}

    def test_every_valid_option_set_can_come(self):
        scene = make_scene(self.OBJECTS, [AT_ORIGIN])
        seen = {i.options for s in range(40) for i in ask(scene, "camera_obj_rel_dist", seed=s)}
        assert seen == {("a", "c", "d"), ("a", "c"), ("a", "d")}

    def test_objects_within_half_a_metre_take_no_part(self):
        scene = make_scene([("e", make_box((0.5, 0, 0), CUBE)), *self.OBJECTS], [AT_ORIGIN])
        assert {i.answer for i in ask(scene, "camera_obj_rel_dist")} == {"a"}


class TestPosition:
    @pytest.mark.parametrize(
        ("offset", "answers"),
        [
            ((-0.5, 0, 0), {"nf": "Near"}),
            ((0.5, 0, 0), {"nf": "Far"}),
            ((0, 0.5, 0), {"lr": "Left"}),
            ((0, -0.5, 0), {"lr": "Right"}),
            ((0, 0, 0.5), {"ud": "Up"}),
            ((0, 0, -0.5), {"ud": "Down"}),
            ((0.34, 0.34, -0.34), {}),
            ((0.36, 0.36, -0.36), {"nf": "Far", "lr": "Left", "ud": "Down"}),
        ],
    )
    @pytest.mark.parametrize("heading", [0.0, 90.0])
    def test_words_follow_the_gap_along_each_camera_axis(self, offset, answers, heading):
        c, s = np.cos(np.radians(heading)), np.sin(np.radians(heading))
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        boxes = [make_box(turn @ p, CUBE, heading) for p in (np.array([3.0, 0, 0]) + offset, np.array([3.0, 0, 0]))]
        scene = make_scene([("a", boxes[0]), ("b", boxes[1])], [make_pose((0, 0, 0), heading)])
        (row,) = candidates(scene, "obj_obj_relative_pos")
        assert row["instance_ids"] == (0, 1)
        assert {k: row[k] for k in ("nf", "lr", "ud") if row[k]} == answers
        for item in ask(scene, "obj_obj_relative_pos", PUBLISHED):
            axis = item.question_type[-2:]
            opposite = next(o for o in item.options if o != answers[axis])
            assert item.answer == (answers[axis] if item.slots["first"] == "a" else opposite)

    def test_either_object_comes_first(self):
        scene = make_scene([("a", make_box((2, 0, 0), CUBE)), ("b", make_box((3, 0, 0), CUBE))], [AT_ORIGIN])
        found = {(i.slots["first"], i.answer) for s in range(20) for i in ask(scene, "obj_obj_relative_pos", seed=s)}
        assert found == {("a", "Near"), ("b", "Far")}

    def test_perspective_that_turns_left_and_right_round_is_not_asked(self):
        # a is 0.3 m left of b, but so much nearer the edge of the picture that it appears right of it
        objects = [("a", make_box((1, -0.6, 0), CUBE)), ("b", make_box((4, -1.1, 0), CUBE))]
        scene = with_picture_boxes(make_scene(objects, [AT_ORIGIN]), {0: (290, 100, 319, 140), 1: (230, 100, 244, 140)})
        (row,) = candidates(scene, "obj_obj_relative_pos")
        assert row["lr"] == "Left"
        assert [i.question_type for i in ask(scene, "obj_obj_relative_pos")] == ["obj_obj_relative_pos_nf"]
        agreeing = with_picture_boxes(scene, {0: (100, 100, 120, 140), 1: (230, 100, 244, 140)})
        assert len(ask(agreeing, "obj_obj_relative_pos")) == 2
        later = replace(scene.frames[0], frame_id=1, sightings=agreeing.frames[0].sightings)
        both = replace(scene, frames=(scene.frames[0], later), sampled=(1,))
        assert len(ask(both, "obj_obj_relative_pos")) == 2

    @pytest.mark.parametrize(("offset", "asked"), [(30, False), (33, True)])  # 5 % of 640 pixels is 32
    def test_left_and_right_need_a_gap_in_the_picture_too(self, offset, asked):
        objects = [("cup", make_box((2, 1, 0), CUBE)), ("book", make_box((2, -1, 0), CUBE))]
        scene = with_picture_boxes(
            make_scene(objects, [AT_ORIGIN]), {0: (100, 50, 110, 60), 1: (100 + offset, 50, 110 + offset, 60)}
        )
        scene = replace(scene, intrinsics=Intrinsics(640, 480, 500.0, 500.0, 320.0, 240.0))
        kinds = [i.question_type for i in ask(scene, "obj_obj_relative_pos")]
        assert ("obj_obj_relative_pos_lr" in kinds) == asked
        assert "obj_obj_relative_pos_lr" in [i.question_type for i in ask(scene, "obj_obj_relative_pos", PUBLISHED)]


class TestDisplacement:
    def walk(self, frames: int, step: float):
        return make_scene([], [make_pose((step * f, 0, 1.5), 40 * f) for f in range(frames)])

    def test_is_the_straight_line_between_centres_rounded_half_to_even_as_numpy_does(self):
        poses = [make_pose((0, 0, 0)), *[None] * 4, make_pose((0.35, 0, 0))]
        (item,) = ask(make_scene([], poses), "camera_displacement")
        assert (item.answer, item.frames, item.slots) == (0.4, (1, 6), {"start": "1", "end": "6", "total": "6"})

    def test_frames_are_five_to_thirty_places_apart(self):
        steps = {j - i for i, j in (item.frames for item in ask(self.walk(40, 0.2), "camera_displacement"))}
        assert steps == set(range(5, 31))

    def test_distances_outside_the_bounds_are_not_asked(self):
        answers = [i.answer for i in ask(self.walk(40, 0.39), "camera_displacement")]
        assert max(answers) <= 10.0
        assert ask(self.walk(32, 0.006), "camera_displacement") == []


MOVES = {"Forward": (1.2, 0), "Backward": (-1.2, 0), "Left": (0, 1.2), "Right": (0, -1.2)}


class TestMovement:
    @pytest.mark.parametrize("word", MOVES)
    @pytest.mark.parametrize("heading", [0.0, 133.0])
    def test_direction_is_that_of_the_earlier_camera(self, word, heading):
        c, s = np.cos(np.radians(heading)), np.sin(np.radians(heading))
        x, y = MOVES[word]
        end = make_pose((5 + c * x - s * y, 1 + s * x + c * y, 1.9), heading + 200)
        items = ask(make_scene([], [make_pose((5, 1, 1.5), heading), end]), "camera_movement_direction")
        assert [i.answer for i in items] == [word] * 3
        assert [len(i.options) for i in items] == [4, 3, 2]
        assert all(len(set(i.options)) == len(i.options) and word in i.options for i in items)
        assert items[0].slots == {"start": "1", "end": "2", "total": "2"}

    @pytest.mark.parametrize(("metres", "versions"), [(0.49, ""), (0.51, "23"), (0.99, "23"), (1.01, "123")])
    def test_thresholds(self, metres, versions):
        items = ask(make_scene([], [AT_ORIGIN, make_pose((metres, 0, 0))]), "camera_movement_direction")
        assert [i.question_type[-1] for i in items] == list(versions)

    def test_oblique_movements_are_asked_only_under_published_rules(self):
        scene = make_scene([], [AT_ORIGIN, make_pose((1.2, 1.1, 0))])
        assert ask(scene, "camera_movement_direction") == []
        assert {i.answer for i in ask(scene, "camera_movement_direction", PUBLISHED)} == {"Forward"}

    def test_wrong_options_are_random(self):
        scene = make_scene([], [AT_ORIGIN, make_pose((0.7, 0, 0))])
        pairs = {
            i.options for s in range(60) for i in ask(scene, "camera_movement_direction", seed=s) if len(i.options) == 2
        }
        assert pairs == {("Forward", o) for o in ("Backward", "Left", "Right")}


class TestDistanceChange:
    def scene(self, metres: float, frames: int = 6, seen=None):
        poses = [make_pose((metres * f / (frames - 1), 0, 0)) for f in range(frames)]
        return make_scene([("sofa", make_box((4.1, 0, 0), CUBE))], poses, seen=seen)

    @pytest.mark.parametrize(("metres", "answer"), [(1.52, 1.5), (-1.52, 1.5)])
    def test_is_the_absolute_change(self, metres, answer):
        (item,) = ask(self.scene(metres), "camera_obj_dist_change")
        assert item.answer == pytest.approx(answer)
        assert item.slots == {"category": "sofa", "start": "1", "end": "6", "total": "6"}
        assert item.details["distances"] == pytest.approx([4.0, 4.0 - metres])

    def test_changes_that_could_be_none_are_not_asked(self):
        assert ask(self.scene(0.19), "camera_obj_dist_change") == []

    def test_both_frames_must_show_the_object(self):
        assert ask(self.scene(1.5, seen=[[0]] * 5 + [[]]), "camera_obj_dist_change") == []

    def test_walking_past_counts_the_ends_only(self):
        scene = make_scene([("sofa", make_box((2, 1.1, 0), CUBE))], [make_pose((x, 0, 0)) for x in range(6)])
        (row,) = (r for r in candidates(scene, "camera_obj_dist_change") if r["frames"] == (0, 50))
        assert row["change"] == pytest.approx(np.hypot(2.9, 1.0) - np.hypot(1.9, 1.0)) and row["eligible"]


def test_poses_that_are_not_finite_give_no_questions():
    poses = [AT_ORIGIN, np.full((4, 4), -np.inf), None, np.full((4, 4), np.nan)]
    scene = make_scene([("a", make_box((2, 0, 0), CUBE)), ("b", make_box((3, 0, 0), CUBE))], poses)
    for task in ("camera_obj_abs_dist", "camera_displacement", "camera_movement_direction", "camera_obj_dist_change"):
        assert all(i.frames == (1,) for i in ask(scene, task, PUBLISHED))
    assert len(ask(scene, "camera_obj_abs_dist", PUBLISHED)) == 2
