"""Recordings matched with pictures whose place in them is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.scenes.raw.arkitscenes_files import STEP, write_recording
from vlm3r.errors import UserError
from vlm3r.scenes.raw.recording import Recording


def pictures(count: int) -> list[np.ndarray]:
    """Coarse patterns, each another one, 64 wide and 48 high."""
    rng = np.random.default_rng(3)
    small = rng.integers(0, 255, (count, 6, 8, 3)).astype(np.uint8)
    return [np.asarray(Image.fromarray(p).resize((64, 48), Image.Resampling.BICUBIC)) for p in small]


@pytest.fixture
def movie(tmp_path) -> Path:
    return tmp_path / "a.mov"


@pytest.mark.parametrize("lead", [0.0, 0.3, 1.2])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_offset_and_turns_are_found_from_the_pictures(movie, lead, turns):
    upright = pictures(8)
    write_recording(movie, [np.rot90(picture, -turns) for picture in upright], lead)
    match = Recording(movie).match([STEP * n for n in range(8)], upright)
    assert match is not None and match.turns == turns and match.likeness > 0.9
    assert lead - 0.001 <= match.offset < lead + STEP


def test_a_recording_that_begins_late_is_placed(movie):
    shown = pictures(10)
    write_recording(movie, shown[3:], 0.0)
    match = Recording(movie).match([STEP * n for n in range(10)], shown)
    assert match is not None and -0.301 <= match.offset < -0.2


def test_a_still_camera_is_taken_to_begin_with_its_pictures(movie):
    still = pictures(1)
    write_recording(movie, still * 20, 0.0)
    match = Recording(movie).match([0.0, 0.5, 1.0], still * 3)
    assert match is not None and match.offset == 0


def test_other_pictures_are_not_taken_for_the_recordings(movie):
    shown = pictures(16)
    write_recording(movie, shown[:8], 0.0)
    assert Recording(movie).match([STEP * n for n in range(8)], shown[8:]) is None


def test_frames_are_found_by_time_one_by_one_and_in_order(movie):
    shown = pictures(4)
    write_recording(movie, shown, 0.0, size=(64, 48))
    recording, times = Recording(movie), [-0.2, 0.0, 0.05, 0.05, 0.31, 0.41, 0.6]
    found = list(recording.frames_at(times))
    assert [picture is None for picture in found] == [True, False, False, False, False, False, True]
    for picture, number in zip(found[1:6], (0, 0, 0, 3, 3), strict=True):
        assert picture is not None and np.abs(picture.astype(int) - shown[number]).mean() < 12
    for time, picture in zip(times, found, strict=True):
        alone = recording.frame_at(time)
        assert (alone is None and picture is None) or (alone is not None and (alone == picture).all())


def test_the_size_is_given_in_the_shape_of_the_pictures(movie):
    write_recording(movie, pictures(1), 0.0)
    recording = Recording(movie)
    assert recording.turned_size(256, 192) == (128, 96)
    assert recording.turned_size(192, 256) == (96, 128)
    assert recording.turned_size(256, 256) is None


def test_files_that_are_no_video_are_refused(movie):
    movie.write_bytes(b"moov" * 100)
    with pytest.raises(UserError, match=r"a\.mov"):
        Recording(movie)
