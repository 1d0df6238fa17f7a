"""Presets make the published choices, explicit options win, and both are on record."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import numpy as np
import pytest

from tests.evaluation.run.small import write_video
from vlm3r.checkpoints.loading import load
from vlm3r.evaluation.run.presets import PRESETS, Choices, PresetName, choose, worded
from vlm3r.evaluation.run.report import settings_of
from vlm3r.evaluation.run.runner import sampling_of
from vlm3r.processing.sampling import FrameSampling
from vlm3r.processing.video import VideoFrames

PROMPT = "These are frames of a video.\nWhere is the lamp?\nPlease answer the question using a single word or phrase."


def load_as(loaded, preset, **given):
    choices, _ = choose(preset, given)
    _, processor = load(device="cpu", dtype="float32", config_overrides=choices.overrides())
    return choices, processor


def clip(frames: int) -> VideoFrames:
    return VideoFrames.from_array(np.zeros((frames, 8, 8, 3), np.uint8), [0.5 * place for place in range(frames)])


def test_every_preset_can_be_named_and_native_leaves_all_to_the_checkpoint():
    assert set(PRESETS) == set(get_args(PresetName))
    assert PRESETS["native"].overrides() == {}
    assert choose("native", {}) == (Choices(), {"name": "native", "changed": {}})


def test_options_that_are_given_win_and_are_recorded_where_they_differ():
    given = {"num_frames": 8, "pool_mode": None, "decoder": "pyav", "add_time_instruction": True}
    choices, record = choose("published-eval", given)
    assert (choices.num_frames, choices.pool_mode, choices.add_time_instruction) == (8, "bilinear", True)
    assert record == {"name": "published-eval", "changed": {"num_frames": 8, "add_time_instruction": True}}
    assert set(given) <= {field.name for field in fields(Choices)}


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("published-eval", FrameSampling.published_eval_pyav(32)),
        ("published-eval-decord", FrameSampling.published_eval_decord(32)),
        ("published-train", FrameSampling.published_training(32)),
    ],
)
def test_frames_are_those_of_the_published_code(loaded, preset, expected):
    choices, processor = load_as(loaded, preset)
    found = sampling_of(processor, choices)
    for total, header in ((20, 20), (97, 100), (1800, 1801)):
        mine, theirs = (s.choose(total, 30.0, header_frames=header) for s in (found, expected))
        assert mine.indices.tolist() == theirs.indices.tolist()
        assert mine.times.tolist() == theirs.times.tolist()


def test_the_evaluation_says_nothing_of_time_and_training_leaves_a_blank_line(loaded):
    video = clip(3)
    for preset, expected in (
        ("published-eval", f"<image>\n{PROMPT}"),
        ("published-demo", f"<image>\n{{sentence}}\n{PROMPT}"),
        ("published-train", f"<image>\n{{sentence}}\n\n{PROMPT}"),
    ):
        choices, processor = load_as(loaded, preset)
        style = choices.time_style if processor.add_time_instruction else "demo"
        ids = processor(worded(PROMPT, style), video=video, with_pixels=False)["input_ids"][0]
        sentence = (
            "The video lasts for 1.50 seconds, and 3 frames are uniformly sampled from it. These frames are located at "
            "0.00s,0.50s,1.00s.Please answer the following questions related to this video."
        )
        assert processor.prompt_text(ids).partition("<|im_start|>user\n")[2].partition("<|im_end|>")[0] == (
            expected.format(sentence=sentence)
        )


def test_the_wording_of_training_is_that_of_training_samples(loaded):
    _, processor = load_as(loaded, "published-train")
    mine = processor(worded(PROMPT, "training"), video=clip(4), with_pixels=False)["input_ids"][0].tolist()
    row = f"<image>\n{PROMPT}"
    theirs = processor(row, video=clip(4), time_style="training", with_pixels=False)["input_ids"][0].tolist()
    assert mine == theirs


def test_a_short_video_gives_as_many_frames_as_it_has_in_the_evaluation_and_32_in_training(loaded, tmp_path):
    from vlm3r.evaluation.run.clips import ClipTask, read_clip

    write_video(tmp_path / "v", 0, frames=6)
    for preset, frames in (("published-eval", 6), ("published-train", 32)):
        choices, processor = load_as(loaded, preset)
        clip = read_clip(sampling_of(processor, choices), 32, ClipTask(tmp_path / "v"), choices.decoder)
        assert clip.video is not None
        assert len(clip.video) == frames


def test_a_reader_of_the_report_sees_the_choices():
    fingerprint = {
        "preset": {"name": "published-eval", "changed": {"num_frames": 8}},
        "processor": {"num_frames": 8, "add_time_instruction": False},
        "sampling": "eval_pyav",
        "time_style": "demo",
        "decoder": "PyAV",
        "pool_mode": "bilinear",
    }
    found = settings_of(fingerprint)
    assert found["given instead"] == "num_frames 8"
    assert (found["frames"], found["chosen by"], found["time sentence"]) == (8, "eval_pyav", "no")
    assert settings_of({}) == {}
