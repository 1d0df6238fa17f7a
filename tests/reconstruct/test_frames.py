from __future__ import annotations

import numpy as np
import pytest

from vlm3r.errors import UserError
from vlm3r.reconstruct.frames import Framing, prepare_frames


@pytest.mark.parametrize(
    ("source", "image_size", "scaled", "final"),
    [
        ((640, 480), 512, (512, 384), (512, 384)),
        ((1920, 1080), 512, (512, 288), (512, 288)),
        ((1080, 1920), 512, (288, 512), (288, 512)),
        ((1000, 700), 512, (512, 358), (512, 352)),
        ((320, 240), 512, (512, 384), (512, 384)),
        ((600, 600), 512, (512, 512), (512, 384)),
        ((640, 480), 224, (224, 168), (224, 160)),
    ],
)
def test_the_longer_side_is_scaled_and_both_are_cut_to_whole_patches(source, image_size, scaled, final):
    framing = Framing.plan(*source, image_size)
    assert framing.scaled_size == scaled
    assert (framing.width, framing.height) == final
    left, top, right, bottom = framing.crop
    assert abs(left - (scaled[0] - right)) <= 1
    assert abs(top - (scaled[1] - bottom)) <= 1


def test_squares_stay_square_when_allowed():
    framing = Framing.plan(600, 600, 512, allow_square=True)
    assert (framing.width, framing.height) == (512, 512)


def test_a_frame_of_the_right_scale_is_only_cropped():
    image = np.random.default_rng(0).integers(0, 256, (90, 128, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Framing.plan(128, 90, 128).apply(image), image[5:85])


def test_shrinking_antialiases():
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    small = Framing.plan(640, 480, 160).apply(stripes)
    assert small.shape == (112, 160, 3)
    assert np.abs(small[:, 4:-4].astype(int) - 127).max() < 12


def test_scaling_keeps_the_content_in_place():
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, 320:] = 255
    small = Framing.plan(640, 480, 160).apply(image)
    assert small[:, :78].max() < 20
    assert small[:, 82:].min() > 235


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3)),
        np.zeros((0, 64, 3), np.uint8),
    ],
)
def test_a_frame_that_is_no_rgb_picture_is_refused(image):
    with pytest.raises(UserError, match="frame 7: expected uint8"):
        list(prepare_frames([(7, 0.0, image)], 64))


def test_a_change_of_size_within_the_video_is_refused():
    frames = [(0, 0.0, np.zeros((48, 64, 3), np.uint8)), (1, 0.1, np.zeros((64, 48, 3), np.uint8))]
    with pytest.raises(UserError, match=r"frame 1: 48x64.*64x48"):
        list(prepare_frames(frames, 64))


def test_a_video_too_thin_for_a_patch_is_refused():
    with pytest.raises(UserError, match="2000x20"):
        Framing.plan(2000, 20, 512)
