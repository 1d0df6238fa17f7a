"""Options in another order: the questions stay what they are, and a letter is worth no more than chance."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm3r.evaluation.metrics import score
from vlm3r.evaluation.run.benchmark import Benchmark, Question, VideoQuestions, read_benchmark
from vlm3r.evaluation.run.permute import permute_options
from vlm3r.evaluation.run.published import Source
from vlm3r.evaluation.run.runner import score_answer

KIND = {2: "object_rel_direction_easy", 3: "object_rel_direction_medium", 4: "object_rel_distance"}
WORDS = ["lamp", "sofa", "bed", "table"]


def questions(count: int, options: int, target: str = "A"):
    """Benchmark rows whose right answer always has the same letter."""
    texts = [f"{letter}. {word}" for letter, word in zip("ABCD", WORDS[:options], strict=False)]
    row = {
        "question_type": KIND[options],
        "scene_name": "s",
        "question": "Which?",
        "options": texts,
        "mc_answer": target,
    }
    return [row | {"id": number, "video_path": f"v{number % 3}"} for number in range(count)]


@pytest.fixture
def read(tmp_path):
    def read(rows) -> Benchmark:
        (tmp_path / "bench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_benchmark(tmp_path / "bench.jsonl")

    return read


def asked(benchmark: Benchmark) -> list[Question]:
    return sorted((q for group in benchmark.videos for q in group.questions), key=lambda question: question.line)


def text_of(question: Question, letter: str) -> str:
    return next(option.partition(". ")[2] for option in question.row["options"] if option.startswith(letter))


@given(count=st.integers(1, 60), options=st.sampled_from([2, 3, 4]), seed=st.integers(0, 5))
def test_each_letter_is_right_equally_often_so_that_one_letter_scores_chance(count, options, seed):
    rows = [Question(line, row, "", "A") for line, row in enumerate(questions(count, options), 1)]
    found = asked(permute_options(Benchmark(Source(()), (VideoQuestions("v", tuple(rows)),), ()), seed))
    right = Counter(question.target for question in found)
    assert max(right.values()) - min(right[letter] for letter in "ABCD"[:options]) <= 1
    for letter in "ABCD"[:options]:
        share = sum(score(letter, question.target, KIND[options]) for question in found) / count
        assert abs(share - 1 / options) < 1 / count


def test_a_model_that_knows_the_text_keeps_its_score_and_one_that_likes_a_letter_loses_it(read):
    before = read([*questions(40, 2), *questions(40, 4)])
    after = permute_options(before, 3)

    def average(benchmark, answer):
        found = [score_answer("v", question, "p", answer(question))["published"] for question in asked(benchmark)]
        return sum(found) / len(found)

    def knows(question):
        return next(option for option in question.row["options"] if option.endswith("lamp"))[0]

    assert (average(before, lambda _: "A"), average(before, knows)) == (1.0, 1.0)
    assert average(after, knows) == 1.0
    assert average(after, lambda _: "A") == pytest.approx((20 + 10) / 80)


def test_options_are_the_same_texts_under_letters_in_order_and_the_right_one_stays_right(read):
    before, after = (asked(benchmark) for benchmark in _both(read, questions(24, 4, "C")))
    for old, new in zip(before, after, strict=True):
        assert [option[:3] for option in new.row["options"]] == ["A. ", "B. ", "C. ", "D. "]
        assert sorted(o[3:] for o in new.row["options"]) == sorted(o[3:] for o in old.row["options"])
        assert text_of(new, new.target) == text_of(old, old.target) == "bed"
        assert (new.file_target, old.file_target) == ("C", None)
        for option in new.row["options"]:
            assert option in new.text
    assert len({tuple(question.row["options"]) for question in after}) > 6


def test_numbers_and_the_answer_s_text_stay_and_the_same_seed_gives_the_same_order(read):
    number = {"question_type": "object_counting", "scene_name": "s", "question": "How many?", "ground_truth": "3"}
    with_text = [row | {"ground_truth": "lamp"} for row in questions(6, 3)]
    letters = [{**row, "ground_truth": "A", "mc_answer": None} for row in questions(6, 3)]
    benchmark = read([number | {"video_path": "v"}, *with_text, *letters])
    found = permute_options(benchmark, 1)
    assert asked(found)[0] == asked(benchmark)[0]
    assert {question.row["ground_truth"] for question in asked(found)[1:7]} == {"lamp"}
    assert all(question.row["ground_truth"] == question.target for question in asked(found)[7:])
    assert permute_options(benchmark, 1) == found
    assert permute_options(benchmark, 2) != found


def test_an_answer_is_recorded_with_the_letter_shown_and_the_letter_of_the_file(read):
    question = next(q for q in asked(_both(read, questions(20, 4))[1]) if q.target == "D")
    record = score_answer("v", question, "p", "D")
    assert (record["published"], record["robust"], record["target"], record["file_target"]) == (1.0, 1.0, "D", "A")
    assert score_answer("v", question, "p", "A")["published"] == 0.0
    assert score_answer("v", question, "p", "lamp")["robust"] == 1.0


def _both(read, rows):
    benchmark = read(rows)
    return benchmark, permute_options(benchmark, 0)
