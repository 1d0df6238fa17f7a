"""Live videos: the answers of whole videos, and constant memory."""

from __future__ import annotations

import copy
import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor

from tests.inference.conftest import SIDE, loaded_with_noise, smallest
from vlm3r.checkpoints.loading import load
from vlm3r.errors import UserError
from vlm3r.inference import opened
from vlm3r.inference.live import LiveVideo
from vlm3r.inference.opened import open_video
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames

QUESTIONS = ("How many chairs are there?", "Why?", "Look: <image> What is it?")


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(3).integers(0, 256, (12, 40, 50, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tiny(noisy):
    return smallest(*noisy)


def thinned(count: int, budget: int) -> list[int]:
    """Every 2^k-th of `count` frames and the last one, for the smallest k that keeps within the budget."""
    for power in range(32):
        chosen = sorted({*range(0, count, 2**power), count - 1})
        if len(chosen) <= budget:
            return chosen
    raise AssertionError


def offline(noisy, frames, times=None):
    return open_video(*noisy, VideoFrames.from_array(frames, times))


def test_answers_at_any_time_are_those_of_the_video_so_far(noisy, frames):
    live = LiveVideo(*noisy, budget=len(frames))
    for count, frame in enumerate(frames, 1):
        live.push(frame)
        if count in (1, 2, 5, 6, len(frames)):
            assert live.ask(QUESTIONS, 6) == offline(noisy, frames[:count]).ask(QUESTIONS, 6)
    assert live.frames_seen == len(frames)


@pytest.mark.parametrize("position", ["frame", "one_token", "no_token"])
def test_answers_are_the_same_for_every_place_of_newlines(frames, position, noisy):
    model, processor = noisy
    model = copy.deepcopy(model)
    model.config.newline_position = position
    processor = VLM3RProcessor.from_config(model.config, processor.tokenizer)
    live = LiveVideo(model, processor, budget=8)
    for count, frame in enumerate(frames[:5], 1):
        live.push(frame)
        if count in (2, 3, 5):
            assert live.ask(QUESTIONS, 6) == offline((model, processor), frames[:count]).ask(QUESTIONS, 6)


def test_answers_know_the_times_of_frames(frames):
    model, processor = loaded_with_noise()
    processor.add_time_instruction = True
    live = LiveVideo(model, processor, budget=6)
    times = [0.5, 1.0, 4.0, 4.0]
    for frame, time in zip(frames, times, strict=False):
        live.push(frame, time)
    expected = offline((model, processor), frames[:4], times).ask(QUESTIONS, 6)
    assert "0.50s,1.00s,4.00s,4.00s" in expected[0].prompt
    assert live.ask(QUESTIONS, 6) == expected


def test_a_model_without_geometry_answers_as_for_a_whole_video(noisy, frames):
    plain = load(device="cpu", dtype="float32", geometry="none")
    live = LiveVideo(*plain, budget=4)
    for frame in frames[:3]:
        live.push(frame)
    assert live.ask(QUESTIONS, 6) == offline(plain, frames[:3]).ask(QUESTIONS, 6)


def test_kept_frames_have_the_geometry_that_the_state_gave_them(noisy, frames):
    model, processor = noisy
    live = LiveVideo(model, processor, budget=4)
    for frame in frames:
        live.push(frame)
    kept = live.frame_indices
    assert kept == [0, 4, 8, 11]
    video = VideoFrames.from_array(frames)
    with torch.inference_mode():
        stages = model.encode_video(processor("", video=video)["pixel_values"])
        rows = stages.pooled[0][kept]
    answers = live.ask(["Why?"], 6)
    found = torch.stack([frame.tokens for frame in live._kept if frame.tokens is not None])
    torch.testing.assert_close(found, rows, atol=1e-5, rtol=1e-4)
    of_few = offline(noisy, frames[kept])
    assert len(live.ask(QUESTIONS, 6)) == len(QUESTIONS)
    assert answers[0].prompt_tokens == of_few.ask(["Why?"], 6)[0].prompt_tokens
    assert (found - model.encode_video(processor("", video=frames[kept])["pixel_values"]).pooled[0]).abs().max() > 1e-3


def test_frames_are_thinned_evenly_whenever_questions_come(tiny):
    frame = np.zeros((SIDE, SIDE, 3), np.uint8)
    for budget in (2, 3, 5, 8):
        live = LiveVideo(*tiny, budget=budget)
        for count in range(1, 41):
            live.push(frame)
            assert live.frame_indices == thinned(count, budget)


def test_asking_in_between_changes_no_later_answer(tiny):
    frames = np.random.default_rng(1).integers(0, 256, (40, SIDE, SIDE, 3), dtype=np.uint8)
    often, once = LiveVideo(*tiny), LiveVideo(*tiny)
    for frame in frames:
        often.push(frame)
        once.push(frame)
        last = often.ask(QUESTIONS, 4)
    assert last == once.ask(QUESTIONS, 4)


def test_only_what_changed_is_read_again(noisy, frames, monkeypatch):
    read = []

    def counting(model, cache, embeddings):
        read.append(embeddings.shape[1])
        return extend(model, cache, embeddings)

    extend = opened.extend
    monkeypatch.setattr(opened, "extend", counting)
    live = LiveVideo(*noisy, budget=6)
    per_frame = noisy[1].layout.video_tokens(1)
    live.push(frames[0])
    live.ask(["Why?"], 1)
    for frame in frames[1:5]:
        read.clear()
        live.push(frame)
        live.ask(["Why?"], 1)
        live.ask(["Why?"], 1)
        assert per_frame < sum(read) < 2 * per_frame


def kept_by_this_process() -> tuple[int, int]:
    """Bytes of all tensors, and the number of all objects that hold others."""
    gc.collect()
    objects = gc.get_objects()
    # Not isinstance, which would ask objects that imitate others what they are.
    tensors = [thing for thing in objects if issubclass(type(thing), torch.Tensor)]
    tensors = [tensor for tensor in tensors if not issubclass(type(tensor), FakeTensor)]  # other tests' traces
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values()), len(objects)


def test_memory_is_the_same_after_a_hundred_and_after_thousands_of_frames(tiny):
    live = LiveVideo(*tiny, budget=5)
    noise = np.random.default_rng(0).integers(0, 256, (7, SIDE, SIDE, 3), dtype=np.uint8)
    sizes = []
    empty, _ = kept_by_this_process()
    for count in range(1, 2050):
        live.push(noise[count % len(noise)])
        if count % 64 == 1:
            assert len(live.ask(["Why?"], 2)) == 1
        if count in (129, 2049):
            assert len(live.frame_indices) == 5  # four strides up to the newest, and all seen by a question
            total, objects = kept_by_this_process()
            sizes.append((total - empty, live.nbytes, objects))
    (early, early_own, early_objects), (late, late_own, late_objects) = sizes
    assert late == early
    assert late_own == early_own
    assert late_objects - early_objects < 200
    assert 0 <= late - late_own < 4096  # what the geometry encoder computes once for a picture size


def test_a_stream_goes_on_while_frames_come_in(noisy, frames):
    live = LiveVideo(*noisy, budget=4)
    live.push(frames[0])
    (expected,) = live.ask(QUESTIONS[:1], 8)
    pieces = []
    for piece in live.stream(QUESTIONS[0], 8):
        pieces.append(piece)
        live.push(frames[1])
    assert len(pieces) > 1
    assert "".join(pieces) == expected.text


def test_a_question_ends_a_stream_about_what_was_seen_before(noisy, frames):
    live = LiveVideo(*noisy, budget=4)
    live.push(frames[0])
    stream = live.stream(QUESTIONS[0], 8)
    next(stream)
    live.push(frames[1])
    assert live.ask(QUESTIONS, 6) == offline(noisy, frames[:2]).ask(QUESTIONS, 6)
    with pytest.raises(RuntimeError, match="one after the other"):
        list(stream)


def test_a_stream_that_is_begun_too_late_is_refused_and_harms_nothing(noisy, frames):
    live = LiveVideo(*noisy, budget=4)
    live.push(frames[0])
    before = live._now()
    stream = live.stream(QUESTIONS[0], 8)
    live.push(frames[1])
    expected = live.ask(QUESTIONS, 6)
    with pytest.raises(RuntimeError, match="one after the other"):
        next(stream)
    with pytest.raises(RuntimeError, match="one after the other"):
        before.ask(QUESTIONS, 6)
    assert live.ask(QUESTIONS, 6) == expected


def test_frames_may_come_from_one_thread_while_others_ask(noisy, frames):
    live = LiveVideo(*noisy, budget=len(frames))
    live.push(frames[0])
    alone = {count: offline(noisy, frames[:count]).ask(QUESTIONS, 4) for count in range(1, len(frames) + 1)}

    def asking(_):
        return [live.ask(QUESTIONS, 4) for _ in range(4)]

    def pushing():
        for frame in frames[1:]:
            live.push(frame)

    with ThreadPoolExecutor(4) as threads:
        pushed = threads.submit(pushing)
        for answers in threads.map(asking, range(3)):
            assert all(found in alone.values() for found in answers)
        pushed.result()
    assert live.ask(QUESTIONS, 4) == alone[len(frames)]


def test_an_error_while_reading_leaves_the_video_usable(noisy, frames, monkeypatch):
    live = LiveVideo(*noisy, budget=4)
    live.push(frames[0])
    live.ask(["Why?"], 1)
    live.push(frames[1])
    with monkeypatch.context() as broken:
        broken.setattr(opened, "extend", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            live.ask(["Why?"], 1)
    assert live.ask(QUESTIONS, 6) == offline(noisy, frames[:2]).ask(QUESTIONS, 6)


def test_bad_frames_and_times_are_refused_and_change_nothing(noisy, frames):
    live = LiveVideo(*noisy, budget=4)
    with pytest.raises(ValueError, match="no frame"):
        live.ask(["Why?"])
    for bad in (frames, frames[0, 0], frames[0].astype(np.float32), frames[0][..., :2], frames[0][:0]):
        with pytest.raises(ValueError, match="uint8"):
            live.push(bad)
    live.push(frames[0], 2.0)
    for time, message in ((None, "all frames or for none"), (1.0, "descend"), (float("nan"), "numbers")):
        with pytest.raises(ValueError, match=message):
            live.push(frames[1], time)
    assert live.frame_indices == [0]
    untimed = LiveVideo(*noisy, budget=4)
    untimed.push(frames[0])
    with pytest.raises(ValueError, match="all frames or for none"):
        untimed.push(frames[1], 1.0)


def test_a_budget_that_cannot_work_is_refused(noisy):
    with pytest.raises(ValueError, match="at least 2"):
        LiveVideo(*noisy, budget=1)
    with pytest.raises(UserError, match="use fewer"):
        LiveVideo(*noisy, budget=100_000)


def test_a_model_in_training_mode_is_refused(tiny):
    model, processor = tiny
    with pytest.raises(ValueError, match=r"model\.eval"):
        LiveVideo(copy.deepcopy(model).train(), processor)
