"""The published scoring rule by rule, the robust protocol beside it, and the averages."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3r.errors import UserError
from vlm3r.evaluation.aggregate import by_benchmark
from vlm3r.evaluation.metrics import Scored, aggregate, judge, score
from vlm3r.qa.types import QUESTION_TYPES, question_type, types_of

OPTION_TYPES = [kind.name for kind in QUESTION_TYPES if kind.kind == "option"]
NUMERIC_TYPES = [kind.name for kind in QUESTION_TYPES if kind.kind == "numeric"]

LETTERS = {
    **dict.fromkeys(["A", "a", "A.", "A..", "A ", "A .", "A. chair", "A chair", "A\n", "\nA", "\tA", "A or B"], 1.0),
    **dict.fromkeys(
        [" A", "(A)", "A)", "A:", "A,", "A.chair", "A\nB", "A\tB", "A.\n", "Answer: A", "AB", "B", "", "."], 0.0
    ),
}

NUMBERS = [
    ("2.5", "2.5", 1.0),
    ("2.5", 2.5, 1.0),
    ("2.5 meters", "2.5", 1.0),
    ("2.5.", "2.5", 1.0),
    ("2.5 to 3.0", "2.5", 1.0),
    ("2_5", "25", 1.0),
    ("\u0662", "2", 1.0),
    ("+25e-1", "2.5", 1.0),
    ("2.5\n", "2.5", 1.0),
    ("\n2.5", "2.5", 1.0),
    *(
        (text, "2.5", 0.0)
        for text in (" 2.5", "2.5m", "2,5", "about 2.5", "two", "", "nan", "inf", "0x2", "2.5\nmeters")
    ),
    ("12", "10", 0.6),
    ("12.0", 10, 0.6),
    ("2.4", "2.0", 0.7),
    ("2.2", "2", 0.9),
    ("3", "2.5", 0.6),
    ("1.35", "1", 0.3),
    ("0.65", "1", 0.4),
    ("15", "10", 0.1),
    ("15.1", "10", 0.0),
    ("5", "-2", 1.0),
    ("-inf", "-2", 1.0),
    ("nan", "-2", 0.0),
    ("2", "inf", 0.0),
    ("2", "nan", 0.0),
    ("2", "A", 0.0),
    ("2", None, 0.0),
    ("x", "0", 0.0),
    ("2", "0", 0.0),
]


@pytest.mark.parametrize("kind", ["object_rel_direction_easy", "camera_obj_rel_dist_v1"])
@pytest.mark.parametrize(("answer", "expected"), LETTERS.items())
def test_a_letter_scores_as_published(kind: str, answer: str, expected: float):
    assert score(answer, "A", kind) == score(answer, "a", kind) == expected


@pytest.mark.parametrize(("answer", "target", "expected"), NUMBERS)
def test_a_number_scores_as_published(answer: str, target: Any, expected: float):
    assert [score(answer, target, kind) for kind in NUMERIC_TYPES] == pytest.approx([expected] * len(NUMERIC_TYPES))


def test_where_the_published_scorer_raises_the_score_is_zero_and_says_so():
    assert judge("2", "0", "object_counting") == Scored(0.0, "the target is 0: the published scorer raises")
    assert judge("A", None, "route_planning").problem == "the target is NoneType, not a letter"
    assert judge(None, "A", "route_planning").problem == "the answer is NoneType, not text"
    assert judge(2.5, "2.5", "object_abs_distance").problem == "the answer is float, not text"
    assert judge("B", "A", "route_planning") == Scored(0.0)


@given(st.integers(1, 10_000), st.integers(0, 30_000))
def test_mean_relative_accuracy_counts_the_thresholds_of_exact_arithmetic(target: int, prediction: int):
    error = Fraction(abs(prediction - target), target)
    thresholds = [Fraction(50 + 5 * step, 100) for step in range(10)]
    if any(error == 1 - threshold for threshold in thresholds):
        return  # at a boundary double precision decides; the table above has such cases
    exact = Fraction(sum(error <= 1 - threshold for threshold in thresholds), 10)
    assert score(str(prediction), str(target), "object_counting") == pytest.approx(float(exact), abs=1e-12)


ANYTHING = st.one_of(st.text(max_size=40), st.floats().map(str), st.none(), st.integers(), st.sampled_from("ABCD"))


@settings(max_examples=400, deadline=None)
@given(ANYTHING, ANYTHING, st.sampled_from(QUESTION_TYPES), st.sampled_from(["published", "robust"]))
def test_a_score_lies_between_0_and_1_for_any_answer_and_target(answer: Any, target: Any, kind: Any, protocol: Any):
    assert 0 <= score(answer, target, kind.name, protocol) <= 1


@given(st.sampled_from("ABCD"), st.sampled_from("ABCD"), st.sampled_from(["{}", "{}.", "{}. ", "{}\n", "{}.. "]))
def test_both_protocols_agree_on_clean_letters(answer: str, target: str, written: str):
    for text in (written.format(answer), written.format(answer.lower())):
        published = score(text, target, "route_planning")
        assert score(text, target, "route_planning", "robust") == published == (answer == target)


@given(
    st.floats(0, 1e4),
    st.floats(0.01, 1e4),
    st.sampled_from(["{}", "{}.", "{} ", "{}\n"]),
    st.sampled_from(NUMERIC_TYPES),
)
def test_both_protocols_agree_on_clean_numbers(answer: float, target: float, written: str, kind: str):
    text = written.format(answer)
    assert score(text, str(target), kind, "robust") == score(text, str(target), kind, "published")


def test_the_robust_protocol_understands_what_the_published_one_does_not():
    assert score("250 cm", "2.5", "object_abs_distance", "robust") == 1
    assert score("2.5 m", "250", "object_size_estimation", "robust") == 1
    assert score("2.5 m", "250", "object_size_estimation") == 0
    assert score("chair", "B", "object_rel_distance", "robust", options=["A. table", "B. chair"]) == 1
    assert score("A or B", "A", "object_rel_distance", "robust") == 0


@pytest.mark.parametrize(
    ("answer", "target", "expected"), [("-2", "-2", 1), ("2", "-2", 0), ("0", "0", 1), ("1", "0", 0)]
)
def test_the_robust_protocol_takes_the_target_without_its_sign_as_the_measure(answer: str, target: str, expected: int):
    assert score(answer, target, "camera_obj_dist_change", "robust") == expected


def test_unknown_names_are_errors_that_name_the_nearest():
    with pytest.raises(UserError, match=r"'object_countin'.*'object_counting'"):
        score("2", "2", "object_countin")
    with pytest.raises(UserError, match="published or robust"):
        score("2", "2", "object_counting", "lenient")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match="vsibench or vstibench"):
        aggregate([], "vsi")


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("object_rel_distance_v1", "object_rel_distance"),
        ("object_rel_distance_easy", "object_rel_distance_v3"),
        ("object_rel_direction_v1", "object_rel_direction_hard"),
        ("object_rel_direction_v2", "object_rel_direction_medium"),
        ("object_rel_direction_v3", "object_rel_direction_easy"),
        ("camera_movement_direction_v2", "camera_movement_direction"),
    ],
)
def test_other_names_mean_the_same_type(alias: str, name: str):
    assert question_type(alias) is question_type(name)
    assert score("a", "A", alias) == 1


def test_no_two_types_share_a_name():
    names = [name for kind in QUESTION_TYPES for name in kind.names]
    assert len(names) == len(set(names))
    assert {kind.name for kind in types_of("vsibench")} | {kind.name for kind in types_of("vstibench")} < set(names)
    assert all(bool(kind.options) == (kind.kind == "option") for kind in QUESTION_TYPES)


def rows(**means: tuple[int, float]) -> list[dict[str, Any]]:
    """As many rows of each type as given, all of the given score."""
    return [{"question_type": name, "score": mean} for name, (count, mean) in means.items() for _ in range(count)]


def test_directions_are_averaged_before_tasks_are():
    scored = rows(
        object_counting=(1, 0.9),
        object_rel_direction_easy=(10, 1.0),
        object_rel_direction_medium=(1, 0.5),
        object_rel_direction_hard=(1, 0.0),
    )
    result = aggregate(scored, "vsibench")
    assert result["per_task"] == {"object_counting": 0.9, "object_rel_direction": 0.5}
    assert result["overall"] == pytest.approx(0.7)
    assert result["micro"] == pytest.approx((0.9 + 10 + 0.5) / 13)
    assert result["counts"]["object_rel_direction_easy"] == 10
    assert "overall_five_tasks" not in result
    assert aggregate(rows(object_rel_direction_v3=(2, 1.0)), "vsibench")["overall"] == 1


def test_vsti_has_a_mean_of_types_and_one_of_five_tasks():
    scored = rows(
        camera_obj_abs_dist=(1, 0.1),
        camera_displacement=(2, 0.2),
        camera_movement_direction=(3, 0.3),
        obj_obj_relative_pos_nf=(1, 0.3),
        obj_obj_relative_pos_lr=(5, 0.4),
        obj_obj_relative_pos_ud=(1, 0.5),
        camera_obj_rel_dist_v1=(1, 0.6),
        camera_obj_rel_dist_v2=(1, 0.7),
        camera_obj_rel_dist_v3=(4, 0.8),
    )
    result = aggregate(scored, "vstibench")
    assert result["overall"] == pytest.approx((0.1 + 0.2 + 0.3 + 0.3 + 0.4 + 0.5 + 0.6 + 0.7 + 0.8) / 9)
    assert result["overall_five_tasks"] == pytest.approx((0.1 + 0.2 + 0.3 + 0.4 + 0.7) / 5)
    more = aggregate([*scored, *rows(camera_obj_dist_change=(1, 1.0))], "vstibench")
    assert more["overall_five_tasks"] == result["overall_five_tasks"]
    assert more["overall"] == pytest.approx((9 * result["overall"] + 1) / 10)


def test_the_published_chance_rows_follow_from_their_tasks():
    frequent = {"camera_obj_abs_dist": 5.4, "camera_displacement": 6.2, "camera_movement_direction": 40.7}
    frequent |= {"obj_obj_relative_pos_nf": 52.2, "camera_obj_rel_dist_v1": 32.4}
    result = aggregate([{"question_type": name, "score": value / 100} for name, value in frequent.items()], "vstibench")
    assert round(100 * result["overall_five_tasks"], 1) == 27.4


@given(st.permutations(rows(object_counting=(3, 0.1), route_planning=(2, 0.7), object_rel_direction_easy=(2, 1 / 3))))
def test_the_order_of_rows_changes_nothing(shuffled: list[dict[str, Any]]):
    assert aggregate(shuffled, "vsibench") == aggregate(
        sorted(shuffled, key=lambda row: row["question_type"]), "vsibench"
    )


def test_problems_are_counted():
    judged = [judge(text, "0", "object_counting") for text in ("1", "2", "x")]
    scored = [{"question_type": "object_counting", "score": j.score, "problem": j.problem} for j in judged]
    assert aggregate(scored, "vsibench")["problems"] == {
        "the answer does not begin with a number": 1,
        "the target is 0: the published scorer raises": 2,
    }


@pytest.mark.parametrize(
    ("scored", "words"),
    [
        ([], "no rows"),
        ([{"question_type": "camera_displacement", "score": 1.0}], "belongs to vstibench"),
        ([{"question_type": "object_counting", "score": 60.0}], "between 0 and 1"),
        ([{"question_type": "object_counting", "score": math.nan}], "between 0 and 1"),
    ],
)
def test_rows_that_cannot_be_averaged_are_errors(scored: list[dict[str, Any]], words: str):
    with pytest.raises(UserError, match=words):
        aggregate(scored, "vsibench")


def test_mixed_rows_are_split_by_benchmark():
    mixed = rows(object_counting=(1, 0.5), camera_displacement=(2, 0.25), route_planning=(1, 1.0))
    assert {name: len(group) for name, group in by_benchmark(mixed).items()} == {"vsibench": 2, "vstibench": 2}
