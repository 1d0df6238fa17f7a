"""What is taken from a file of questions, and what is left out and why."""

from __future__ import annotations

import json

import pytest

from tests.evaluation.run.small import rows_about, write_benchmark
from vlm3r.errors import UserError
from vlm3r.evaluation.run.benchmark import default_roots, find_video, read_benchmark
from vlm3r.qa.rows import prompt


def row(**changes):
    return json.dumps(rows_about("scene0", 9)[2] | changes)


BAD = {
    "{": "no row of questions",
    "[1]": "no row of questions",
    '"text"': "no row of questions",
    row(question_type="object_colour"): "unknown question type 'object_colour'",
    row(question_type=None): "question_type is None",
    row(question=""): "question is ''",
    row(options=None): "options are not lettered",
    row(options=["left", "right"]): "options are not lettered",
    row(ground_truth="C"): "right letter 'C' is none of",
    row(ground_truth=None): "no letter",
    row(question_type="object_counting", ground_truth="many"): "not a number",
    row(question_type="object_counting", ground_truth="nan"): "not a finite number",
    row(video_path=["scene0.mp4"]): "video_path is ['scene0.mp4'], not text",
    row(video_path=None, dataset=None): "no video to ask about",
    "[" * 100_000: "no row of questions",
    row(question="half of a character: \ud800"): "surrogates not allowed",
    row(id="\ud800"): "surrogates not allowed",
    row(video_path="\ud800.mp4"): "surrogates not allowed",
    row(question="<image> and <image>?"): "several times",
}


def test_lines_that_hold_no_question_are_left_out_with_their_number_and_reason(tmp_path):
    file = write_benchmark(tmp_path, 2, ["", *BAD])
    file.write_bytes(file.read_bytes() + b"\xff\xfe\n")
    found = read_benchmark(file)
    assert [bad.line for bad in found.bad_lines] == list(range(12, 12 + len(BAD) + 1))
    for bad, reason in zip(found.bad_lines, [*BAD.values(), "no row of questions"], strict=True):
        assert reason in bad.reason
        assert "\n" not in bad.reason
    assert [len(group.questions) for group in found.videos] == [5, 5]


def test_questions_are_grouped_by_video_in_the_order_of_the_file(tmp_path):
    lines = [row for pair in zip(rows_about("one"), rows_about("two"), strict=True) for row in pair]
    file = tmp_path / "mixed.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    groups = read_benchmark(file).videos
    assert [group.video for group in groups] == ["one/video", "two/video"]
    assert [[question.line for question in group.questions] for group in groups] == [[1, 3, 5, 7, 9], [2, 4, 6, 8, 10]]
    assert groups[0].questions[2].text == prompt(lines[4])
    assert [question.target for question in groups[0].questions] == ["3", "2.5", "A", "B", "1.5"]


def test_a_published_row_names_its_video_by_data_set_and_scene(tmp_path):
    file = tmp_path / "published.jsonl"
    file.write_text(row(video_path=None, dataset="scannet"))
    assert read_benchmark(file).videos[0].video == "scannet/scene0.mp4"


def test_a_training_row_is_asked_as_the_benchmark_row_that_it_came_from(tmp_path):
    source = rows_about("scene0")[2]
    turns = [{"from": "human", "value": f"<image>\n{prompt(source)}"}, {"from": "gpt", "value": "A"}]
    trained = {name: source[name] for name in ("id", "scene_name", "question_type")}
    file = tmp_path / "training.jsonl"
    file.write_text(json.dumps(trained | {"data_source": "d", "video": "v.mp4", "conversations": turns}))
    group = read_benchmark(file).videos[0]
    assert (group.video, group.questions[0].text, group.questions[0].target) == ("v.mp4", prompt(source), "A")


@pytest.mark.parametrize("content", ["", "\n", "{}\n"])
def test_a_file_without_questions_is_an_error_of_one_line(tmp_path, content):
    file = tmp_path / "empty.jsonl"
    file.write_text(content)
    with pytest.raises(UserError, match=r"holds no questions.*vlm3r qa generate") as error:
        read_benchmark(file)
    assert "\n" not in str(error.value)


def test_videos_are_looked_for_where_the_scenes_were_and_beside_the_file(tmp_path):
    file = write_benchmark(tmp_path / "here", 1)
    scenes = tmp_path / "scenes"
    (scenes / "elsewhere").mkdir(parents=True)
    (tmp_path / "meta.json").write_text("{}")
    assert default_roots(file) == [file.parent]
    record = {"scenes_from": [str(scenes), str(tmp_path / "meta.json")]}
    file.with_name("bench.jsonl.meta.json").write_text(json.dumps(record))
    roots = default_roots(file)
    assert roots == [scenes, tmp_path, file.parent]
    assert find_video("elsewhere", roots) == scenes / "elsewhere"
    assert find_video("scene0/video", roots) == file.parent / "scene0" / "video"
    with pytest.raises(UserError, match=r"nowhere: is in none of .*--video-root"):
        find_video("nowhere", roots)


def test_a_name_that_no_file_can_have_is_an_error_of_its_video(tmp_path):
    with pytest.raises(UserError, match=r"^x{80}: is no path of a video"):
        find_video("x" * 5000, [tmp_path])
