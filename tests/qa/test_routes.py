"""Routes in rooms whose answers one can see, and every rule that turns a route down."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from tests.invented_scenes import make_pose, make_scene
from tests.qa.route_rooms import RULES, answers, block, finder, furnished, rectangle, room, verdicts
from vlm3r.qa.items import Item
from vlm3r.qa.routes.choose import plausible_turns, turn_list
from vlm3r.qa.routes.replay import Instructions, replay_problem
from vlm3r.qa.routes.turns import BACK, LEFT, RIGHT
from vlm3r.qa.tasks.route_planning import RoutePlanning
from vlm3r.scenes.graph import SceneGraph

L_SHAPE = [(0, 0), (5, 0), (5, 1.6), (1.6, 1.6), (1.6, 5), (0, 5)]


def items(scene, limit: int = 10, seed: int = 0, task: RoutePlanning | None = None) -> list[Item]:
    return list((task or RoutePlanning()).items(SceneGraph(scene), np.random.default_rng(seed), limit))


def corner_room():
    """An L: a lamp at the end of each arm, a crate in the corner."""
    return room(L_SHAPE, lamp=block(4.7, 0.8), crate=block(0.3, 0.8), plant=block(0.8, 4.7))


def test_in_an_l_shaped_room_the_way_around_the_corner_is_the_only_one():
    found = answers(corner_room())
    assert found["lamp", "crate", "crate", "plant"] == "Turn Right"  # west along the arm, then north
    assert found["plant", "crate", "crate", "lamp"] == "Turn Left"
    assert not any(key[0] == "lamp" and key[2:] == ("plant",) for key in found)


def test_in_a_corridor_one_turns_back_to_reach_what_is_behind():
    corridor = room(rectangle(0, 0, 9, 1.6), bed=block(0.4, 0.8), crate=block(4.5, 0.3), plant=block(8.6, 0.8))
    found = answers(corridor)
    assert found["crate", "bed", "plant"] == "Turn Back"
    assert found["crate", "plant", "bed"] == "Turn Back"
    assert set(found.values()) == {"Turn Back"}


def test_a_table_in_the_middle_blocks_the_straight_leg():
    things = {"bed": block(0.4, 2), "plant": block(5.6, 2), "clock": block(0.4, 3.6)}
    table = {"table": block(3, 2, 1.2, 1.2)}
    free, blocked = (answers(room(rectangle(0, 0, 6, 4), **t)) for t in (things, things | table))
    assert free["bed", "clock", "plant"] == "Turn Right"
    assert not any(key[0] == "bed" and key[2] == "plant" for key in blocked)


def test_around_a_u_shaped_room_one_turns_the_same_way_twice():
    outline = [(0, 0), (1.6, 0), (1.6, 4.4), (4.4, 4.4), (4.4, 0), (6, 0), (6, 6), (0, 6)]
    scene = room(
        outline,
        bed=block(0.8, 0.3),
        fan=block(0.8, 5.7),
        crate=block(5.7, 5.2),
        bin=block(0.3, 5.2),
        plant=block(5.2, 0.3),
    )
    found = answers(scene)
    assert found["bed", "fan", "fan", "crate", "plant"] == "Turn Right, Turn Right"
    assert found["plant", "crate", "crate", "bin", "bed"] == "Turn Left, Turn Left"


def only_with(scene, key: tuple[str, ...], **relaxed) -> None:
    """The route is found with the relaxed rules and not with the usual ones."""
    assert key in verdicts(scene, replace(RULES, **relaxed)), "the scene does not show the rule"
    assert key not in verdicts(scene)


def wedge(degrees: float):
    """A walk east to a low post, then on to a plant `degrees` to the left of that."""
    post, turn = np.array([3.0, 3.0]), np.radians(degrees)
    stand = post - (0.45, 0)
    plant = stand + 2.6 * np.array([np.cos(turn), np.sin(turn)])
    return room(
        rectangle(-1, 0, 7, 7),
        bed=block(0, 3, 0.2, 0.2),
        post=block(*post, 0.1, 0.1, high=0.05),
        plant=block(*plant, 0.2, 0.2),
    )


def test_a_turn_near_a_boundary_is_turned_down():
    key = ("bed", "post", "post", "plant")
    assert answers(wedge(90))[key] == "Turn Left"
    only_with(wedge(47), key, margin=0.0)
    only_with(wedge(133), key, margin=0.0)


def test_a_slight_bend_is_no_turn():
    key = ("bed", "post", "post", "plant")
    only_with(wedge(32), key, least_turn=10.0)


def test_one_does_not_turn_back_on_the_way():
    only_with(wedge(158), ("bed", "post", "post", "plant"), back=170.0)


def test_legs_are_neither_short_nor_long():
    near = room(rectangle(0, 0, 4, 4), bed=block(1, 1), fan=block(1, 3.6), crate=block(2.6, 1))
    only_with(near, ("bed", "fan", "crate"), least_leg=0.4)
    far = room(rectangle(0, 0, 9, 3), bed=block(0.5, 1), fan=block(0.5, 2.6), crate=block(8.6, 1))
    only_with(far, ("bed", "fan", "crate"), longest_leg=8.0)


def test_named_objects_are_apart():
    scene = room(rectangle(0, 0, 6, 4), bed=block(0.5, 1), fan=block(0.5, 3.5), crate=block(5, 1), bin=block(5, 1.6))

    def together(rules):
        return any({"crate", "bin"} <= set(key) for key in verdicts(scene, rules))

    assert together(replace(RULES, landmark_gap=0.1))
    assert not together(RULES)


def gap_room(gap: float):
    """Two cupboards from wall to wall with a gap in the middle, to be crossed from the bed to the crate."""
    half = (4 - gap) / 2
    return room(
        rectangle(0, 0, 6, 4),
        bed=block(0.5, 2),
        fan=block(0.5, 3.5),
        crate=block(5.5, 2),
        **{"left cupboard": block(3, 4 - half / 2, 0.5, half), "right cupboard": block(3, half / 2, 0.5, half)},
    )


def test_a_person_does_not_fit_through_a_narrow_gap():
    key = ("bed", "fan", "crate")
    assert answers(gap_room(0.9))[key] == "Turn Right"
    only_with(gap_room(0.35), key, radius=0.05)


def test_flat_and_high_things_do_not_block():
    def across(**things):
        return room(rectangle(0, 0, 6, 4), bed=block(0.5, 2), fan=block(0.5, 3.5), crate=block(5.5, 2), **things)

    key = ("bed", "fan", "crate")
    assert key in answers(across(rug=block(3, 2, 1, 3.9, high=0.03)))
    assert key not in answers(across(rug=block(3, 2, 1, 3.9, high=0.03)), replace(RULES, lowest=0.0))
    assert key in answers(across(beam=block(3, 2, 0.3, 4, low=1.7, high=2.2)))
    assert key not in answers(across(beam=block(3, 2, 0.3, 4, low=1.4, high=2.2)))
    assert key in answers(across(door=block(3, 2, 0.1, 4, high=2.1)))


def test_nobody_walks_up_to_a_ceiling_lamp():
    scene = room(rectangle(0, 0, 6, 4), bed=block(0.5, 1), fan=block(0.5, 3.5), chandelier=block(5, 1, low=2, high=2.4))
    only_with(scene, ("bed", "fan", "chandelier"), hanging=3.0)


def test_a_detour_is_turned_down():
    key = ("bed", "post", "post", "plant")
    assert "a detour" in {problem for _, problem in verdicts(wedge(116))[key]}
    assert key not in answers(wedge(116))
    assert answers(wedge(116), replace(RULES, most_detour=9.0))[key] == "Turn Left"


def test_at_most_three_turns_are_left_out():
    def most(rules):
        routes = [r for seed in range(3) for r in finder(furnished(seed), rules).routes(np.random.default_rng(0))]
        return max(len(route.words) for route in routes)

    assert most(replace(RULES, most_blanks=4)) == 4
    assert most(RULES) == 3


def test_a_turn_that_depends_on_the_side_of_the_start_is_turned_down():
    wide = room(rectangle(0, 0, 8, 6), bed=block(4, 0.6, 4.5, 0.8), fan=block(0.4, 3), crate=block(4, 4.5))
    verdict = {problem for _, problem in verdicts(wide)["bed", "fan", "crate"]}
    assert verdict == {"the turns depend on where one stands"}


def test_a_landmark_that_spans_two_turns_is_turned_down():
    def toward(length: float):
        sofa = block(5.4, 3, 0.4, length)
        return room(rectangle(0, 0, 6, 7), bed=block(3, 3.6, 0.2, 0.2), fan=block(3, 6.5, 0.2, 0.2), sofa=sofa)

    assert {p for _, p in verdicts(toward(0.5))["bed", "fan", "sofa"]} == {None}
    spanned = {p for _, p in verdicts(toward(6))["bed", "fan", "sofa"]}
    assert spanned == {"another turn points at a landmark"}


def test_replay_follows_hand_made_instructions():
    """West along one arm of the L to the crate, then north along the other to the plant."""
    found = finder(corner_room())
    text = Instructions(np.array([4.0, 0.8]), np.array([-1.0, 0.0]), (1, 2), turn_first=False)

    def problem(answer, text=text):
        return replay_problem(found.plan, found.grid, text, answer)

    assert problem((RIGHT,)) is None
    assert problem((LEFT,)) == problem((BACK,)) == "the answer does not lead to the goal"
    for heading, word in (((0.0, 1.0), LEFT), ((0.0, -1.0), RIGHT), ((1.0, 0.0), BACK)):
        turned_first = replace(text, heading=np.array(heading), turn_first=True)
        assert problem((word, RIGHT), turned_first) is None
        for other in {BACK, LEFT, RIGHT} - {word}:
            assert problem((other, RIGHT), turned_first) == "the answer does not lead to the goal"


def test_a_goal_that_wrong_turns_come_near_is_turned_down():
    """Left of the post is nothing, and the wall there is 2.65 m from the shelf on the right."""
    things = {"bed": block(0.4, 1.5, 0.2, 0.2), "post": block(3, 1.5, 0.1, 0.1), "shelf": block(2.5, 0.05, 1.2, 0.1)}
    text = Instructions(np.array([0.9, 1.5]), np.array([1.0, 0.0]), (1, 2), turn_first=False)
    usual, generous = (finder(room(rectangle(0, 0, 6, 3), **things), replace(RULES, end=end)) for end in (0.5, 3.0))
    assert replay_problem(usual.plan, usual.grid, text, (RIGHT,)) is None
    assert replay_problem(generous.plan, generous.grid, text, (RIGHT,)) == "other turns lead to the goal"


def test_doorways_lead_from_room_to_room():
    rooms = [rectangle(0, 0, 3, 4), rectangle(3.12, 0, 6, 4)]
    things = {"bed": block(0.5, 2), "fan": block(0.5, 3.6), "crate": block(5.5, 2)}
    assert answers(room([*rooms, rectangle(3, 1.4, 3.12, 2.6)], **things))["bed", "fan", "crate"] == "Turn Right"
    assert not any(key[0] == "bed" and "crate" in key[2:] for key in answers(room(rooms, **things)))


def test_one_cannot_face_what_is_behind_a_wall():
    rooms = [rectangle(0, 0, 3, 4), rectangle(3.12, 0, 6, 4)]
    things = {"bed": block(0.5, 1), "fan": block(0.5, 3.6), "bin": block(2.5, 1), "crate": block(5.5, 3.6)}
    open_plan = room([*rooms, rectangle(3, 0, 3.12, 4)], **things)
    assert any(key[1] == "crate" and key[0] == "bed" for key in verdicts(open_plan))
    assert not any(key[1] == "crate" and key[0] == "bed" for key in verdicts(room(rooms, **things)))


def test_only_unique_objects_are_named():
    chairs = [sum(o.category == "chair" for o in furnished(seed).objects) for seed in range(10)]
    assert {1, 2} <= set(chairs)
    named_in = [any("chair" in key for key in verdicts(furnished(seed))) for seed in range(10)]
    assert not any(named for named, count in zip(named_in, chairs, strict=True) if count != 1)
    assert any(named_in)


def test_only_what_the_frames_show_is_named():
    scene = furnished(2)
    things = [(o.category, o.box) for o in scene.objects]
    names = {item.slots["goal"] for item in items(scene)}
    hidden = sorted(names)[0]
    shown = [i for i, (category, _) in enumerate(things) if category != hidden]
    seen = replace(make_scene(things, [make_pose((2, 2, 1.5))], seen=[shown]), room=scene.room)
    assert items(seen)
    assert not any(hidden in (*item.slots.values(), *item.slots["steps"].split(" | ")) for item in items(seen))


def test_names_that_look_like_steps_are_not_named():
    scene = furnished(2)
    assert items(scene)
    objects = tuple(replace(o, category=f"{o.category} | {i}") for i, o in enumerate(scene.objects))
    assert not items(replace(scene, objects=objects, counts={o.category: 1 for o in objects}))


def test_items_have_the_benchmark_form():
    seen = 0
    for seed in range(6):
        scene = furnished(seed)
        for item in items(scene, seed=seed):
            seen += 1
            steps = item.slots["steps"].split(" | ")
            blanks = steps.count("?")
            assert item.question_type == "route_planning"
            assert 1 <= blanks <= 3
            assert len(item.options) == len(set(item.options)) == (3 if blanks == 1 else 4)
            assert item.answer in item.options
            assert all(len(option.split(", ")) == blanks for option in item.options)
            assert {word for o in item.options for word in o.split(", ")} <= {"Turn Back", "Turn Left", "Turn Right"}
            assert steps[-1] == item.slots["goal"]
            categories = [scene.objects[i].category for i in item.objects]
            assert categories == [item.slots["start"], item.slots["facing"], *(s for s in steps if s != "?")]
            assert [step.get("until", "?") for step in item.details["steps"]] == steps
            assert len(item.details["polyline"]) == len(item.objects) - 1
            assert item.details["shortest"] <= sum(item.details["lengths"]) + 1e-2
            assert item.details["floor"] == "outlines"
    assert seen > 40


def test_the_same_generator_gives_the_same_items_and_another_one_others():
    scene = furnished(2)
    assert items(scene, seed=5) == items(scene, seed=5)
    assert items(scene, seed=5) != items(scene, seed=6)
    assert len(items(scene, limit=3)) == 3
    assert items(scene, limit=0) == []


def test_every_possible_answer_is_offered_as_a_wrong_option_too():
    assert plausible_turns(True, 1) == [(BACK,), (LEFT,), (RIGHT,)] == plausible_turns(False, 1)
    assert len(plausible_turns(True, 2)) == 6
    assert len(plausible_turns(False, 2)) == 4
    offered, right = Counter(), Counter()
    for seed in range(8):
        for item in items(furnished(seed), seed=seed):
            pattern = item.slots["steps"][0] == "?", len(item.options[0].split(", "))
            known = {turn_list(words) for words in plausible_turns(*pattern)}
            assert set(item.options) <= known
            offered.update((pattern, o) for o in item.options if o != item.answer)
            right[pattern, item.answer] += 1
    assert all(offered[key] > 0 for key, count in right.items() if count > 2)


def test_no_turn_says_more_than_another_about_the_first_blank():
    firsts = Counter()
    for seed in range(14):
        for item in items(furnished(seed), seed=seed):
            if item.details["steps"][0]["action"] == "turn" and len(item.options) == 3:
                firsts[item.answer] += 1
    assert sum(firsts.values()) > 30
    assert min(firsts[w] for w in ("Turn Back", "Turn Left", "Turn Right")) > 0.2 * sum(firsts.values())


def test_candidates_tell_why_a_route_is_not_asked():
    rows = list(RoutePlanning().candidates(SceneGraph(furnished(4))))
    assert rows == list(RoutePlanning().candidates(SceneGraph(furnished(4))))
    assert any(row["eligible"] for row in rows)
    assert any(row["problem"] for row in rows)
    assert all(row["eligible"] == (row["problem"] is None) for row in rows)
    assert all(named for row in rows for named in (row["start"], row["facing"], *row["stops"]))


def test_the_order_and_signs_of_box_axes_mean_nothing():
    scene = wedge(90)
    boxes = {o.category: o.box for o in scene.objects}
    order = np.array([2, 0, 1])
    shuffled = {c: replace(b, size=b.size[order], axes=-b.axes[order]) for c, b in boxes.items()}
    assert answers(room(scene.room.outlines[0].polygon, **shuffled)) == answers(scene)
