"""Blind baselines against closed forms and exhaustive search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3r.errors import UserError
from vlm3r.evaluation.baselines import best_number, fit, random_choice, score_prior, simulated_choice, target_of
from vlm3r.evaluation.metrics import aggregate, mean_relative_accuracy


def option_row(kind: str, answer: str, options: int | list[str], **more: Any) -> dict[str, Any]:
    texts = [f"thing {place}" for place in range(options)] if isinstance(options, int) else options
    lettered = [f"{letter}. {text}" for letter, text in zip("ABCD", texts, strict=False)]
    return {"question_type": kind, "options": lettered, "mc_answer": answer, "ground_truth": "(text)", **more}


def number_row(kind: str, truth: object) -> dict[str, Any]:
    return {"question_type": kind, "options": None, "ground_truth": truth}


BENCHMARK = [
    *(option_row("object_rel_distance", letter, 4) for letter in "ABCD"),
    *(option_row("object_rel_direction_easy", letter, 2) for letter in "AABA"),
    *(option_row("object_rel_direction_medium", letter, 3) for letter in "ABCC"),
    *(option_row("object_rel_direction_hard", letter, 4) for letter in "ABCD"),
    *(option_row("route_planning", letter, 3) for letter in "AB"),
    *(option_row("route_planning", letter, 4) for letter in "AB"),
    *(number_row("object_counting", truth) for truth in ("2", "2", "3", "10")),
]


def test_random_choice_is_one_over_the_number_of_options():
    result = aggregate(random_choice(BENCHMARK), "vsibench")
    assert result["per_task"]["object_rel_distance"] == 0.25
    assert round(100 * result["per_task"]["object_rel_direction"], 1) == 36.1  # the published row
    assert result["per_task"]["route_planning"] == pytest.approx((1 / 3 + 1 / 4) / 2)
    assert "object_counting" not in result["per_task"]


def test_the_share_of_one_blank_routes_follows_from_the_published_chance():
    share = (0.283 - 1 / 4) / (1 / 3 - 1 / 4)
    short = round(194 * share)
    rows = [option_row("route_planning", "A", 3)] * short + [option_row("route_planning", "A", 4)] * (194 - short)
    assert 100 * aggregate(random_choice(rows), "vsibench")["overall"] == pytest.approx(28.3, abs=0.05)


def test_simulated_guesses_come_near_their_expectation_and_repeat():
    rows = [option_row("obj_appearance_order", "ABCD"[place % 4], 4) for place in range(4000)]
    scored = simulated_choice(rows, seed=3)
    assert aggregate(scored, "vsibench")["overall"] == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 4000))
    assert scored == simulated_choice(rows, seed=3) != simulated_choice(rows, seed=4)


def test_the_most_frequent_letter_scores_its_share():
    result = aggregate(score_prior(fit(BENCHMARK, "frequent"), BENCHMARK), "vsibench")
    assert result["per_type"]["object_rel_direction_easy"] == 0.75
    assert result["per_type"]["object_rel_direction_medium"] == 0.5
    assert result["per_task"]["object_rel_distance"] == 0.25
    assert result["per_task"]["object_rel_direction"] == pytest.approx((0.75 + 0.5 + 0.25) / 3)


def test_equally_frequent_letters_give_the_first_whatever_the_order():
    rows = [option_row("route_planning", letter, 3) for letter in "CBAABC"]
    assert fit(rows, "frequent").answers == fit(rows[::-1], "frequent").answers == {"route_planning": "A"}


def test_the_median_is_the_median_of_each_type():
    rows = [*BENCHMARK, *(number_row("room_size_estimation", truth) for truth in (10, 20, 60))]
    answers = fit(rows, "median").answers
    assert (float(answers["object_counting"]), float(answers["room_size_estimation"])) == (2.5, 20)
    scored = score_prior(fit(rows, "median"), rows[-3:])
    assert [row["score"] for row in scored] == [0, 1, 0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 400).map(lambda tenths: tenths / 10), min_size=1, max_size=12))
def test_the_best_number_is_not_beaten_by_any_other(targets: list[float]):
    def mean(guess: float) -> float:
        return float(np.mean([mean_relative_accuracy(guess, target) for target in targets]))

    grid = np.unique(np.concatenate([np.linspace(0.4 * min(targets), 1.6 * max(targets), 400), targets]))
    best = best_number(targets)
    assert mean(best) >= max(mean(guess) for guess in grid.tolist()) - 1e-12


def test_the_best_number_for_two_far_apart_groups_serves_the_larger_one():
    assert mean_relative_accuracy(best_number([2.0] * 3 + [100.0] * 2), 2.0) == 1
    assert best_number([2.0, 2.0]) == best_number([2.0, 0.0, -3.0]) == 2
    assert best_number([-1.0, -3.0]) == -2


def test_a_prior_of_option_texts_finds_answers_that_letters_hide():
    def rows(count: int, seed: int) -> list[dict[str, Any]]:
        """Letters are balanced, but "left" is right in nine questions of ten."""
        rng = np.random.default_rng([seed])
        made = []
        for place in range(count):
            options = ["left", "right"] if place % 2 else ["right", "left"]
            word = "left" if rng.random() < 0.9 else "right"
            made.append(option_row("object_rel_direction_easy", "AB"[options.index(word)], options))
        return made

    train, test = rows(400, 0), rows(400, 1)
    by_letter = aggregate(score_prior(fit(train, "frequent"), test), "vsibench")["overall"]
    by_text = aggregate(score_prior(fit(train, "option_text"), test), "vsibench")["overall"]
    assert by_letter < 0.6 and by_text == pytest.approx(0.9, abs=0.06)


def test_a_prior_of_option_texts_is_at_chance_where_texts_say_nothing():
    rng = np.random.default_rng([5])
    names = [f"object {number}" for number in range(30)]
    rows = [
        option_row("object_rel_distance", str(rng.choice(list("ABCD"))), rng.choice(names, 4, replace=False).tolist())
        for _ in range(3000)
    ]
    result = aggregate(score_prior(fit(rows[:2000], "option_text"), rows[2000:]), "vsibench")["overall"]
    assert result == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 1000))


def test_types_that_the_training_file_lacks_score_nothing_and_are_counted():
    prior = fit([row for row in BENCHMARK if row["question_type"] != "route_planning"], "median")
    result = aggregate(score_prior(prior, BENCHMARK), "vsibench")
    assert result["per_task"]["route_planning"] == 0
    assert result["problems"] == {"the type is not in the file that the prior comes from": 4}


def test_the_letter_may_stand_in_either_field():
    assert target_of({"question_type": "route_planning", "ground_truth": "C"}) == "C"
    assert target_of({"question_type": "camera_obj_rel_dist_v1", "ground_truth": "chair", "mc_answer": "B"}) == "B"
    assert target_of({"question_type": "object_counting", "ground_truth": 3, "mc_answer": "A"}) == "3"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": 7, "question_type": "route_planning", "ground_truth": "left"}, "row 7 .*no letter"),
        ({"id": 7, "question_type": "object_counting", "ground_truth": "many"}, "row 7 .*not a number"),
        ({"id": 7, "question_type": "object_counting"}, "row 7 .*not a number"),
    ],
)
def test_rows_without_their_answer_are_named(row: dict[str, Any], words: str):
    with pytest.raises(UserError, match=words):
        fit([row], "frequent")


def test_options_without_letters_are_named():
    row = {"id": 9, "question_type": "route_planning", "options": ["left", "right"], "mc_answer": "A"}
    with pytest.raises(UserError, match=r"row 9 .*lettered"):
        random_choice([row])
