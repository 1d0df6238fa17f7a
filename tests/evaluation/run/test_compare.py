"""Two runs, compared by hand."""

from __future__ import annotations

import json

import pytest

from vlm3r.errors import UserError
from vlm3r.evaluation.run.compare import compare_runs
from vlm3r.evaluation.run.journal import ANSWERS, RUN
from vlm3r.evaluation.run.markdown import comparison_markdown

COUNT, EASY, SIDE = "object_counting", "object_rel_direction_easy", "obj_obj_relative_pos_lr"
# id, type, scene, score in the first run, score in the second
ROWS = [
    ("a", COUNT, "s0", 0.2, 0.6),
    ("b", COUNT, "s1", 1.0, 0.8),
    ("c", EASY, "s0", 0.0, 1.0),
    ("d", EASY, "s1", 1.0, 1.0),
    ("d", EASY, "s1", 0.0, 0.0),
    ("e", SIDE, "s1", 1.0, 0.0),
]


def write_run(folder, rows, place, fingerprint):
    folder.mkdir()
    (folder / RUN).write_text(json.dumps({"fingerprint": fingerprint}))
    lines = [
        {
            "line": line,
            "id": row[0],
            "question_type": row[1],
            "scene": row[2],
            "video": row[2],
            "target": "A",
            "answer": f"run {place}",
            "published": row[place],
            "robust": row[place],
        }
        for line, row in enumerate(rows, 1)
    ]
    (folder / ANSWERS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def runs(tmp_path):
    first = write_run(tmp_path / "a", [*ROWS, ("x", COUNT, "s2", 1.0, 1.0)], 3, {"probe": "none"})
    return first, write_run(tmp_path / "b", ROWS, 4, {"probe": "zero"})


def test_differences_and_flips_are_those_counted_by_hand(runs):
    found = compare_runs(*runs, resamples=200)
    scores = {(row["benchmark"], row["name"]): row for row in found["scores"]}
    assert (found["questions"], found["scenes"], found["only_first"], found["only_second"]) == (6, 2, 1, 0)
    assert found["fingerprint_differences"] == ["probe: none and zero"]
    counting = scores["vsibench", COUNT]
    assert counting["published"]["first"] == pytest.approx(0.6)
    assert counting["published"]["difference"] == pytest.approx(0.1)
    # Two scenes: a resample holds s0 only, s1 only, or both.
    assert counting["published"]["interval"] == pytest.approx((-0.2, 0.4))
    assert (counting["better"], counting["worse"], counting["questions"]) == (1, 1, 2)
    assert scores["vsibench", EASY]["published"]["difference"] == pytest.approx(1 / 3)
    assert scores["vsibench", "overall"]["published"]["difference"] == pytest.approx((0.1 + 1 / 3) / 2)
    assert scores["vstibench", "overall"]["published"]["difference"] == pytest.approx(-1)
    whole = scores["", "micro"]
    assert whole["robust"]["difference"] == pytest.approx((0.4 - 0.2 + 1 - 1) / 6)
    assert (whole["better"], whole["worse"]) == (2, 2)
    assert [(flip["id"], flip["first"], flip["second"]) for flip in found["flips"]["worse"]] == [
        ("b", "run 3", "run 4"),
        ("e", "run 3", "run 4"),
    ]


def test_the_page_shows_what_differs(runs):
    page = comparison_markdown(compare_runs(*runs, resamples=200))
    assert "- probe: none and zero" in page
    assert "| object_counting | 2 | 60.0 | 70.0 | +10.0 [-20.0, +40.0] |" in page


def test_a_run_against_itself_differs_in_nothing(runs):
    found = compare_runs(runs[0], runs[0], resamples=50)
    assert found["fingerprint_differences"] == []
    assert all(row["published"]["difference"] == 0 == row["better"] == row["worse"] for row in found["scores"])
    assert "The fingerprints are the same." in comparison_markdown(found)


def test_runs_without_a_question_in_common_are_refused(runs, tmp_path):
    other = write_run(tmp_path / "c", [("z", COUNT, "s0", 1.0, 1.0)], 3, {})
    with pytest.raises(UserError, match="no question in common"):
        compare_runs(runs[0], other)
    with pytest.raises(UserError, match="no record of a run"):
        compare_runs(runs[0], tmp_path)


def test_questions_that_share_an_id_only_are_not_paired(tmp_path):
    first = write_run(tmp_path / "a", [("1", COUNT, "s0", 1.0, 1.0)], 3, {})
    second = write_run(tmp_path / "b", [("1", COUNT, "s9", 1.0, 1.0)], 3, {})
    with pytest.raises(UserError, match="no question in common"):
        compare_runs(first, second)


@pytest.mark.parametrize(
    "change",
    [
        {"published": "x"},
        {"published": float("nan")},
        {"robust": 1e308},
        {"scene": None},
        {"answer": 3},
        {"question_type": "object_colour"},
    ],
)
def test_an_answer_with_a_field_of_another_type_is_named_by_its_line(runs, change):
    file = runs[1] / ANSWERS
    lines = file.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | change)
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=rf"line 2 has no valid {next(iter(change))}"):
        compare_runs(*runs)


def test_the_order_in_which_answers_were_written_changes_nothing(runs):
    before = compare_runs(*runs, resamples=50)
    file = runs[1] / ANSWERS
    file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    assert compare_runs(*runs, resamples=50) == before
