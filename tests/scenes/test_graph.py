"""The scene graph: relations in closed form, and against plain loops on random scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.invented_scenes import make_box, make_pose, make_scene, moved, random_scene
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.relations import contains, supports
from vlm3r.scenes.schema import Frame, SceneObject, Sighting

CUBE = (0.2, 0.2, 0.2)


def named(graph: SceneGraph, relation) -> set[tuple[str, str]]:
    return {(graph.names[i], graph.names[j]) for i, j in np.argwhere(relation).tolist()}


class TestObjects:
    def test_a_category_is_single_by_count_and_by_boxes(self):
        objects = [(c, make_box((i, 0, 0), CUBE)) for i, c in enumerate("aabcd")]
        graph = SceneGraph(make_scene(objects, counts={"e": 1, "d": 1, "a": 2, "b": 2, "c": 1}))
        assert graph.categories == ("e", "d", "a", "b", "c")
        assert [graph.names[o] for o in graph.singles] == ["d", "c"]
        assert dict(zip(graph.categories, graph.complete.tolist(), strict=True)) == {
            "e": False, "d": True, "a": True, "b": False, "c": True
        }  # fmt: skip

    def test_a_category_that_is_not_counted_is_known_but_not_single(self):
        graph = SceneGraph(make_scene([("a", make_box((0, 0, 0), CUBE))], counts={}))
        assert graph.categories == ("a",) and graph.singles.size == 0 and graph.counts.tolist() == [0]

    def test_category_distances_are_least_over_instances(self):
        scene = random_scene(5, objects=14, categories=6)
        graph = SceneGraph(replace(scene, counts={**scene.counts, "ghost": 3}))
        ghost = graph.categories.index("ghost")
        assert np.isinf(graph.category_distances[ghost]).all()
        for a, first in enumerate(graph.members):
            for b, second in enumerate(graph.members):
                brute = [graph.distances[i, j] for i in first for j in second]
                assert graph.category_distances[a, b] == min(brute, default=np.inf)
        for o in range(14):
            for c, members in enumerate(graph.members):
                if len(members):
                    nearest = graph.nearest_members[o, c]
                    assert nearest in members
                    assert graph.distances[o, nearest] == graph.distances_to_categories[o, c]

    def test_bearings_are_counter_clockwise_from_x(self):
        places = [(0, 0, 0), (2, 2, 1), (-3, 0, 5), (0, -1, 0)]
        graph = SceneGraph(make_scene([(str(i), make_box(p, CUBE)) for i, p in enumerate(places)]))
        assert graph.bearings[0, 1:] == pytest.approx([45, 180, -90])
        corners = graph.corner_bearings[0, 1]
        assert corners.shape == (8,) and corners.min() == pytest.approx(np.degrees(np.arctan2(1.9, 2.1)))


FURNITURE = {
    "floor": make_box((0, 0, -0.05), (6, 6, 0.1)),
    "table": make_box((1, 1, 0.375), (1.2, 0.8, 0.75), 30),
    "cup": make_box((1.2, 1.1, 0.8), (0.08, 0.08, 0.1)),
    "lamp": make_box((1, 1, 2), (0.3, 0.3, 0.3)),
    "shelf": make_box((-2, -2, 1), (0.9, 0.4, 2), 10),
    "book": make_box((-2, -2, 1.2), (0.2, 0.15, 0.3), 10),
    "chair": make_box((1, 2.2, 0.45), (0.5, 0.5, 0.9)),
}


class TestRelations:
    @pytest.mark.parametrize("degrees", [0.0, 123.0])
    def test_support_and_containment(self, degrees):
        scene = moved(make_scene(list(FURNITURE.items())), degrees, (3, -7, 0.5))
        graph = SceneGraph(scene)
        on_floor = {(name, "floor") for name in ("table", "shelf", "chair")}
        assert named(graph, graph.supports) == {("cup", "table"), *on_floor}
        assert named(graph, graph.contains) == {("book", "shelf")}

    def test_a_sloping_surface_supports_where_it_is_met(self):
        # a board tilted by 45 degrees about y, its upper face through the origin along x = -z
        half = 0.5**0.5
        axes = np.array([[half, 0, -half], [0, 1, 0], [half, 0, half]])
        board = replace(make_box((0, 0, 0), (4, 4, 0.1)), centre=-0.05 * axes[2], axes=axes)
        for x in (-1.0, 0.5):
            resting = make_box((x, 0, -x + 0.1), CUBE)
            floating = make_box((x, 0, -x + 0.2), CUBE)
            beyond = make_box((2.0, 0, -1.9), CUBE)  # the board ends at 1.41
            things = [("board", board), ("a", resting), ("b", floating), ("c", beyond)]
            assert supports(SceneGraph(make_scene(things)).boxes)[1:, 0].tolist() == [True, False, False]

    def test_no_boxes_have_no_relations(self):
        boxes = SceneGraph(make_scene([])).boxes
        assert supports(boxes).shape == contains(boxes).shape == (0, 0)


class TestCameras:
    def test_extents_distances_and_displacements_in_closed_form(self):
        # the camera looks along +y from (0, 1, 1.5): right is +x, down is -z
        poses = [make_pose((0, 1, 1.5), 90), None, make_pose((1, 4, 1.2), 0)]
        graph = SceneGraph(make_scene([("a", make_box((0.5, 4, 1), (0.4, 1, 0.6)))], poses))
        assert graph.cameras.usable.tolist() == [True, False, True]
        assert graph.cameras.extents[0, 0] == pytest.approx(np.array([[0.3, 0.7], [0.2, 0.8], [2.5, 3.5]]))
        assert graph.cameras.distances[0, 0] == pytest.approx(np.hypot(np.hypot(0.3, 2.5), 0.2))
        assert np.isnan(graph.cameras.distances[1, 0])
        assert graph.cameras.displacements[0, 2] == pytest.approx([1, 0.3, 3])
        assert graph.cameras.displacements[2, 0] == pytest.approx([3, -0.3, -1])

    def test_cameras_are_those_of_the_frames_that_a_model_sees(self):
        poses = [make_pose((x, 0, 0)) for x in range(6)]
        graph = SceneGraph(make_scene([], poses, sampled=(1, 4)))
        assert graph.cameras.centres[:, 0].tolist() == [1, 4] and graph.shown.tolist() == [1, 4]


class TestSightings:
    def graph(self, *shown, **fields):
        """Frames that show the named objects; `a` and `b` are cups, `c` is a table."""
        objects = [(k, make_box((i, 0, 0), CUBE)) for i, k in enumerate(("cup", "cup", "table"))]
        return SceneGraph(
            make_scene(objects, [None] * len(shown), [["abc".index(n) for n in s] for s in shown], **fields)
        )

    def test_first_frames_and_times(self):
        graph = self.graph("", "b", "bc", "")
        assert graph.sightings.first_frames().tolist() == [-1, 1, 2]
        assert graph.sightings.first_times()[1:].tolist() == [1, 2]
        assert graph.category_first_frames().tolist() == [1, 2]
        assert graph.category_first_times().tolist() == [1, 2]

    def test_first_sightings_are_over_all_frames_and_not_only_those_that_a_model_sees(self):
        assert self.graph("", "b", "bc", "c", sampled=(0, 3)).category_first_frames().tolist() == [1, 2]

    def test_intervals_are_runs_of_frames(self):
        graph = self.graph("a", "a", "", "a", "c", "ca")
        assert graph.sightings.intervals(0).tolist() == [[0, 1], [3, 3], [5, 5]]
        assert graph.sightings.intervals(2).tolist() == [[4, 5]]
        assert graph.sightings.intervals(1).shape == (0, 2)

    def test_unique_means_the_only_one_of_its_category_in_the_frame(self):
        assert self.graph("a", "abc", "c").sightings.unique.tolist() == [
            [True, False, False],
            [False, False, True],
            [False, False, True],
        ]

    def test_thresholds_drop_small_sightings_and_unknown_sizes_pass(self):
        graph = self.graph("abc")
        sizes = (76, 77, None)
        sightings = tuple(replace(s, pixels=n) for s, n in zip(graph.scene.frames[0].sightings, sizes, strict=True))
        scene = replace(graph.scene, frames=(replace(graph.scene.frames[0], sightings=sightings),))
        assert SceneGraph(scene).sightings.seen(0.001).tolist() == [[False, True, True]]  # of 76,800 pixels
        assert SceneGraph(scene).sightings.seen(0.03).tolist() == [[False, False, False]]  # the 2-D box has 2 %
        assert SceneGraph(replace(scene, intrinsics=None)).sightings.seen(0.5).all()
        partly = replace(scene, frames=(Frame(0, sightings=(replace(sightings[1], visible_fraction=0.2),)),))
        assert not SceneGraph(partly).sightings.seen(0, 0.3).any()
        assert SceneGraph(partly).sightings.seen(0, 0.2)[0, 1]

    def test_boxes_of_unknown_instances_and_objects_without_identity_are_not_linked(self):
        graph = self.graph("ab")
        stray = Sighting(9999, (0, 0, 5, 5))
        frame = replace(graph.scene.frames[0], sightings=(stray, *graph.scene.frames[0].sightings))
        scene = replace(graph.scene, frames=(frame,))
        assert SceneGraph(scene).sightings.seen().tolist() == [[True, True, False]]
        nameless = tuple(SceneObject(o.category, o.box) for o in scene.objects)
        assert not SceneGraph(replace(scene, objects=nameless)).linked

    def test_a_scene_without_frames_has_no_sightings(self):
        graph = self.graph()
        assert graph.sightings.first_frames().tolist() == [-1, -1, -1]
        assert graph.sightings.seen().shape == graph.sightings.unique.shape == (0, 3)
        assert graph.cameras.distances.shape == (0, 3) and graph.cameras.extents.shape == (0, 3, 3, 2)
        assert not graph.linked

    def test_random_scenes_agree_with_plain_loops(self):
        scene = random_scene(8, objects=12, frames=12, dense=3, categories=8)
        sightings = SceneGraph(scene).sightings
        kinds = {o.instance_id: o.category for o in scene.objects}
        shown = [[s.instance_id for s in frame.sightings] for frame in scene.frames]
        for o, thing in enumerate(scene.objects):
            frames = [f for f, ids in enumerate(shown) if thing.instance_id in ids]
            assert sightings.first_frames()[o] == (frames[0] if frames else -1)
            assert np.flatnonzero(sightings.seen()[:, o]).tolist() == frames
            alone = [f for f in frames if [kinds[i] for i in shown[f]].count(thing.category) == 1]
            assert np.flatnonzero(sightings.unique[:, o]).tolist() == alone
