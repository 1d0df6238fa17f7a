"""`vlm3r ask` on a small clip with the embedded model."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

from vlm3r.checkpoints.loading import EMBEDDED_MODEL

SHORT = ("--device", "cpu", "--max-new-tokens", 3)


def test_the_record_says_what_the_answer_depended_on(vlm3r, video, tmp_path):
    record = tmp_path / "out.json"
    run = vlm3r("ask", "--video", video, "-q", "Where?", "--frames", 4, "--pool-mode", "max", "--json", record, *SHORT)
    assert run.status == 0
    assert run.out.startswith("Q: Where?\nA: ")
    assert run.out.endswith("\n")
    assert "untrained" not in run.err
    content = json.loads(record.read_text())
    (answer,), mark = content["answers"], content["fingerprint"]
    assert answer["question"] == "Where?"
    assert answer["text"] in run.out
    assert 1 <= answer["new_tokens"] <= 3
    assert answer["prompt"].startswith(
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>"
    )
    assert answer["prompt"].endswith("Where?<|im_end|>\n<|im_start|>assistant\n")
    assert mark["video"]["indices"] == [0, 3, 7, 11]
    assert mark["video"]["timestamps"] == [0.0, 0.75, 1.75, 2.75]
    assert mark["video"]["decoder"].lower().startswith("pyav")
    assert mark["video"]["sha256"] == hashlib.sha256(video.read_bytes()).hexdigest()
    assert (mark["video"]["file"], mark["video"]["total_frames"]) == ("clip.mp4", 12)
    assert (mark["pool_mode"], mark["newline_position"], mark["dtype"], mark["device"]) == (
        "max",
        "grid",
        "float32",
        "cpu",
    )
    assert (mark["geometry"], mark["untrained"], mark["max_new_tokens"]) == ("cut3r", False, 3)
    assert mark["processor"]["num_frames"] == 4
    parts = {"vision_tower", "geometry_encoder", "fusion", "projector", "image_newline", "language_model"}
    assert mark["weights"].keys() == parts
    assert all(len(value) == 64 for value in mark["weights"].values())
    assert len(set(mark["weights"].values())) == len(parts)
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
    # 4 frames of 9x9 patches, pooled to 4x4, a newline after each row
    assert answer["prompt_tokens"] > 4 * 4 * 5


def test_a_model_that_is_marked_as_untrained_says_so(vlm3r, tmp_path):
    folder = shutil.copytree(EMBEDDED_MODEL, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"untrained": True}))
    run = vlm3r("ask", "--model", folder, "--text-only", "-q", "Hello?", "--json", "-", "--device", "cpu")
    assert "untrained" in run.err
    record = json.loads(run.out)
    assert record["fingerprint"]["untrained"]
    assert record["answers"][0]["new_tokens"] <= 16


def test_json_on_standard_output_is_nothing_but_json(vlm3r, video):
    run = vlm3r("ask", "--video", video, "-q", "Where?", "--frames", 2, "--json", "-", *SHORT)
    assert run.status == 0
    assert len(json.loads(run.out)["answers"]) == 1


def test_several_questions_are_answered_in_order_as_if_asked_alone(vlm3r, video):
    questions = ["What is near the sofa?", "How many chairs?", "Where?"]
    flags = [part for question in questions for part in ("-q", question)]
    together = json.loads(vlm3r("ask", "--video", video, "--frames", 2, "--json", "-", *flags, *SHORT).out)["answers"]
    assert [answer["question"] for answer in together] == questions
    alone = json.loads(vlm3r("ask", "--video", video, "--frames", 2, "--json", "-", *flags[2:4], *SHORT).out)["answers"]
    assert alone == together[1:2]


def test_images_may_be_a_folder_or_files(vlm3r, pictures):
    folder = json.loads(vlm3r("ask", "--images", pictures, "-q", "Where?", "--json", "-", *SHORT).out)
    flags = [part for name in ("1", "2", "3") for part in ("--images", pictures / f"{name}.png")]
    files = json.loads(vlm3r("ask", *flags, "-q", "Where?", "--json", "-", *SHORT).out)
    assert folder == files
    (answer,) = folder["answers"]
    assert answer["prompt"].count("<image>\n") == 3
    assert answer["prompt_tokens"] > 3 * 9 * 10
    assert [image["file"] for image in folder["fingerprint"]["images"]] == ["1.png", "2.png", "3.png"]
    assert folder["fingerprint"]["video"] is None


def test_text_alone_may_be_asked(vlm3r):
    record = json.loads(vlm3r("ask", "--text-only", "-q", "Hello?", "--json", "-", *SHORT).out)
    assert "<image>" not in record["answers"][0]["prompt"]
    assert record["fingerprint"]["video"] is None


def test_geometry_can_be_left_out(vlm3r, video):
    flags = ("ask", "--video", video, "--frames", 2, "-q", "Where?", "--json", "-", *SHORT)
    plain, whole = (json.loads(vlm3r(*flags, *more).out)["fingerprint"] for more in (("--geometry", "none"), ()))
    assert plain["geometry"] == "none"
    assert plain["weights"] == {k: v for k, v in whole["weights"].items() if k not in ("geometry_encoder", "fusion")}


def test_a_folder_of_frames_is_a_video(vlm3r, pictures):
    record = json.loads(vlm3r("ask", "--video", pictures, "--frames", 2, "-q", "Where?", "--json", "-", *SHORT).out)
    assert record["fingerprint"]["video"]["indices"] == [0, 2]
    assert record["answers"][0]["prompt"].count("<image>") == 1


@pytest.mark.parametrize("where", ["absent/out.json", "."])
def test_an_impossible_place_for_the_record_is_an_error(vlm3r, tmp_path, where):
    run = vlm3r("ask", "--text-only", "-q", "Hello?", "--json", tmp_path / where, *SHORT)
    assert (run.status, len(run.errors)) == (2, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def questions(tmp_path):
    file = tmp_path / "questions.jsonl"
    rows = [{"question": "What is near the sofa?", "id": "b"}, {"question": "How many chairs?"}, {"question": "Where?"}]
    file.write_text("\n\n".join(json.dumps(row) for row in rows))
    return file


def test_questions_of_a_file_are_answered_in_order_as_if_asked_alone(vlm3r, video, questions, tmp_path):
    flags = ("ask", "--video", video, "--frames", 2, *SHORT)
    record = tmp_path / "out.json"
    run = vlm3r(*flags, "--questions", questions, "--batch-size", 2, "--json", record)
    assert run.status == 0, run
    answers = json.loads(record.read_text())["answers"]
    assert [answer.get("id") for answer in answers] == ["b", None, None]
    options = [part for answer in answers for part in ("-q", answer["question"])]
    alone = json.loads(vlm3r(*flags, *options, "--json", "-").out)["answers"]
    assert alone == [{name: value for name, value in answer.items() if name != "id"} for answer in answers]
    assert run.out == "\n".join(f"Q: {answer['question']}\nA: {answer['text']}\n" for answer in answers)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "questions.jsonl"]


@pytest.mark.parametrize("clip", ["video", "pictures", "text"])
def test_streamed_and_whole_answers_are_the_same_text(vlm3r, video, pictures, questions, clip):
    shown = {"video": ("--video", video, "--frames", 2), "pictures": ("--images", pictures), "text": ("--text-only",)}
    flags = ("ask", *shown[clip], "--questions", questions, "--device", "cpu", "--max-new-tokens", 8)
    whole, streamed = (vlm3r(*flags, flag) for flag in ("--no-stream", "--stream"))
    assert whole.status == streamed.status == 0
    assert whole.out == streamed.out
    assert whole.out.count("Q: ") == 3


@pytest.mark.parametrize("line", ["{broken", '{"question": "<image> and <image>?"}'])
def test_a_bad_line_is_named_before_anything_is_asked(vlm3r, video, questions, tmp_path, line):
    with questions.open("a") as file:
        file.write("\n" + line)
    run = vlm3r("ask", "--video", video, "--questions", questions, "--json", tmp_path / "out.json", *SHORT)
    assert (run.status, len(run.errors), run.out) == (2, 1, "")
    assert f"{questions}, line 6: " in run.errors[0]
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("-q", "Where?"), "not both"),
        (("--batch-size", 0), "--batch-size"),
        (("--questions", "absent.txt"), "absent.txt"),
    ],
)
def test_options_about_files_of_questions_that_do_not_fit_are_refused(vlm3r, video, questions, flags, expected):
    run = vlm3r("ask", "--video", video, "--questions", questions, *flags, *SHORT)
    assert (run.status, len(run.errors)) == (2, 1)
    assert expected in run.errors[0]


def test_a_question_of_bytes_that_are_no_text_is_refused(vlm3r, video):
    run = vlm3r("ask", "--video", video, "-q", b"Where\xff?".decode(errors="surrogateescape"), *SHORT)
    assert (run.status, len(run.errors)) == (2, 1)
    assert "UTF-8" in run.errors[0]
