"""Questions about objects and rooms in scenes whose answers are known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.invented_scenes import make_box, make_pose, make_scene, random_scene, yaw
from vlm3r.errors import UserError
from vlm3r.qa import candidates
from vlm3r.qa.rules import Rules
from vlm3r.qa.tasks import TASKS, make_tasks
from vlm3r.qa.tasks.appearance_order import AppearanceOrder
from vlm3r.qa.tasks.relative_distance import RelativeDistance
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import Room

STRICT, PUBLISHED = Rules.strict(), Rules.published()
CUBE = (0.2, 0.2, 0.2)


def ask(scene, task: str, rules: Rules = STRICT, limit: int = 10**6, seed: int = 0) -> list:
    return list(make_tasks(rules)[task].items(SceneGraph(scene), np.random.default_rng(seed), limit))


def row_of_cubes(*places: float):
    """Cubes of 0.2 m named a, b, ... centred at the given x."""
    return [("abcdefghij"[i], make_box((x, 0, 0.1), CUBE)) for i, x in enumerate(places)]


def test_unknown_tasks_are_named_with_the_nearest_known_one():
    with pytest.raises(UserError, match="object_counting"):
        candidates(make_scene([]), "object_count")


@pytest.mark.parametrize("task", TASKS)
def test_an_empty_scene_gives_no_questions(task):
    scene = replace(make_scene([]), room=Room())
    assert ask(scene, task) == [] and list(candidates(scene, task)) == []


class TestCounting:
    CHAIRS = [("chair", make_box((i, 0, 0.5), CUBE)) for i in range(3)] + [("table", make_box((0, 2, 0.5), CUBE))]

    def test_gives_the_number_of_instances_from_two_on(self):
        (item,) = ask(make_scene(self.CHAIRS, [make_pose((0, -3, 1))]), "object_counting")
        assert (item.slots, item.answer, item.objects) == ({"category": "chair"}, 3, (0, 1, 2))

    def test_needs_every_instance_to_be_seen_unless_published_rules_apply(self):
        scene = make_scene(self.CHAIRS, [make_pose((0, -3, 1))] * 2, seen=[[0, 3], [1, 0]])
        assert ask(scene, "object_counting") == []
        assert [i.answer for i in ask(scene, "object_counting", PUBLISHED)] == [3]

    def test_trusts_a_count_beyond_the_boxes_only_under_published_rules(self):
        scene = make_scene(self.CHAIRS, counts={"chair": 5, "table": 1})
        assert ask(scene, "object_counting") == []
        assert [i.answer for i in ask(scene, "object_counting", PUBLISHED)] == [5]


class TestSizes:
    def test_the_longest_edge_counts_whatever_the_order_of_the_axes(self):
        for axes in (np.eye(3), np.eye(3)[[2, 0, 1]], -np.eye(3)):
            box = replace(make_box((0, 0, 1), (0.5, 2.004, 0.3)), axes=axes)
            (item,) = ask(make_scene([("sofa", box)]), "object_size_estimation")
            assert (item.answer, item.slots) == (200, {"category": "sofa"})

    def test_categories_of_several_objects_are_not_asked(self):
        scene = make_scene([("cup", make_box((i, 0, 1), CUBE)) for i in range(2)])
        assert ask(scene, "object_size_estimation") == []
        assert [r["eligible"] for r in candidates(scene, "object_size_estimation")] == [False]

    @pytest.mark.parametrize(("area", "answer"), [(12.345, 12.3), (0.35, 0.3), (63.96, 64.0)])
    def test_room_sizes_are_rounded_in_decimal(self, area, answer):
        (item,) = ask(make_scene([], area=area), "room_size_estimation")
        assert (item.answer, item.slots) == (answer, {})


class TestDistances:
    @pytest.mark.parametrize("gap", [0.2, 0.3, 0.6, 1.04])
    def test_short_and_round_distances_are_asked(self, gap):
        (item,) = ask(make_scene(row_of_cubes(0, gap + 0.2 + 1e-9)), "object_abs_distance")
        assert item.answer == pytest.approx(round(gap, 1), abs=1e-12)
        assert sorted(item.slots.values()) == ["a", "b"]

    def test_touching_objects_are_not_asked(self):
        scene = make_scene(row_of_cubes(0, 0.2))
        assert ask(scene, "object_abs_distance") == []
        (row,) = candidates(scene, "object_abs_distance")
        assert row["distance"] == pytest.approx(0, abs=1e-12) and not row["eligible"]

    def test_objects_that_no_frame_shows_are_left_out_by_the_strict_rules(self):
        scene = make_scene(row_of_cubes(0, 1, 2), [make_pose((0, -2, 1))], seen=[[0, 2]])
        assert [i.objects for i in ask(scene, "object_abs_distance")] in ([(0, 2)], [(2, 0)])
        assert len(ask(scene, "object_abs_distance", PUBLISHED)) == 3

    def test_being_shown_between_the_frames_that_the_model_sees_is_not_enough(self):
        poses = [make_pose((0, -2, 1))] * 3
        scene = make_scene(row_of_cubes(0, 1), poses, seen=[[0], [0, 1], [0]], sampled=(0, 2))
        assert ask(scene, "object_abs_distance") == []
        assert len(ask(replace(scene, sampled=(0, 1)), "object_abs_distance")) == 1

    def test_boxes_of_a_category_with_a_wrong_count_are_not_single(self):
        scene = make_scene(row_of_cubes(0, 1, 2), counts={"a": 1, "b": 2, "c": 1})
        assert [set(i.slots.values()) for i in ask(scene, "object_abs_distance", PUBLISHED)] == [{"a", "c"}]


class TestRelativeDistance:
    def test_the_nearest_instance_of_a_category_counts(self):
        objects = [
            *row_of_cubes(0, 2.0, 3.0),
            ("b", make_box((-1.5, 0, 0.1), CUBE)),
            ("c", make_box((9, 0, 0.1), CUBE)),
        ]
        items = [i for i in ask(make_scene(objects), "object_rel_distance") if i.slots["category"] == "a"]
        (item,) = items
        assert (item.answer, set(item.options)) == ("b", {"b", "c"})
        assert item.objects == (0, 3, 2)
        assert item.details["distances"] == pytest.approx([1.3, 2.8])

    @pytest.mark.parametrize(("area", "questions"), [(39.0, 1), (40.0, 1), (41.0, 0)])
    def test_large_rooms_need_larger_differences(self, area, questions):
        scene = make_scene(row_of_cubes(0, 1.2, 1.45), area=area)  # 1.0 and 1.25 m away
        items = [i for i in ask(scene, "object_rel_distance") if i.slots["category"] == "a"]
        assert [i.answer for i in items] == ["b"] * questions

    def test_a_choice_that_is_too_near_rules_the_set_out(self):
        scene = make_scene(row_of_cubes(0, 0.34, 1.5))  # 0.14 and 1.3 m away
        assert all(i.slots["category"] != "a" for i in ask(scene, "object_rel_distance"))

    def test_all_numbers_of_options_occur_and_the_limit_holds_for_each(self):
        scene = make_scene(row_of_cubes(*np.cumsum([0, 1, 1.3, 1.7, 2.2, 2.8])))
        for limit in (2, 10**6):
            items = ask(scene, "object_rel_distance", limit=limit)
            for kind, k in (("v1", 4), ("v2", 3), ("v3", 2)):
                mine = [i for i in items if i.question_type == f"object_rel_distance_{kind}"]
                assert 0 < len(mine) <= limit
                assert all(len(i.options) == k and i.options[0] == i.answer for i in mine)

    def test_the_order_of_questions_does_not_favour_an_object(self):
        scene = make_scene(row_of_cubes(*np.cumsum([0, 1, 1.3, 1.7, 2.2, 2.8])))
        task = RelativeDistance(choices=(2,))
        first = [
            next(iter(task.items(SceneGraph(scene), np.random.default_rng(s), 50))).slots["category"] for s in range(60)
        ]
        assert set(first) == set("abcdef")

    def test_a_category_whose_nearest_instance_is_never_seen_is_no_choice(self):
        objects = row_of_cubes(0, 2.0, 3.0)
        scene = make_scene(objects, [make_pose((0, -2, 1))], seen=[[0, 1]])
        assert ask(scene, "object_rel_distance") == []
        assert ask(scene, "object_rel_distance", PUBLISHED) != []


def direction_scene(angle: float, turn: float = 0.0, distance: float = 2.0):
    """Standing at the origin, facing north before `turn`, with the queried cube at `angle` counter-clockwise."""
    along = np.array([0, 2.0, 0])
    places = [np.zeros(3), along, distance / 2 * yaw(angle) @ along]
    return make_scene([(n, make_box(yaw(turn) @ p, (0.02, 0.02, 0.02))) for n, p in zip("abc", places, strict=True)])


class TestRelativeDirection:
    @pytest.mark.parametrize("turn", [0.0, 77.0])
    @pytest.mark.parametrize("angle", [0.5, *range(3, 360, 6)])
    def test_words_follow_the_angle_and_keep_ten_degrees_from_every_boundary(self, angle, turn):
        rows = {r["objects"]: r for r in candidates(direction_scene(angle, turn), "object_rel_direction")}
        if ("a", "b", "c") not in rows:  # queried and faced object nearly coincide
            assert min(angle, 360 - angle) < 10
            return
        row = rows["a", "b", "c"]
        assert row["angle"] == pytest.approx(angle, abs=1e-6)
        clear = all(abs(angle - b) >= 10 for b in (0, 90, 180, 270, 360))
        quadrant = ("front-left", "back-left", "back-right", "front-right")[int(angle // 90)]
        assert row["hard"] == (quadrant if clear else None)
        clear = all(abs(angle - b) >= 10 for b in (0, 135, 225, 360))
        side = "left" if angle < 135 else "back" if angle < 225 else "right"
        assert row["medium"] == (side if clear else None)
        assert row["easy"] == (side if clear and side != "back" else None)

    def test_items_offer_the_words_of_their_difficulty(self):
        items = [i for i in ask(direction_scene(60), "object_rel_direction") if i.objects == (0, 1, 2)]
        assert {i.question_type: (i.answer, i.options) for i in items} == {
            "object_rel_direction_v3": ("left", ("left", "right")),
            "object_rel_direction_v2": ("left", ("left", "right", "back")),
            "object_rel_direction_v1": ("front-left", ("front-left", "back-left", "back-right", "front-right")),
        }
        assert items[0].slots == {"standing": "a", "facing": "b", "queried": "c"}

    @pytest.mark.parametrize(("distance", "asked"), [(0.3, False), (0.35, True), (4.9, True), (5.2, False)])
    def test_all_three_distances_lie_within_the_gate(self, distance, asked):
        rows = list(candidates(direction_scene(30, distance=distance), "object_rel_direction"))
        assert (("a", "b", "c") in [r["objects"] for r in rows]) == asked

    def test_all_six_orders_of_a_triple_are_candidates(self):
        assert len(list(candidates(direction_scene(60), "object_rel_direction"))) == 6

    def test_a_wide_object_that_crosses_a_boundary_is_not_asked(self):
        objects = [("a", make_box((0, 0, 1), CUBE)), ("b", make_box((0, 2, 1), CUBE))]
        wide = ("c", make_box((-1.2, 0.3, 1), (0.2, 3.0, 0.2)))  # seen over more than 90 degrees, centre at 76
        row = next(
            r for r in candidates(make_scene([*objects, wide]), "object_rel_direction") if r["objects"] == tuple("abc")
        )
        assert (row["hard"], row["easy"]) == (None, "left")

    def test_two_corners_may_stray_and_three_may_not(self):
        found = {2: 0, 3: 0}
        for seed in range(12):
            scene = random_scene(seed, objects=12, frames=0)
            boxes = {o.category: o.box for o in scene.objects}
            for row in candidates(scene, "object_rel_direction"):
                a, b, c = (boxes[name] for name in row["objects"])
                ahead = (b.centre - a.centre)[0] + 1j * (b.centre - a.centre)[1]
                relative = ((c.corners - a.centre)[:, 0] + 1j * (c.corners - a.centre)[:, 1]) / ahead
                quadrants = np.degrees(np.angle(relative)) % 360 // 90
                stray = int((quadrants != row["angle"] // 90).sum())
                clear = 10 < row["angle"] % 90 < 80
                assert (row["hard"] is not None) == (clear and stray <= 2)
                found[stray] = found.get(stray, 0) + clear
        assert found[2] and found[3]

    def test_objects_above_each_other_define_no_direction(self):
        objects = [
            ("a", make_box((0, 0, 0.5), CUBE)),
            ("b", make_box((0, 0, 2), CUBE)),
            ("c", make_box((2, 1, 0), CUBE)),
        ]
        items = ask(make_scene(objects), "object_rel_direction")
        assert not [i for i in items if {i.objects[0], i.objects[1]} == {0, 1}]


class TestAppearanceOrder:
    NAMES = "abcd"

    def scene(self, first: list[int], frames: int = 20, **fields):
        """Objects a to d, each seen from its frame on; one frame a second."""
        seen = [[i for i, start in enumerate(first) if f >= start] for f in range(frames)]
        return make_scene(row_of_cubes(0, 1, 2, 3), [make_pose((0, -3, 1))] * frames, seen=seen, **fields)

    def test_the_order_is_that_of_the_first_frames(self):
        (item,) = ask(self.scene([9, 3, 14, 6]), "obj_appearance_order")
        assert item.answer == "b, d, a, c"
        assert len(set(item.options)) == 4 and item.answer in item.options
        assert all(sorted(o.split(", ")) == list("abcd") for o in item.options)
        assert sorted(item.slots["categories"].split(", ")) == list("abcd")
        assert item.details["first_seen"] == [3, 6, 9, 14]

    def test_first_sightings_a_second_apart_are_not_asked(self):
        assert ask(self.scene([3, 4, 9, 14]), "obj_appearance_order", PUBLISHED) == []

    def test_the_dense_frames_decide_and_the_seen_ones_must_agree(self):
        scene = self.scene([1, 3, 9, 14], sampled=(0, 5, 10, 15))  # the model first sees a and b together
        assert ask(scene, "obj_appearance_order") == []
        assert [i.answer for i in ask(scene, "obj_appearance_order", PUBLISHED)] == ["a, b, c, d"]
        (item,) = ask(replace(scene, sampled=(2, 5, 10, 15)), "obj_appearance_order")
        assert item.answer == "a, b, c, d"

    def test_a_glimpse_does_not_count_under_the_strict_rules(self):
        scene = self.scene([3, 6, 9, 14])
        frames = list(scene.frames)
        glimpse = replace(frames[3].sightings[0], instance_id=3, pixels=20, box=(0, 0, 4, 4))
        frames[0] = replace(frames[0], sightings=(glimpse,))
        scene = replace(scene, frames=tuple(frames))
        assert [i.answer for i in ask(scene, "obj_appearance_order")] == ["a, b, c, d"]
        assert [i.answer for i in ask(scene, "obj_appearance_order", PUBLISHED)] == ["d, a, b, c"]

    def test_the_first_instance_stands_for_its_category(self):
        objects = [*row_of_cubes(0, 1, 2, 3), ("d", make_box((5, 0, 0), CUBE))]
        seen = [[4] if f == 0 else [i for i, start in enumerate([3, 6, 9, 14]) if f >= start] for f in range(20)]
        (item,) = ask(make_scene(objects, [make_pose((0, -3, 1))] * 20, seen=seen), "obj_appearance_order")
        assert (item.answer, item.objects) == ("d, a, b, c", (4, 0, 1, 2))

    def test_frames_without_times_give_no_order(self):
        scene = self.scene([3, 6, 9, 14])
        scene = replace(scene, frames=tuple(replace(f, timestamp=None) for f in scene.frames))
        assert ask(scene, "obj_appearance_order") == [] == list(candidates(scene, "obj_appearance_order"))

    def test_the_true_order_has_no_favourite_place_among_similar_options(self):
        scene = self.scene([3, 6, 9, 14])
        wrong = [o for s in range(300) for o in ask(scene, "obj_appearance_order", seed=s)[0].options[1:]]
        assert len(set(wrong)) == 23  # every other order occurs


def test_rules_reject_values_that_mean_nothing():
    for field, value in (("min_share", 2.0), ("min_horizontal", -1.0), ("dominance", 0.5)):
        with pytest.raises(UserError, match=field):
            Rules(**{field: value})


def test_order_compares_whole_seconds_only_where_told_to():
    scene = TestAppearanceOrder().scene([0, 3, 9, 14])
    frames = [replace(f, timestamp=0.4 * f.timestamp) for f in scene.frames]  # first seen at 0, 1.2, 3.6 and 5.6 s
    graph = SceneGraph(replace(scene, frames=tuple(frames)))
    exact, whole = (AppearanceOrder(PUBLISHED, whole_seconds=w) for w in (False, True))
    assert len(list(exact.items(graph, np.random.default_rng(0), 9))) == 1
    assert list(whole.items(graph, np.random.default_rng(0), 9)) == []
