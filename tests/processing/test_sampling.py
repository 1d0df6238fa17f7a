"""Frame choice and times against what the published code recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vlm3r.errors import UserError
from vlm3r.processing.sampling import FrameSampling, time_instruction

RECORDED = json.loads(
    (Path(__file__).parents[1] / "data/parity/vlm3r/text_and_sampling.json").read_text(encoding="utf-8")
)
CASES = [
    pytest.param(
        case, id=f"{case['total_frames']}@{case['fps']}-F{case['frames']}-v{case['video_fps']}-{case['force_sample']}"
    )
    for case in RECORDED["sampling"]
]


def published_times(times: np.ndarray) -> str:
    return ",".join(f"{time:.2f}s" for time in times)


def assert_indices_and_times(choice, recorded):
    assert choice.indices.tolist() == recorded["indices"]
    assert choice.duration == recorded["video_time"]
    assert published_times(choice.times) == recorded["frame_time"]


@pytest.mark.parametrize("case", CASES)
def test_training_chooses_the_published_frames_and_times(case):
    sampling = FrameSampling.published_training(case["frames"], case["video_fps"], case["force_sample"])
    choice = sampling.choose(case["total_frames"], case["fps"])
    assert_indices_and_times(choice, case["training"])
    assert len(choice.indices) == case["training"]["count"]


@pytest.mark.parametrize("case", [case for case in CASES if case.values[0].get("demo") is not None])
def test_demo_chooses_the_published_frames_and_times(case):
    choice = FrameSampling.published_demo(case["frames"], force_sample=case["force_sample"]).choose(
        case["total_frames"], case["fps"]
    )
    assert_indices_and_times(choice, case["demo"])


@pytest.mark.parametrize("case", CASES)
def test_benchmark_with_pyav_chooses_the_published_frames(case):
    sampling = FrameSampling.published_eval_pyav(case["frames"])
    choice = sampling.choose(case["total_frames"], case["fps"], header_frames=case["total_frames"])
    assert choice.indices.tolist() == case["eval_pyav"]["indices"]


@pytest.mark.parametrize("case", CASES)
def test_benchmark_with_decord_chooses_the_published_frames(case):
    choice = FrameSampling.published_eval_decord(case["frames"]).choose(case["total_frames"], case["fps"])
    assert choice.indices.tolist() == case["eval_decord"]["indices"]


def test_benchmark_with_pyav_loses_the_frames_that_the_header_promises_and_the_file_lacks():
    choice = FrameSampling.published_eval_pyav(8).choose(97, 30.0, header_frames=100)
    assert choice.indices.tolist() == RECORDED["eval_pyav_short_decode"]["indices"]


def test_every_recorded_case_was_used():
    assert len(CASES) == len(RECORDED["sampling"]) >= 10
    assert any(case.values[0].get("demo") is None for case in CASES)


def test_published_times_keep_the_wrong_factor_and_true_times_do_not():
    published = FrameSampling.published_training(None, video_fps=2.0, force_sample=False)
    assert published.choose(60, 30.0).indices.tolist() == [0, 15, 30, 45]
    assert published.choose(60, 30.0).times.tolist() == [0, 1, 2, 3]
    true = FrameSampling("fps", None, 2.0, times="true")
    assert true.choose(60, 30.0).times.tolist() == [0, 0.5, 1.0, 1.5]


def test_true_times_follow_the_frames_of_a_variable_rate():
    shown = np.array([0.0, 0.1, 0.5, 0.6, 2.0])
    choice = FrameSampling("uniform", 3, times="true").choose(5, 2.5, frame_times=shown)
    assert choice.indices.tolist() == [0, 2, 4]
    assert choice.times.tolist() == [0.0, 0.5, 2.0]


def test_the_step_between_frames_is_never_below_one():
    assert FrameSampling("fps", 32, 1.0).choose(4, 0.2).indices.tolist() == [0, 1, 2, 3]


def test_all_takes_every_frame():
    assert FrameSampling("all").choose(5, 10.0).indices.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("strategy", ["uniform", "fps", "eval_pyav", "all"])
@pytest.mark.parametrize("total", [1, 2, 31, 32, 33, 1000])
@pytest.mark.parametrize("num_frames", [1, 2, 32])
def test_indices_ascend_and_stay_inside_the_video(strategy, total, num_frames):
    indices = FrameSampling(strategy, num_frames).choose(total, 30.0, header_frames=total + 7).indices
    assert len(indices) and indices[0] == 0 and indices[-1] < total
    assert np.all(np.diff(indices) >= 0)


def test_the_time_sentence_is_the_published_one():
    assert time_instruction(12.5, [0, 4, 8, 12.25]) == (
        "The video lasts for 12.50 seconds, and 4 frames are uniformly sampled from it. "
        "These frames are located at 0.00s,4.00s,8.00s,12.25s."
        "Please answer the following questions related to this video."
    )
    choice = FrameSampling("uniform", 4).choose(50, 4.0)
    assert choice.time_instruction == time_instruction(12.5, [0, 4, 8, 12.25])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_frames": 0}, "num_frames is 0: give 1 or more"),
        ({"num_frames": -3}, "num_frames is -3"),
        ({"num_frames": 2.5}, "whole number"),
        ({"num_frames": None}, "num_frames is needed"),
        ({"strategy": "fps", "num_frames": None, "force_sample": True}, "force_sample"),
        ({"video_fps": 0.0}, "video_fps is 0.0"),
        ({"video_fps": float("nan")}, "video_fps is nan"),
        ({"strategy": "unifrom"}, "did you mean 'uniform'"),
        ({"times": "real"}, "known: published, true"),
    ],
)
def test_values_that_cannot_work_are_refused_with_a_remedy(arguments, message):
    with pytest.raises(UserError, match=message):
        FrameSampling(**arguments)


@pytest.mark.parametrize(("total", "fps"), [(0, 30.0), (10, 0.0), (10, float("inf"))])
def test_a_video_without_frames_or_rate_is_refused(total, fps):
    with pytest.raises(UserError):
        FrameSampling().choose(total, fps)
