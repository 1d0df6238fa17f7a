"""What a store gives back, and what it refuses."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.training.features.making import Made, options_for, write_video
from vlm3r.checkpoints.loading import load
from vlm3r.errors import UserError
from vlm3r.model import VLM3RConfig
from vlm3r.training.features import (
    EncoderSource,
    FeatureStore,
    StoredVideo,
    bytes_per_video,
    expectation_of,
    expectation_of_source,
    extract,
    gather,
)

QUESTIONS = ["How many chairs?", "Is the sofa to my left, right or back, if I stand by the stove?"]
ANSWERS = ["4", "left"]
TENSORS = ("camera_tokens", "patch_tokens", "vision_tokens")


def test_stored_features_are_those_that_the_whole_model_computes(made: Made, loaded):
    model, processor = loaded
    store = FeatureStore.open(made.store, expectation_of(model, processor))
    for path in made.videos:
        stored = store.read(path)
        video = processor.load_video(path)
        stages = model.encode_video(processor("", video=video)["pixel_values"])
        for name in TENSORS:
            torch.testing.assert_close(stored.tensors[name], getattr(stages, name)[0], rtol=0, atol=1e-6)
        assert stored.frame_indices == tuple(video.indices) and stored.timestamps == tuple(video.timestamps)
        assert stored.duration == video.duration


def test_logits_of_a_batch_from_the_store_are_those_of_each_sample_alone_from_pixels(made: Made, loaded):
    model, processor = loaded
    store = FeatureStore.open(made.store)
    stored = [store.read(path) for path in made.videos]
    assert len({len(video.frame_indices) for video in stored}) == 2, "one of the clips must be padded"
    inputs = processor(QUESTIONS, video=[video.clip for video in stored], answer=ANSWERS, with_pixels=False)
    assert "pixel_values" not in inputs
    with torch.no_grad():
        batched = model(**inputs, **gather(stored)).logits
        swapped = model(
            **processor(QUESTIONS[0], video=stored[0].clip, answer=ANSWERS[0], with_pixels=False),
            **gather([_with_features_of(stored[0], other=stored[1])]),
        ).logits
        for row, (question, path, answer) in enumerate(zip(QUESTIONS, made.videos, ANSWERS, strict=True)):
            alone = processor(question, video=str(path), answer=answer)
            expected = model(**alone).logits[0]
            assert inputs["input_ids"][row, : len(expected)].tolist() == alone["input_ids"][0].tolist()
            torch.testing.assert_close(batched[row, : len(expected)], expected, rtol=1e-4, atol=1e-4)
    length = swapped.shape[1]
    assert (swapped[0] - batched[0, :length]).abs().max() > 1e-3, "features make no difference: the test proves nothing"


def _with_features_of(video: StoredVideo, other: StoredVideo) -> StoredVideo:
    """`video` with frames of another one, the last repeated as often as needed."""
    count = len(video.frame_indices)
    tensors = {name: t[torch.arange(count).clamp(max=len(t) - 1)] for name, t in other.tensors.items()}
    return StoredVideo(tensors, video.record)


def test_a_prompt_needs_no_decoding(made: Made, loaded, tmp_path: Path):
    _, processor = loaded
    moved = tmp_path / "moved.mp4"
    shutil.copy(made.videos[0], moved)
    clip = FeatureStore.open(made.store).read(moved, parts=()).clip
    from_store = processor(QUESTIONS[0], video=clip, with_pixels=False)["input_ids"]
    from_file = processor(QUESTIONS[0], video=str(made.videos[0]), with_pixels=False)["input_ids"]
    assert from_store.tolist() == from_file.tolist()
    assert "The video lasts for 5.00 seconds" in processor.prompt_text(from_store[0])


def test_gather_pads_at_the_end_and_keeps_the_order(made: Made):
    store = FeatureStore.open(made.store)
    first, second = (store.read(path) for path in made.videos)
    batch = gather([second, first])
    assert batch["frame_counts"].tolist() == [len(second.frame_indices), len(first.frame_indices)]
    for name in TENSORS:
        short = len(second.tensors[name])
        assert torch.equal(batch[name][0, :short], second.tensors[name]) and not batch[name][0, short:].any()
        assert torch.equal(batch[name][1], first.tensors[name])


def test_clips_with_features_of_different_encoders_make_no_batch(made: Made):
    store = FeatureStore.open(made.store)
    with pytest.raises(ValueError, match="one kind"):
        gather([store.read(made.videos[0]), store.read(made.videos[1], parts=("geometry",))])


def test_published_cut3r_tokens_of_32_frames_take_36_megabytes():
    assert bytes_per_video(VLM3RConfig(), 32) == 32 * (1 + 27 * 27) * 768 * 2 == 35_880_960
    assert bytes_per_video(VLM3RConfig(), 32, ("vision",)) == 32 * 729 * 1152 * 2
    assert bytes_per_video(VLM3RConfig(geometry="none"), 32) == 0


def test_planned_bytes_are_those_of_the_tensors(made: Made, loaded):
    stored = FeatureStore.open(made.store).read(made.videos[0])
    found = sum(tensor.nbytes for tensor in stored.tensors.values())
    planned = bytes_per_video(loaded[0].config, len(stored.frame_indices), ("geometry", "vision"), "float32")
    assert planned == found


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"num_frames": 7}, "num_frames: 6 there, 7 here"),
        ({"video_fps": 2.0}, "video_fps: 1.0 there, 2.0 here"),
        ({"force_sample": True}, "force_sample: False there, True here"),
        ({"frame_size": 384}, r"frame_size: \d+ there, 384 here"),
        ({"geometry_size": 432}, r"geometry_size: \d+ there, 432 here"),
        ({"pixel_transform": "none"}, "pixel_transform: .* there, none here"),
        ({"weights": {"geometry": "0"}}, "weights of the geometry encoder: [0-9a-f]{32} there, 0 here"),
        ({"weights": {"vision": "0"}}, "weights of the vision encoder: [0-9a-f]{32} there, 0 here"),
    ],
)
def test_a_store_made_with_something_else_is_refused_by_the_name_of_the_field(made: Made, loaded, change, field):
    expect = dataclasses.replace(expectation_of(*loaded), **change)
    with pytest.raises(UserError, match=field) as caught:
        FeatureStore.open(made.store, expect)
    assert "\n" not in str(caught.value) and "vlm3r features extract" in str(caught.value)


def test_the_expectation_does_not_depend_on_precision_but_on_every_encoder_weight(made: Made, loaded):
    model, processor = loaded
    expect = expectation_of(model, processor)
    half, _ = load(made.checkpoint, device="cpu", dtype="bfloat16")
    assert expectation_of(half, processor) == expectation_of_source(made.source) == expect
    half.language_model.lm_head.weight.data[0, 0] += 1
    assert expectation_of(half, processor) == expect
    for part, module in (("geometry", half.geometry_encoder), ("vision", half.vision_tower)):
        before = expectation_of(half, processor).weights
        parameter = list(module.parameters())[3]
        parameter.data.view(-1)[-1] += 1
        after = expectation_of(half, processor).weights
        assert [name for name in after if after[name] != before[name]] == [part]


def test_a_video_that_has_changed_is_refused_and_one_that_was_only_touched_is_not(made: Made, tmp_path: Path):
    video, store = write_video(tmp_path / "clip.mp4", 9, seed=5), tmp_path / "store"
    extract([video], store, options_for(made.source))
    os.utime(video, (1, 1))
    assert FeatureStore.open(store).read(video).tensors
    content = bytearray(video.read_bytes())
    content[len(content) // 2] ^= 1
    video.write_bytes(content)
    reading = FeatureStore.open(store)
    assert list(reading.changed_files()) == [str(video)] and video not in reading
    for _ in range(2):
        with pytest.raises(UserError, match="has changed since"):
            reading.read(video)


def test_features_outlive_their_video_but_not_a_name_that_the_store_never_saw(made: Made, tmp_path: Path):
    video, store = write_video(tmp_path / "clip.mp4", 9, seed=6), tmp_path / "store"
    extract([video], store, options_for(made.source))
    video.unlink()
    assert FeatureStore.open(store).read(video).tensors
    with pytest.raises(UserError, match=r"other\.mp4: no such video"):
        FeatureStore.open(store).read(tmp_path / "other.mp4")
    with pytest.raises(UserError, match=r"long\.mp4: .* has no features of it"):
        FeatureStore.open(store).read(made.videos[0])


def test_features_of_an_encoder_that_was_left_out_are_refused(made: Made, tmp_path: Path):
    extract(made.videos[:1], tmp_path / "store", options_for(made.source))
    store = FeatureStore.open(tmp_path / "store")
    assert set(store.read(made.videos[0]).tensors) == {"camera_tokens", "patch_tokens"}
    with pytest.raises(UserError, match="has no vision features"):
        store.read(made.videos[0], parts=("vision",))


def test_a_folder_without_a_store_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"no feature store .*vlm3r features extract"):
        FeatureStore.open(tmp_path)


def test_a_shard_that_is_cut_short_is_named(made: Made, copy: Path):
    shard = next(copy.glob("shard-*"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"{shard}: truncated"):
        FeatureStore.open(copy)


def test_a_shard_of_another_store_is_named(made: Made, copy: Path, checkpoint: Path, tmp_path: Path):
    other = EncoderSource(str(checkpoint), frames=3)
    extract(made.videos[:1], tmp_path / "other", options_for(other))
    shard = next((tmp_path / "other").glob("shard-*"))
    shutil.copy(shard, copy)
    with pytest.raises(UserError, match=rf"{shard.name}: its geometry features belong to another store"):
        FeatureStore.open(copy)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_anywhere_is_noticed(made: Made, copy: Path, place: float, bit: int):
    shard = next(copy.glob("shard-*"))
    sound = shard.read_bytes()
    damaged = bytearray(sound)
    damaged[int(place * len(sound))] ^= 1 << bit
    shard.write_bytes(damaged)
    try:
        with pytest.raises(UserError, match=shard.name):
            store = FeatureStore.open(copy)
            for path in made.videos:
                store.read(path)
    finally:
        shard.write_bytes(sound)


def test_damage_goes_unnoticed_only_where_nobody_asks(made: Made, copy: Path):
    shard = next(copy.glob("shard-*"))
    damaged = bytearray(shard.read_bytes())
    damaged[-1] ^= 1
    shard.write_bytes(damaged)
    store = FeatureStore.open(copy)
    problems = [problem for _, problem in store.verify() if problem is not None]
    assert len(problems) == 1 and str(shard) in problems[0]
    sound = FeatureStore.open(made.store)
    unequal = [
        name
        for path in made.videos
        for name, tensor in store.read(path, verify=False).tensors.items()
        if not np.array_equal(
            tensor.view(torch.uint8).numpy(), sound.read(path).tensors[name].view(torch.uint8).numpy()
        )
    ]
    assert len(unequal) == 1
