"""After balancing no constant answer scores above chance, on proposals whose answers are lopsided on purpose."""

import collections

import numpy as np
import pytest

from vlm3r.evaluation.metrics import mean_relative_accuracy
from vlm3r.qa.balance import BalanceSettings, answer_range, count, select, trim

SETTINGS = BalanceSettings()


def scenes(make, number=200, per_scene=24, seed=0):
    rng = np.random.default_rng(seed)
    return [{"scene": f"s{i}", "questions": [make(rng, j) for j in range(per_scene)]} for i in range(number)]


def item(kind, answer, options=()):
    return {"question_type": kind, "answer": answer, "options": list(options), "slots": {}}


def balanced(records, kind, cap=6):
    chosen = list(select(records, {kind: cap}, 0))
    return [q for record in trim(chosen, count(chosen), 0, SETTINGS) for q in record["questions"]]


def lopsided_words(rng, _):
    return item("words", str(rng.choice(["left", "right", "back"], p=[0.55, 0.4, 0.05])), ["left", "right", "back"])


def lopsided_pairs(rng, _):
    """Two of four words offered; `forward` is right wherever it is offered."""
    a, b = rng.choice(["forward", "left", "right", "backward"], 2, replace=False)
    return item("pairs", "forward" if "forward" in (a, b) else str(a), [str(a), str(b)])


def lopsided_names(rng, _):
    """Of four categories the one with the smallest number is right nine times in ten."""
    offered = rng.choice(20, 4, replace=False)
    answer = offered.min() if rng.random() < 0.9 else rng.choice(offered)
    return item("names", f"c{answer}", [f"c{o}" for o in offered])


def lopsided_numbers(rng, _):
    return item("numbers", round(float(rng.normal(2.0, 0.15)) if rng.random() < 0.8 else float(rng.uniform(0.3, 9)), 1))


def win_rates(questions):
    right, offered = collections.Counter(), collections.Counter()
    for question in questions:
        right[question["answer"]] += 1
        offered.update(question["options"])
    return {option: right[option] / n for option, n in offered.items() if n >= 30}


@pytest.mark.parametrize(
    ("make", "kind", "chance"), [(lopsided_words, "words", 1 / 3), (lopsided_names, "names", 1 / 4)]
)
def test_no_option_is_right_more_often_than_by_chance(make, kind, chance):
    records = scenes(make)
    raw = win_rates([q for record in records for q in record["questions"][:6]])
    assert max(raw.values()) > chance + 0.15  # the input is lopsided indeed
    rates = win_rates(balanced(records, kind))
    slack = 0.02 if kind == "words" else 0.15  # a category has about 50 offers: 0.06 is one standard error
    assert max(rates.values()) < chance + slack


def test_an_option_that_is_right_wherever_it_is_offered_is_hardly_ever_asked_for():
    after = balanced(scenes(lopsided_pairs), "pairs")
    assert len(after) > 1000
    assert sum("forward" in q["options"] for q in after) < 20
    assert max(win_rates(after).values()) < 0.55


def test_the_best_constant_number_scores_little():
    def best(values):
        return max(np.mean([mean_relative_accuracy(g, v) for v in values]) for g in np.unique(values))

    records = scenes(lopsided_numbers)
    raw = [q["answer"] for record in records for q in record["questions"][:6]]
    after = [q["answer"] for q in balanced(records, "numbers")]
    assert best(raw) > 0.6
    assert best(after) < 0.35
    assert len(after) > 500


def test_selection_keeps_the_cap_and_invents_nothing():
    records = scenes(lopsided_words, number=20)
    for before, after in zip(records, select(records, {"words": 5}, 0), strict=True):
        assert len(after["questions"]) == 5
        kept = collections.Counter(q["answer"] for q in after["questions"])
        assert kept <= collections.Counter(q["answer"] for q in before["questions"])
    unbalanced = list(select(records, {"words": 5}, 0, balanced=False))
    assert all(len(record["questions"]) == 5 for record in unbalanced)


def test_choices_depend_on_the_seed_only():
    records = scenes(lopsided_numbers, number=30)
    assert list(select(records, {"numbers": 4}, 3)) == list(select(records, {"numbers": 4}, 3))
    assert list(select(records, {"numbers": 4}, 3)) != list(select(records, {"numbers": 4}, 4))


def test_an_answer_that_never_occurs_costs_no_questions():
    records = scenes(lambda rng, _: item("words", "left" if rng.random() < 0.5 else "right", ["left", "right", "back"]))
    assert len(balanced(records, "words")) > 0.95 * 200 * 6


def test_trimming_takes_evenly_from_all_scenes():
    records = scenes(lambda rng, j: item("words", "left" if j % 4 else "right", ["left", "right"]), per_scene=4)
    after = list(trim(records, count(records), 0, SETTINGS))
    lefts = [sum(q["answer"] == "left" for q in record["questions"]) for record in after]
    halves = np.array(lefts).reshape(2, 100).sum(1)
    assert abs(halves[0] - halves[1]) < 40
    assert sum(len(record["questions"]) - left for record, left in zip(after, lefts, strict=True)) == 200


def test_ranges_are_logarithmic_and_small_numbers_have_their_own():
    assert len({answer_range(n) for n in range(1, 7)}) == 6 - (answer_range(5) == answer_range(6))
    assert answer_range(100) == answer_range(105)
    assert answer_range(2.0) < answer_range(2.6)
    assert answer_range(0) < answer_range(0.01)
