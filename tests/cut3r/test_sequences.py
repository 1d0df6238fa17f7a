from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from cut3r.sequences import Augmentation, Draw, RGBDSequence, choose_frames, jittered, mirrored, whole
from cut3r.targets import make_targets
from hypothesis import given
from hypothesis import strategies as st

from tests.cut3r.rgbd import SIZE, wall

PLAIN = Augmentation(mirror=0, reverse=0, brightness=0, contrast=0, saturation=0, flicker=0)


def test_a_mirrored_sequence_is_the_mirrored_world() -> None:
    batch = whole(wall(), SIZE)
    flipped = mirrored(batch)
    before = make_targets(batch.depth, batch.intrinsics, batch.camera_to_world, batch.frames)
    after = make_targets(flipped.depth, flipped.intrinsics, flipped.camera_to_world, flipped.frames)
    swap = torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(after.world, before.world.flip(-2) * swap, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.own_view, before.own_view.flip(-2) * swap, atol=1e-5, rtol=0)
    assert after.colour.equal(before.colour.flip(-2))


def test_frames_and_intrinsics_are_squeezed_to_a_square_together() -> None:
    sequence = wall()
    wide = RGBDSequence(
        sequence.frames.repeat(3, axis=2),
        sequence.depth.repeat(3, axis=2),
        np.diag([3, 1, 1]) @ sequence.intrinsics,
        sequence.camera_to_world,
    )
    square, squeezed = whole(sequence, SIZE), whole(wide, SIZE)
    torch.testing.assert_close(squeezed.frames, square.frames)
    torch.testing.assert_close(squeezed.depth, square.depth)
    torch.testing.assert_close(squeezed.intrinsics, square.intrinsics)


def test_enlarged_depth_repeats_pixels_and_invents_no_depth_in_between() -> None:
    sequence = wall()
    depth = whole(sequence, 3 * SIZE).depth[0].numpy()
    np.testing.assert_array_equal(depth, sequence.depth.repeat(3, axis=1).repeat(3, axis=2))


@given(
    available=st.integers(1, 40),
    wanted=st.integers(1, 40),
    stride=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_chosen_frames_exist_and_are_neighbours_at_one_stride(
    available: int, wanted: int, stride: int, seed: int
) -> None:
    augmentation = dataclasses.replace(PLAIN, most_stride=stride, reverse=0.5)
    numbers = choose_frames(available, wanted, augmentation, np.random.default_rng(seed))
    assert len(numbers) == wanted
    assert min(numbers) >= 0 and max(numbers) < available
    jumps = np.abs(np.diff(numbers))
    if available > 1:
        assert len(set(jumps.tolist())) <= 1 or available < wanted
        assert (jumps <= stride).all() and (jumps > 0).all()


def test_batches_depend_on_seed_and_step_alone() -> None:
    sequences = [wall(seed=i) for i in range(5)]
    first, second = (Draw(sequences, SIZE, Augmentation(), 3) for _ in range(2))
    for step in (4, 0):  # the second draws other steps before
        first.batch(step, 2 * step, 2, 4)
    a, b = first.batch(7, 14, 2, 4), second.batch(7, 14, 2, 4)
    assert all(getattr(a, f.name).equal(getattr(b, f.name)) for f in dataclasses.fields(a))
    other = Draw(sequences, SIZE, Augmentation(), 4).batch(7, 14, 2, 4)
    assert not other.frames.equal(a.frames)


def test_every_epoch_shows_every_sequence_once_in_a_new_order() -> None:
    sequences = [
        RGBDSequence(np.full((4, 4, 4, 3), i, np.uint8), np.ones((4, 4, 4)), np.eye(3), np.tile(np.eye(4), (4, 1, 1)))
        for i in range(7)
    ]
    draw = Draw(sequences, 4, PLAIN, 0)
    seen = [round(float((draw.batch(i, i, 1, 2).frames[0, 0, 0, 0, 0] + 1) * 127.5)) for i in range(21)]
    epochs = [seen[:7], seen[7:14], seen[14:]]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_jitter_stays_in_range_and_flicker_alone_differs_between_frames() -> None:
    frames = whole(wall(), SIZE).frames
    jitter = jittered(frames, Augmentation(), np.random.default_rng(0))
    assert jitter.shape == frames.shape
    assert jitter.min() >= -1 and jitter.max() <= 1
    assert not jitter.equal(frames)
    grey = torch.zeros(1, 4, 3, 2, 2)
    steady = jittered(grey, Augmentation(flicker=0), np.random.default_rng(0))
    assert (steady == steady[:, :1]).all()
    assert jittered(grey, Augmentation(flicker=0.2), np.random.default_rng(0)).std(1).min() > 0


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(ValueError, match="no sequences"):
        Draw([], SIZE, PLAIN, 0)
