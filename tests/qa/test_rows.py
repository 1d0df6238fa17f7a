"""Rows of both formats, the prompt, and the places of right answers."""

import collections
import json
import re
from pathlib import Path

import pytest

from tests.qa.conftest import rows_of
from vlm3r.evaluation.baselines import target_of
from vlm3r.evaluation.metrics import score
from vlm3r.qa.engine import GenerateOptions, generate
from vlm3r.qa.rows import LetterBalance, RowSettings, benchmark_view, make_row, prompt
from vlm3r.qa.sources import find_sources
from vlm3r.qa.types import question_type

PROMPTS = Path(__file__).parents[1] / "data" / "qa" / "prompts.json"
SCENE = {"key": "s", "scene": "room", "dataset": "synthetic", "video": "room/video.mp4"}


@pytest.fixture(scope="module")
def files(rooms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for format in ("benchmark", "training"):
        options = GenerateOptions(per_scene=2, format=format)
        generate(find_sources([rooms]), folder / format, options)
    return {format: rows_of(folder / format) for format in ("benchmark", "training")}


def question(kind="object_counting", answer=3, options=(), **slots):
    return {
        "task": kind,
        "question_type": kind,
        "slots": slots or {"category": "chair"},
        "answer": answer,
        "options": list(options),
        "objects": [],
        "frames": [],
        "details": {},
    }


@pytest.mark.parametrize("entry", json.loads(PROMPTS.read_text()), ids=lambda e: f"{e['question_type']}-{e['family']}")
def test_prompts_are_the_published_ones(entry):
    assert prompt(entry, "default" if entry["family"] == "default" else "api") == entry["prompt"]


def test_benchmark_rows_have_the_fields_that_evaluation_reads(files):
    for row in files["benchmark"]:
        kind = question_type(row["question_type"])
        assert kind.name == row["question_type"]
        assert row["video_path"] == f"synthetic/{row['scene_name']}.mp4"
        if kind.kind == "numeric":
            assert row["options"] is None
            assert row["mc_answer"] is None
            assert float(row["ground_truth"]) == row["provenance"]["answer"]
            continue
        letters = [option[0] for option in row["options"]]
        assert letters == list("ABCD")[: len(letters)]
        assert f"{row['mc_answer']}. {row['provenance']['answer']}" in row["options"]
        letter = kind.benchmark == "vsibench"
        assert row["ground_truth"] == (row["mc_answer"] if letter else row["provenance"]["answer"])


def test_the_right_answer_scores_in_full_and_others_do_not(files):
    for row in files["benchmark"]:
        assert score(target_of(row), target_of(row), row["question_type"]) == 1
        for option in row["options"] or ():
            assert score(option[0], target_of(row), row["question_type"]) == (option[0] == row["mc_answer"])


def test_category_fields_carry_their_published_names(files):
    by_type = {row["question_type"]: row for row in files["benchmark"]}
    slots = by_type["object_rel_direction_easy"]["provenance"]["slots"]
    assert by_type["object_rel_direction_easy"]["category, positioning object"] == slots["standing"]
    assert by_type["object_rel_direction_easy"]["category, orienting object"] == slots["facing"]
    assert by_type["object_rel_direction_easy"]["category, querying object"] == slots["queried"]
    assert by_type["object_abs_distance"]["category, first object"] in by_type["object_abs_distance"]["question"]
    assert by_type["object_counting"]["category"]
    movement = by_type["camera_movement_direction"]
    assert movement["frame_indices"] == [frame["frame_id"] for frame in movement["provenance"]["frames"]]
    assert len(movement["frame_indices"]) == 2


def test_training_rows_ask_the_prompt_and_answer_with_letter_or_number(files):
    known = {row["id"]: row for row in files["benchmark"]}
    assert {row["id"] for row in files["training"]} == set(known)
    for row in files["training"]:
        assert set(row) == {
            "id", "data_source", "scene_name", "question_type", "video", "conversations", "provenance",
        }  # fmt: skip
        human, gpt = row["conversations"]
        assert (human["from"], gpt["from"]) == ("human", "gpt")
        assert human["value"] == "<image>\n" + prompt(known[row["id"]])
        assert gpt["value"] == (known[row["id"]]["mc_answer"] or known[row["id"]]["ground_truth"])
    types = {row["question_type"] for row in files["training"]}
    assert {"object_rel_direction_v1", "object_rel_distance_v1", "camera_movement_direction"} <= types
    assert not {"object_rel_direction_hard", "object_rel_distance", "camera_movement_direction_v1"} & types


def test_a_training_row_gives_its_benchmark_row_back(files):
    known = {row["id"]: row for row in files["benchmark"]}
    for row in files["training"]:
        view, original = benchmark_view(row), known[row["id"]]
        for name in ("question", "options", "mc_answer", "scene_name"):
            assert view[name] == original[name]
        assert target_of(view) == target_of(original)


def test_an_open_row_asks_the_bare_question_and_answers_in_words():
    kind = question("camera_movement_direction", "Left", options=["Left", "Right"], start="1", end="2", total="9")
    row = make_row(SCENE, kind, LetterBalance(0), RowSettings("open", "ours", 0))
    view = benchmark_view(row)
    assert row["conversations"][0]["value"] == "<image>\n" + view["question"]
    assert not re.search(r"Options|Answer|frames of a video", view["question"])
    assert row["conversations"][1]["value"] == view["ground_truth"] == "Left"
    assert (view["options"], view["mc_answer"]) == (None, None)


def test_rows_say_where_they_come_from(files):
    for row in files["benchmark"]:
        origin = row["provenance"]
        assert origin["generator"].startswith("vlm3r ")
        assert origin["seed"] == 0
        assert origin["source"] == row["scene_name"]
        for thing in origin["objects"]:
            assert thing["category"]
            assert isinstance(thing["instance_id"], int)


def test_zero_stays_zero():
    settings = RowSettings("training", "ours", 0)
    kind = question("camera_obj_dist_change", 0, category="chair", start="1", end="2", total="9")
    row = make_row(SCENE, kind, LetterBalance(0), settings)
    assert row["conversations"][1]["value"] == "0"


def test_letters_are_right_equally_often_and_options_stay_complete():
    letters, options = LetterBalance(0), ["Left", "Right", "Forward", "Backward"]
    placed = [letters.place("camera_movement_direction", "Left", options) for _ in range(400)]
    assert collections.Counter(letter for _, letter in placed) == dict.fromkeys("ABCD", 100)
    assert all(sorted(found) == sorted(options) for found, _ in placed)
    assert all(found["ABCD".index(letter)] == "Left" for found, letter in placed)
    others = collections.Counter(tuple(o for o in found if o != "Left") for found, _ in placed)
    assert len(others) == 6
    assert min(others.values()) > 35


def test_ids_depend_on_content_and_seed_only():
    ids = set()
    for kind, seed in ((question(), 0), (question(), 1), (question(category="table"), 0)):
        first, again = (make_row(SCENE, kind, LetterBalance(0), RowSettings(seed=seed))["id"] for _ in range(2))
        assert first == again
        ids.add(first)
    assert len(ids) == 3
